import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { CONTEXT_PART_BYTES } from "../../shared/limits.ts";
import type { ImageTarget } from "../../shared/recipes/image.ts";
import { until } from "../support/until.ts";
import { problemOf, startEdge } from "./edge.ts";
import {
  assertRefused,
  DIGEST,
  DOCKERFILE,
  IMAGE,
  type ImageWorld,
  INSUFFICIENT,
  openImageWorld,
  tarOf,
} from "./images.ts";

describe("an image's context", { timeout: 120_000 }, () => {
  let world: ImageWorld;

  before(async () => {
    world = await openImageWorld();
  });
  after(() => world.close());

  describe("multipart", () => {
    const json = (more: object = {}) => JSON.stringify({ image_name: IMAGE, ...more });
    const form = (...parts: [name: string, content: string | Buffer][]) => {
      const data = new FormData();
      for (const [name, content] of parts)
        data.append(name, new Blob([new Uint8Array(Buffer.from(content))]), "file");
      return data;
    };

    test("the parts count by their position, whatever they are called", async () => {
      const tar = await tarOf({ Dockerfile: DOCKERFILE });
      for (const names of [
        ["TarFile", "Json"],
        ["x", "x"],
      ] as const) {
        const response = await world.send(form([names[0], tar], [names[1], json()]));
        const { attempt, target } = await world.taken(response);
        assert.ok((await world.contextOf(attempt, target)).equals(tar));
        await attempt.finish({ outcome: "succeeded", digest: DIGEST });
      }
    });

    test("swapped, missing or empty parts are refused, and leave no context behind", async () => {
      const tar = await tarOf({ Dockerfile: DOCKERFILE });
      await assertRefused(
        await world.send(form(["Json", json()], ["TarFile", tar])),
        400,
        /first the tar, then the JSON/,
      );
      await assertRefused(await world.send(form(["TarFile", tar])), 400, INSUFFICIENT);
      await assertRefused(
        await world.send(form(["TarFile", ""], ["Json", json()])),
        400,
        INSUFFICIENT,
      );
      await assertRefused(
        await world.send(form(["TarFile", tar], ["Json", "{}"])),
        400,
        INSUFFICIENT,
      );
      const large = JSON.stringify({ image_name: "x".repeat(100_000) });
      await assertRefused(
        await world.send(form(["TarFile", tar], ["Json", large])),
        400,
        /second part/,
      );
      const cut = `--b\r\n\r\n${"x".repeat(1_000)}\r\n--b\r\n\r\n{`;
      const headers = { "content-type": "multipart/form-data; boundary=b" };
      await assertRefused(await world.send(cut, headers), 400, /boundary/);
      assert.deepEqual(await world.contexts(), []);
    });

    test("a Dockerfile in the JSON counts more than the tar, which is not kept", async () => {
      const tar = await tarOf({ Dockerfile: "FROM tar\n" });
      const response = await world.send(form(["t", tar], ["j", json({ dockerfile: DOCKERFILE })]));
      const { attempt, target } = await world.taken(response);
      assert.ok((await world.contextOf(attempt, target)).includes(DOCKERFILE));
      assert.equal((await world.contexts()).length, 1);
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    });

    test("a tar of many parts arrives byte for byte", async () => {
      const tar = randomBytes(2 * CONTEXT_PART_BYTES + 12_345);
      const { attempt, target } = await world.taken(
        await world.send(form(["TarFile", tar], ["Json", json()])),
      );
      assert.ok((await world.contextOf(attempt, target)).equals(tar));
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    });
  });

  describe("the context", () => {
    test("is read by the live attempt alone, in ranges too, and is gone when the build has ended", async () => {
      const { job, attempt, target } = await world.taken(
        await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE }),
      );
      const whole = await world.contextOf(attempt, target);
      const part = await attempt.context({ range: "bytes=100-" });
      assert.equal(part.status, 206);
      assert.equal(
        part.headers.get("content-range"),
        `bytes 100-${whole.length - 1}/${whole.length}`,
      );
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(100)));
      const path = `/agent/builds/${attempt.build}/attempts`;
      assert.equal((await world.edge.call(`${path}/1/context`)).status, 401);
      const forged = { authorization: `Bearer ${"0".repeat(64)}` };
      assert.equal((await world.edge.call(`${path}/1/context`, { headers: forged })).status, 403);
      assert.equal((await world.edge.call(`${path}/2/context`, { headers: forged })).status, 403);
      assert.equal((await world.contexts()).length, 1);
      await attempt.finish({ outcome: "failed", class: "build_error", reason: "no" });
      await until("the removal", async () => (await world.contexts()).length === 0);
      assert.equal((await problemOf(await attempt.context())).code, "attempt_over");
      assert.doesNotMatch(await world.text(`/builds/${job}`), /contexts\//);
    });

    test("is removed when the build is refused for its rate", async () => {
      const narrow = await startEdge({ vars: { RAILHEAD_RATE_PER_MINUTE: "1" } });
      try {
        const body = JSON.stringify({ image_name: IMAGE, dockerfile: DOCKERFILE });
        const init = { method: "POST", body };
        const first = await narrow.call("/api/v1/build", init);
        assert.equal(first.status, 200);
        const second = await narrow.call("/api/v1/build", init);
        assert.ok(Number(second.headers.get("retry-after")) > 0);
        await assertRefused(second, 429, /as many builds as a minute allows/);
        const { objects } = await narrow.bucket.list({ prefix: "contexts/" });
        assert.equal(objects.length, 1);
      } finally {
        await narrow.close();
      }
    });
  });

  describe("a raw context", () => {
    const raw = (
      query: string,
      body: RequestInit["body"] & {},
      headers: Record<string, string> = {},
    ) =>
      world.edge.call(`/api/images?${query}`, {
        method: "POST",
        body,
        headers: { "content-type": "application/x-tar", ...headers },
      });

    test("is accepted with everything that the JSON can say", async () => {
      const tar = await tarOf({ "docker/Dockerfile": DOCKERFILE });
      const query = new URLSearchParams([
        ["image", IMAGE],
        ["dockerfile_path", "docker/Dockerfile"],
        ["build_arg", "A=1=2"],
        ["build_arg", "B="],
        ["label", "c=d"],
        ["cache_from", "x/y"],
        ["tarball", "true"],
        ["push", "false"],
      ]);
      const login = Buffer.from("u:p:ü").toString("base64");
      const response = await raw(String(query), new Uint8Array(tar), {
        "content-type": "application/gzip",
        "railhead-registry-authorization": `Basic ${login}`,
      });
      assert.equal(response.status, 202);
      const answer = (await response.json()) as Record<string, unknown>;
      assert.equal(response.headers.get("location"), `/builds/${answer.build_id}`);
      assert.equal(answer.url, `${world.edge.url}/builds/${answer.build_id}`);
      assert.equal(answer.log, `${world.edge.url}/builds/${answer.build_id}/logs`);
      const attempt = await world.agent.attempt();
      assert.equal(attempt.build, answer.build_id);
      assert.partialDeepStrictEqual(attempt.target, {
        image: `${IMAGE}:latest`,
        dockerfile: "docker/Dockerfile",
        args: { A: "1=2", B: "" },
        labels: { c: "d" },
        cache_from: ["x/y"],
        push: false,
        tarball: true,
      });
      assert.deepEqual(JSON.parse(attempt.credentials[0] ?? "").registry, {
        username: "u",
        password: "p:ü",
      });
      assert.ok((await world.contextOf(attempt, attempt.target as ImageTarget)).equals(tar));
      await attempt.finish({ outcome: "failed", class: "build_error", reason: "no" });
    });

    test("of unknown length arrives byte for byte", async () => {
      const bytes = randomBytes(CONTEXT_PART_BYTES);
      const stream = new Blob([bytes]).stream();
      const response = await world.edge.call(`/api/images?image=${IMAGE}`, {
        method: "POST",
        headers: { "content-type": "application/x-tar" },
        body: stream,
        duplex: "half",
      } as RequestInit);
      assert.equal(response.status, 202);
      const attempt = await world.agent.attempt();
      assert.ok((await world.contextOf(attempt, attempt.target as ImageTarget)).equals(bytes));
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    });

    test("comes with build secrets in a header: an agent with BuildKit gets them, nobody sees them", async () => {
      const secrets = { NPM_TOKEN: "s3cret-wörd\n", key: "k".repeat(8_000) };
      const header = (value: unknown) => ({
        "railhead-build-secrets": Buffer.from(JSON.stringify(value)).toString("base64"),
      });
      const response = await raw(`image=${IMAGE}`, "x", header(secrets));
      assert.equal(response.status, 202, await response.clone().text());
      const attempt = await world.agent.attempt();
      const { secret_ids } = attempt.target as ImageTarget;
      assert.deepEqual(secret_ids, ["NPM_TOKEN", "key"]);
      assert.deepEqual(JSON.parse(attempt.credentials[0] ?? "").secrets, [
        { id: "NPM_TOKEN", value: secrets.NPM_TOKEN },
        { id: "key", value: secrets.key },
      ]);
      const shown = [attempt.target, await world.text(`/builds/${attempt.build}`)];
      assert.doesNotMatch(JSON.stringify(shown), /s3cret|kkkk/);
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
      for (const [value, message] of [
        [{ a: "x".repeat(9_000) }, /^Railhead-Build-Secrets: they have at most 8192/],
        [{ "a b": "x" }, /^Railhead-Build-Secrets.*no id of a secret/],
        [["x"], /JSON object of strings, in base64/],
        [{ a: 1 }, /JSON object of strings, in base64/],
      ] as const) {
        const problem = await problemOf(await raw(`image=${IMAGE}`, "x", header(value)));
        assert.equal(problem.status, 400);
        assert.match(String(problem.detail), message);
        assert.doesNotMatch(String(problem.detail), /xxxx/);
      }
      const torn = { "railhead-build-secrets": "%%%" };
      assert.equal((await problemOf(await raw(`image=${IMAGE}`, "x", torn))).code, "bad_header");
    });

    test("is refused in the words of the query", async () => {
      for (const [query, message] of [
        ["image=A B", /^image: "A B" is no name/],
        [`image=${IMAGE}&build_arg=a b=c`, /^build_arg/],
        [`image=${IMAGE}&label=a b=c`, /^label/],
        [`image=${IMAGE}&target=--x`, /^target/],
        [`image=${IMAGE}&dockerfile_path=../x`, /^dockerfile_path/],
      ] as const)
        assert.match(String((await problemOf(await raw(query, "x"))).detail), message);
    });

    test("is refused as a problem that says why", async () => {
      const refused = async (response: Promise<Response>) => {
        const problem = await problemOf(await response);
        return `${problem.status} ${problem.code}`;
      };
      assert.equal(await refused(raw(`image=${IMAGE}`, "")), "400 bad_body");
      assert.equal(await refused(raw("", "x")), "400 bad_body");
      assert.equal(await refused(raw("image=A B", "x")), "400 bad_body");
      assert.equal(await refused(raw(`image=${IMAGE}&nope=1`, "x")), "400 bad_query");
      assert.equal(await refused(raw(`image=${IMAGE}&push=perhaps`, "x")), "400 bad_query");
      assert.equal(await refused(raw(`image=${IMAGE}&build_arg=A`, "x")), "400 bad_query");
      assert.equal(await refused(raw(`image=${IMAGE}&image=b`, "x")), "400 bad_query");
      const headers = { "railhead-registry-authorization": "Basic %%%" };
      assert.equal(await refused(raw(`image=${IMAGE}`, "x", headers)), "400 bad_header");
      const typed = raw(`image=${IMAGE}`, "x", { "content-type": "application/zip" });
      assert.equal(await refused(typed), "415 unsupported_media_type");
      assert.deepEqual(await world.contexts(), []);
    });
  });
});
