import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTEMPT_DEADLINE_MS } from "../../shared/limits.ts";
import type { ImageTarget } from "../../shared/recipes/image.ts";
import { BUILD_ID, BuildWorld, requestOf } from "../../test/support/build.ts";
import { PLAIN_IMAGE } from "../../test/support/image-target.ts";

const DIGEST = `sha256:${"d".repeat(64)}`;
const KEY = `contexts/${BUILD_ID}/nonce`;

const TARGET: ImageTarget = {
  ...PLAIN_IMAGE,
  job: BUILD_ID,
  image: "registry.example/team/app:1.0",
  source: { kind: "context", size: 3, sha256: "a".repeat(64) },
};

/** A build of an image whose context lies in the bucket. */
async function imageWorld(more: Partial<ImageTarget> = {}): Promise<BuildWorld> {
  const world = new BuildWorld();
  world.store.objects.set(KEY, { bytes: Buffer.from("tar"), parted: false, etag: "e" });
  const context = { key: KEY, size: 3, sha256: "a".repeat(64) };
  await world.open(requestOf({ context }, { ...TARGET, ...more }));
  return world;
}

test("an image that was pushed succeeds without a file, and its record has the digest", async () => {
  const world = await imageWorld();
  await world.start();
  await world.result(1, { digest: DIGEST });
  assert.equal(await world.state(), "succeeded");
  const { record } = (await world.build.view()) ?? {};
  assert.equal(record?.digest, DIGEST);
  assert.deepEqual(record?.artifacts, []);
  assert.equal(world.publication(`image/${BUILD_ID}`), null);
});

test("an image that was asked for as a file does not succeed without one", async () => {
  const world = await imageWorld({ tarball: true });
  await world.start();
  await world.result(1, { digest: DIGEST });
  assert.equal(await world.state(), "failed");
});

test("an image that was asked for as a file is published with it", async () => {
  const world = await imageWorld({ tarball: true });
  await world.start();
  const upload = await world.upload(1, "image.tar.gz", Buffer.from("layers"));
  await world.result(1, { uploads: [upload], digest: DIGEST });
  assert.equal(await world.state(), "succeeded");
  const { record } = (await world.build.view()) ?? {};
  assert.equal(record?.digest, DIGEST);
  assert.deepEqual(
    record?.artifacts.map(({ url }) => url),
    [`/builds/${BUILD_ID}/files/image.tar.gz`],
  );
  const key = world.publication(`image/${BUILD_ID}`)?.files[0]?.key ?? "";
  assert.match(key, /^unlisted\/builds\//);
});

test("the live attempt is permitted to push; one that was lost, cancelled or timed out is told so", async () => {
  const world = await imageWorld();
  await world.start();
  await world.receive(1, { t: "permit" });
  assert.equal(world.count("permit_ok"), 1);
  await world.build.lost(1, "it was silent");
  await world.start(2);
  await world.receive(1, { t: "permit" });
  assert.equal(world.last("refused").code, "lost");
  await world.build.cancel("admin");
  await world.receive(2, { t: "permit" });
  assert.equal(world.last("cancel").outcome, "cancelled");
  assert.equal(world.count("permit_ok"), 1);

  const late = await imageWorld();
  await late.start();
  late.ports.clock.advance(ATTEMPT_DEADLINE_MS);
  await late.ring();
  await late.receive(1, { t: "permit" });
  assert.equal(late.count("cancel"), 2);
  assert.equal(late.last("cancel").outcome, "timed_out");
  assert.equal(late.count("permit_ok"), 0);
});

test("the context is for the lease of the live attempt, the second as well as the first", async () => {
  const world = await imageWorld();
  const first = await world.start();
  const kind = async (n: number, lease: string) => (await world.build.context(n, lease)).kind;
  assert.deepEqual(await world.build.context(1, first), {
    kind: "ok",
    context: { key: KEY, size: 3, sha256: "a".repeat(64) },
  });
  assert.equal(await kind(1, "another lease"), "forbidden");
  assert.equal(await kind(2, first), "forbidden");
  await world.build.lost(1, "it was silent");
  assert.equal(await kind(1, first), "over");
  const second = await world.start(2);
  assert.equal(await kind(2, second), "ok");
  assert.equal(await kind(1, first), "over");
  assert.ok(world.store.objects.has(KEY));
  await world.result(2, { digest: DIGEST });
  assert.equal(await kind(2, second), "over");
});

for (const [end, finish] of [
  ["succeeded", (world: BuildWorld) => world.result(1, { digest: DIGEST })],
  ["failed", (world: BuildWorld) => world.result(1, { outcome: "failed", class: "build_error" })],
  ["was cancelled in the queue", (world: BuildWorld) => world.build.cancel("admin")],
] as const)
  test(`the context is gone when the build ${end}, though the bucket was away and the object died`, async () => {
    const world = await imageWorld();
    if (!end.endsWith("queue")) await world.start();
    world.store.fail = (operation) => {
      if (operation === "remove") throw new Error("R2 is away");
    };
    await finish(world);
    await world.settle();
    assert.ok(world.store.objects.has(KEY));
    world.store.fail = () => {};
    await world.restart();
    await world.ringOut();
    assert.ok(!world.store.objects.has(KEY));
  });

test("a Go build has no context", async () => {
  const world = new BuildWorld();
  await world.open();
  const lease = await world.start();
  assert.equal((await world.build.context(1, lease)).kind, "none");
});
