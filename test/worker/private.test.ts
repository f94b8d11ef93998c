import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeRepository } from "../../cli/dev/repository.ts";
import { type GoTarget, goPath, goTargetKey } from "../../shared/recipes/go.ts";
import { until } from "../support/until.ts";
import { startAgent, type TestAgent } from "./agent.ts";
import { ADMIN_TOKEN, type Edge, problemOf, startEdge } from "./edge.ts";
import { goTarget, publicationOf } from "./targets.ts";

const TOKEN = "right-token";
const OTHER_TOKEN = "token-of-somebody-else";
const READERS = [{ user: "x-access-token", password: TOKEN }];
const STRANGERS = [{ user: "x-access-token", password: OTHER_TOKEN }];

/** Everything that must not let them read. */
const WITHOUT_ACCESS: Record<string, Record<string, string>> = {
  "no token": {},
  "a wrong token": { authorization: "token wrong" },
  "somebody else's token": { authorization: `Bearer ${OTHER_TOKEN}` },
  "a wrong password": { authorization: `Basic ${btoa("x-access-token:wrong")}` },
  "malformed Basic": { authorization: "Basic !!!" },
  "Basic without a colon": { authorization: `Basic ${btoa("nothing")}` },
  "an unknown scheme": { authorization: "Digest username=x" },
  "an empty token": { authorization: "token" },
  "an endless token": { authorization: `token ${"x".repeat(5_000)}` },
  "the admin's token": { authorization: `Bearer ${ADMIN_TOKEN}` },
};

