import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { parseBuildId } from "../../shared/builds.ts";
import { until } from "../support/until.ts";
import { ADMIN_TOKEN, problemOf } from "./edge.ts";
import { DIGEST, DOCKERFILE, IMAGE, type ImageWorld, openImageWorld } from "./images.ts";

describe("what is shown of an image's build", { timeout: 120_000 }, () => {
  let world: ImageWorld;

  before(async () => {
    world = await openImageWorld();
  });
  after(() => world.close());

  describe("an image as a file", () => {
    const NAME = "image.tar.gz";

    test("is downloaded whole or in part once the build has published it", async () => {
      const { job, attempt } = await world.taken(
        await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE, tarball: true, push: false }),
      );
      const file = `/builds/${job}/files/${NAME}`;
      assert.equal((await problemOf(await world.edge.call(file))).code, "building");
      const bytes = randomBytes(1_000);
      await attempt.upload(NAME, bytes);
      await attempt.finish({ outcome: "succeeded" });
      await until("the publication", async () => (await world.record(job)).state === "succeeded");
      const ended = await world.record(job);
      assert.equal(ended.digest, null);
      assert.equal(ended.artifact, `${world.edge.url}/builds/${attempt.build}/files/${NAME}`);
      assert.deepEqual(
        ended.artifacts.map(({ name, url }) => ({ name, url })),
        [{ name: NAME, url: ended.artifact }],
      );
      const whole = await world.edge.call(file);
      assert.equal(whole.status, 200);
      assert.equal(whole.headers.get("cache-control"), "private, no-store");
      assert.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes));
      const part = await world.edge.call(file, { headers: { range: "bytes=10-19" } });
      assert.equal(part.status, 206);
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20)));
      const head = await world.edge.call(file, { method: "HEAD" });
      assert.equal(head.headers.get("content-length"), "1000");
      const hash = createHash("sha256").update(bytes).digest("hex");
      assert.equal(await world.text(`${file}.sha256`), `${hash}  ${NAME}\n`);
      assert.equal(
        (await problemOf(await world.edge.call(`/builds/${job}/files/x`))).code,
        "no_such_file",
      );
      assert.ok(await world.edge.bucket.head(`manifests/image/${attempt.build}`));
    });

    test("a build without one says so, and an unknown build is unknown", async () => {
      const pushed = await world.taken(
        await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE }),
      );
      await pushed.attempt.finish({ outcome: "succeeded", digest: DIGEST });
      const code = async (id: string) =>
        (await problemOf(await world.edge.call(`/builds/${id}/files/${NAME}`))).code;
      assert.equal(await code(pushed.job), "no_such_file");
      assert.equal(
        (await world.record(pushed.job)).artifact,
        `${world.edge.url}/builds/${pushed.attempt.build}`,
      );
      const failed = await world.taken(
        await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE }),
      );
      await failed.attempt.finish({ outcome: "failed", class: "push_error", reason: "no" });
      assert.equal(await code(failed.job), "build_failed");
      assert.equal(await code("0".repeat(32)), "no_such_build");
      assert.equal(await code("x"), "no_such_build");
    });
  });

  describe("credentials", () => {
    const PASSWORD = "pass:wörd-0123456789";

    test("reach the attempt alone: no record, log or list shows them", async () => {
      const { job, attempt } = await world.taken(
        await world.post({
          image_name: IMAGE,
          dockerfile: DOCKERFILE,
          username: "u",
          password: PASSWORD,
        }),
      );
      assert.deepEqual(
        attempt.credentials.map((text) => JSON.parse(text)),
        [{ registry: { username: "u", password: PASSWORD }, git: null, secrets: [] }],
      );
      await attempt.finish({ outcome: "succeeded", digest: DIGEST });
      for (const path of [
        `/builds/${job}`,
        `/builds/${job}/logs`,
        "/api/builds",
        `/api/v1/${job}/logs`,
      ])
        assert.doesNotMatch(await world.text(path), /pass:w|0123456789/);
    });
  });

  test("who knows the id reads an image's build; no list names it but the admin's", async () => {
    const { job, attempt } = await world.taken(
      await world.post({ image_name: IMAGE, dockerfile: DOCKERFILE }),
    );
    await attempt.finish({ outcome: "succeeded", digest: DIGEST });
    assert.equal((await world.record(job)).visibility, "unlisted");
    assert.match(await world.text(`/builds/${job}/logs`), /Your build is successful/);
    await until("the catalog's word", async () => (await world.record(job)).state === "succeeded");
    const { builds } = (await (await world.edge.call("/api/builds?recipe=image")).json()) as {
      builds: unknown[];
    };
    assert.deepEqual(builds, []);
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const all = await world.edge.call("/api/builds?all=true&recipe=image&q=registry", { headers });
    assert.ok((await all.text()).includes(parseBuildId(job) as string));
  });
});
