import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspectAll } from "../support/engine.ts";
import { hello } from "../support/fixtures.ts";
import { filesWith, processes } from "../support/secrets.ts";
import { openStack, type TestStack } from "../support/stack.ts";

const SECRET = "s3cr3t-token-of-the-git-host-0123456789";
const PATH = "/git.example/ada/secret/linux/amd64/v1.0.0";
const FILE = `${PATH}/secret_linux_amd64.tar.gz`;
const RIGHT = { authorization: `token ${SECRET}` };

describe("a private repository", () => {
  let stack: TestStack;
  let id: string;

  before(async () => {
    stack = await openStack({
      repositories: { "ada/secret": hello },
      credentials: {
        "ada/secret": [{ user: "ada", password: SECRET }],
      },
    });
  });
  after(() => stack?.close());

  test("is built and downloaded with the git host's token", async () => {
    const ended = await stack.build(PATH, { headers: RIGHT });
    id = ended.id;
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    assert.equal(ended.record.visibility, "private");

    const redirect = await stack.fetch(PATH, { headers: RIGHT });
    assert.equal(redirect.status, 303);
    const file = await stack.fetch(FILE, { headers: RIGHT });
    assert.equal(file.status, 200);
    assert.match(file.headers.get("cache-control") ?? "", /private/);
    assert.doesNotMatch(file.headers.get("cache-control") ?? "", /public/);
    assert.match(file.headers.get("vary") ?? "", /authorization/i);
    await file.body?.cancel();
    const again = await stack.post(PATH, { headers: RIGHT });
    assert.equal(again.status, 409);
  });

  test("takes the token as token, Bearer, Basic and alone", async () => {
    const basic = Buffer.from(`ada:${SECRET}`).toString("base64");
    for (const value of [`token ${SECRET}`, `Bearer ${SECRET}`, `Basic ${basic}`, SECRET]) {
      const response = await stack.fetch(FILE, { headers: { authorization: value } });
      assert.equal(response.status, 200, value.split(" ")[0]);
      await response.body?.cancel();
    }
  });

  test("cannot be told from one that was never there", async () => {
    const wrong = [
      {},
      { authorization: "token wrong" },
      { authorization: "Bearer wrong" },
      { authorization: "Basic !!!" },
      { authorization: "Digest a=b" },
    ];
    const absent = PATH.replace("/secret/", "/absent/");
    for (const headers of wrong)
      for (const [method, suffix] of [
        ["GET", ""],
        ["HEAD", ""],
        ["GET", "/secret_linux_amd64.tar.gz"],
        ["GET", "/checksums.txt"],
        ["POST", ""],
      ] as const) {
        const real = await answer(method, PATH + suffix, headers);
        const none = await answer(method, absent + suffix.replace("secret", "absent"), headers);
        assert.equal(real.status, 404, `${method} ${suffix} ${JSON.stringify(headers)}`);
        assert.deepEqual(real, none, `${method} ${suffix} ${JSON.stringify(headers)}`);
      }
  });

  test("keeps its record and its log to those who may read it", async () => {
    const unknown = "0".repeat(32);
    for (const part of ["", "/logs", "/logs?follow=1"]) {
      const allowed = await stack.fetch(`/builds/${id}${part}`, { headers: RIGHT });
      assert.equal(allowed.status, 200, part);
      await allowed.body?.cancel();
      const real = await answer("GET", `/builds/${id}${part}`, {});
      const none = await answer("GET", `/builds/${unknown}${part}`, {});
      assert.equal(real.status, 404);
      assert.deepEqual(real, none);
    }
    assert.ok(!(await stack.builds()).some((build) => build.build_id === id));
  });

  test("never lets the token out: not to the disk, the log, the engine or a command line", async () => {
    const path = "/git.example/ada/secret/linux/amd64/held";
    const { build_id } = await stack.start(path, { headers: RIGHT });
    const container = await stack.building(build_id);
    const inspected = await inspectAll(`railhead.build=${build_id}`);
    const commands = await processes();
    await stack.release(build_id);
    const ended = await stack.ended(build_id, { headers: RIGHT });
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");

    const basic = Buffer.from(`ada:${SECRET}`).toString("base64");
    const tokenBasic = Buffer.from(`x-access-token:${SECRET}`).toString("base64");
    for (const secret of [SECRET, basic, tokenBasic, Buffer.from(SECRET).toString("base64")]) {
      assert.ok(!inspected.includes(secret), `docker inspect of ${container}`);
      assert.ok(!commands.includes(secret), "a command line or environment");
      assert.ok(!JSON.stringify(ended).includes(secret), "the record or the log");
      assert.deepEqual(await filesWith(stack.folder, secret), []);
    }
  });

  /** A response without what differs between any two: the date, a request id, the path asked for. */
  async function answer(method: string, path: string, headers: Record<string, string>) {
    const response = await stack.fetch(path, { method, headers });
    const kept = [...response.headers].filter(([name]) => name !== "date");
    return {
      status: response.status,
      headers: kept,
      body: (await response.text()).replaceAll("absent", "secret"),
    };
  }
});