describe("private repositories", { timeout: 120_000 }, () => {
  let edge: Edge;
  let agent: TestAgent;

  before(async () => {
    edge = await startEdge({
      credentials: {
        "o/secret": READERS,
        "o/module": STRANGERS,
        "o/both": [...READERS, ...STRANGERS],
      },
    });
    for (const name of ["secret", "both", "module"])
      await makeRepository(
        join(edge.root, `o/${name}.git`),
        Array.from({ length: 8 }, (_, i) => ({ files: { n: `${i}` }, tag: `v1.${i}.0` })),
      );
    agent = await startAgent(edge.url);
  });
  after(async () => {
    agent.close();
    await edge.close();
  });

  function secret(more: Partial<GoTarget> = {}): GoTarget {
    return goTarget("o/secret", { visibility: "private", ...more });
  }

  /** An answer, as far as a caller can see it. */
  async function seen(path: string, init: RequestInit = {}): Promise<unknown> {
    const response = await edge.call(path, init);
    const headers = [...response.headers].filter(([name]) => name !== "date");
    return { status: response.status, headers, body: await response.text() };
  }

  const authorized = { authorization: `token ${TOKEN}` };

  test("who may not read sees what was never built, byte for byte", async () => {
    const target = secret({ version: "v1.0.0" });
    const paths = [goPath(target), `${goPath(target)}/secret_linux_amd64.tar.gz`];
    const never = await Promise.all(paths.map((path) => seen(path, { headers: authorized })));
    const before = await Promise.all(paths.map((path) => seen(path)));
    assert.deepEqual(before, never, "never built looks the same to a reader");
    await edge.publish(publicationOf(target, { "secret_linux_amd64.tar.gz": "secret bytes" }));
    for (const [who, headers] of Object.entries(WITHOUT_ACCESS))
      for (const [i, path] of paths.entries())
        for (const method of ["GET", "HEAD"]) {
          const answer = await seen(path, { method, headers });
          if (method === "GET") assert.deepEqual(answer, never[i], who);
          else assert.equal((answer as { status: number }).status, 404, who);
        }
  });

  test("an absent repository looks like a private one, to POST as well", async () => {
    const answers = (repository: string, init: RequestInit) =>
      Promise.all(
        ["v1.0.0", "main", "latest", "v1"].map(async (version) =>
          JSON.stringify(await seen(`/git.example/o/${repository}/linux/amd64/${version}`, init)),
        ),
      );
    for (const [who, headers] of Object.entries(WITHOUT_ACCESS))
      for (const method of ["GET", "POST"]) {
        const init = { method, headers };
        const hidden = await answers("secret", init);
        const absent = await answers("absent", init);
        assert.deepEqual(
          hidden,
          absent.map((text) => text.replaceAll("absent", "secret")),
          `${method} with ${who}`,
        );
      }
  });

  test("whoever can read downloads, however the token is sent; nobody keeps it", async () => {
    const target = secret({ version: "v1.1.0" });
    await edge.publish(publicationOf(target, { "secret_linux_amd64.tar.gz": "secret bytes" }));
    for (const authorization of [
      `token ${TOKEN}`,
      `Bearer ${TOKEN}`,
      TOKEN,
      `Basic ${btoa(`x-access-token:${TOKEN}`)}`,
    ]) {
      const headers = { authorization };
      const hit = await edge.call(goPath(target), { headers });
      assert.equal(hit.status, 303, authorization);
      assert.match(hit.headers.get("cache-control") ?? "", /^private/);
      const file = await edge.call(hit.headers.get("location") ?? "", { headers });
      assert.equal(await file.text(), "secret bytes");
      assert.match(file.headers.get("cache-control") ?? "", /^private/);
      assert.equal(file.headers.get("vary"), "authorization");
      const sums = await edge.call(`${goPath(target)}/checksums.txt`, { headers });
      assert.equal(sums.status, 200);
      const unchanged = await edge.call(hit.headers.get("location") ?? "", {
        headers: { ...headers, "if-none-match": file.headers.get("etag") ?? "" },
      });
      assert.equal(unchanged.status, 304);
      assert.match(unchanged.headers.get("cache-control") ?? "", /^private/);
    }
  });

  test("the git host is asked for a token once a minute, not once a download", async () => {
    const target = secret({ version: "v1.2.0" });
    await edge.publish(publicationOf(target, { "secret_linux_amd64.tar.gz": "secret bytes" }));
    await edge.call(goPath(target), { headers: authorized });
    const before = edge.git.requests.length;
    for (let i = 0; i < 5; i++) {
      const hit = await edge.call(goPath(target), { headers: authorized });
      assert.equal(hit.status, 303);
    }
    assert.equal(edge.git.requests.length, before);
  });

  test("a reader must be able to read every repository of the build, its submodules too", async () => {
    const target = goTarget("o/both", { visibility: "private", version: "v1.0.0" });
    await edge.publish({
      ...publicationOf(target, { "both_linux_amd64.tar.gz": "both" }),
      repositories: ["git.example/o/both", "git.example/o/secret"],
    });
    const hit = (token: string) =>
      edge.call(goPath(target), { headers: { authorization: `token ${token}` } });
    assert.equal((await hit(TOKEN)).status, 303);
    const stranger = await hit(OTHER_TOKEN);
    assert.equal(stranger.status, 404);
    assert.equal((await problemOf(stranger)).code, "not_built");
  });

  test("a token is never shown to another host than its own", async () => {
    const target = goTarget("o/both", { visibility: "private", version: "v1.1.0" });
    await edge.publish({
      ...publicationOf(target, { "both_linux_amd64.tar.gz": "both" }),
      repositories: ["git.example/o/both", "unknown.example/o/other"],
    });
    assert.equal((await edge.call(goPath(target), { headers: authorized })).status, 404);
  });

  test("a private build: posted, followed, read and downloaded by its readers only", async () => {
    const path = "/git.example/o/secret/linux/amd64/v1.3.0";
    const posted = await edge.call(path, { method: "POST", headers: authorized });
    assert.equal(posted.status, 202);
    const { build_id } = (await posted.json()) as { build_id: string };
    const attempt = await agent.attempt();
    assert.equal(attempt.build, build_id);
    assert.equal(attempt.target.visibility, "private");
    assert.deepEqual(attempt.credentials, [`Basic ${btoa(`x-access-token:${TOKEN}`)}`]);
    await attempt.say(["a secret line"]);

    const routes = [
      `/builds/${build_id}`,
      `/builds/${build_id}/logs`,
      `/builds/${build_id}/logs?follow=1`,
    ];
    const unknown = await seen(`/builds/${"0".repeat(32)}`);
    for (const headers of Object.values(WITHOUT_ACCESS))
      for (const route of routes) assert.deepEqual(await seen(route, { headers }), unknown, route);
    const building = await edge.call(path, { headers: authorized });
    assert.equal((await problemOf(building)).code, "building");
    const hidden = await edge.call(path);
    assert.equal((await problemOf(hidden)).code, "not_built");
    const log = await edge.call(`/builds/${build_id}/logs`, { headers: authorized });
    assert.match(await log.text(), /a secret line/);

    await attempt.upload("secret_linux_amd64.tar.gz", Buffer.from("built bytes"));
    await attempt.finish({ outcome: "succeeded", repositories: ["git.example/o/secret"] });
    await until("the publication", async () => {
      return (await edge.call(path, { headers: authorized })).status === 303;
    });
    const file = await edge.call(`${path}/secret_linux_amd64.tar.gz`, { headers: authorized });
    assert.equal(await file.text(), "built bytes");
    for (const headers of Object.values(WITHOUT_ACCESS)) {
      const response = await edge.call(path, { headers });
      assert.equal((await problemOf(response)).code, "not_built");
      for (const route of routes) assert.deepEqual(await seen(route, { headers }), unknown, route);
    }
    const again = await edge.call(path, { method: "POST", headers: authorized });
    assert.equal(again.status, 409);
    const stored = await edge.call(`/builds/${build_id}/logs`, { headers: authorized });
    assert.match(await stored.text(), /Your build is successful/);
    const list = await edge.call("/api/builds", {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    assert.ok(!(await list.text()).includes(build_id), "private builds are not listed");
  });

  test("who may not read a private build cannot cancel it either, and sees what GET shows", async () => {
    const sent = { ...authorized, "cf-connecting-ip": "192.0.2.7" };
    const posted = await edge.call("/git.example/o/secret/linux/amd64/v1.4.0", {
      method: "POST",
      headers: sent,
    });
    const { build_id } = (await posted.json()) as { build_id: string };
    const attempt = await agent.attempt();
    const url = `/builds/${build_id}`;
    const unknown = await seen(`/builds/${"0".repeat(32)}`);
    for (const [who, { ...headers }] of Object.entries(WITHOUT_ACCESS)) {
      if (who === "the admin's token") continue;
      for (const ip of ["192.0.2.7", "192.0.2.8"])
        for (const method of ["GET", "DELETE"])
          assert.deepEqual(
            await seen(url, { method, headers: { ...headers, "cf-connecting-ip": ip } }),
            unknown,
            `${method} with ${who} from ${ip}`,
          );
    }
    const reader = { ...authorized, "cf-connecting-ip": "192.0.2.8" };
    assert.equal((await edge.call(url, { method: "DELETE", headers: reader })).status, 403);
    for (const _ of [1, 2])
      assert.equal((await edge.call(url, { method: "DELETE", headers: sent })).status, 202);
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
    await until("the end", async () => {
      const response = await edge.call(url, { headers: authorized });
      return ((await response.json()) as { state: string }).state === "cancelled";
    });
    assert.deepEqual(await seen(url, { method: "DELETE" }), unknown);
  });

  test("the build token that posted a private build cancels it, and so does the admin's", async () => {
    const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const token = async (name: string) => {
      const made = await edge.call("/api/tokens", {
        method: "POST",
        headers: { ...admin, "content-type": "application/json" },
        body: JSON.stringify({ scope: "build", name }),
      });
      return ((await made.json()) as { token: string }).token;
    };
    const [poster, other] = [await token("poster"), await token("other")];
    const posted = await edge.call("/git.example/o/secret/linux/amd64/v1.6.0", {
      method: "POST",
      headers: { ...authorized, "railhead-token": poster },
    });
    const { build_id } = (await posted.json()) as { build_id: string };
    const attempt = await agent.attempt();
    const cancel = async (headers: Record<string, string>) =>
      (await edge.call(`/builds/${build_id}`, { method: "DELETE", headers })).status;
    assert.equal(await cancel({ authorization: `Bearer ${other}` }), 404);
    assert.equal(await cancel({ authorization: `Bearer ${poster}` }), 202);
    assert.equal(await cancel(admin), 202);
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
  });

  test("a public build ignores Authorization, and the git host does not see it", async () => {
    await makeRepository(join(edge.root, "o/open.git"), [{ files: { n: "0" }, tag: "v1.0.0" }]);
    const before = edge.git.requests.length;
    const posted = await edge.call("/git.example/o/open/linux/amd64/v1.0.0", {
      method: "POST",
      headers: { authorization: "token whatever" },
    });
    assert.equal(posted.status, 202);
    const attempt = await agent.attempt();
    assert.equal(attempt.target.visibility, "public");
    assert.deepEqual(attempt.credentials, []);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    for (const { authorization } of edge.git.requests.slice(before))
      assert.equal(authorization, null);
  });

  test("a git token and a Railhead token travel side by side", async () => {
    const posted = await edge.call("/git.example/o/secret/linux/amd64/v1.5.0", {
      method: "POST",
      headers: { ...authorized, "railhead-token": ADMIN_TOKEN },
    });
    assert.equal(posted.status, 202);
    const attempt = await agent.attempt();
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    assert.ok(
      edge.git.requests.every(({ authorization }) => !authorization?.includes(ADMIN_TOKEN)),
    );
  });

  test("private and public builds of one path have keys of their own", () => {
    assert.notEqual(goTargetKey(secret()), goTargetKey({ ...secret(), visibility: "public" }));
  });
});
