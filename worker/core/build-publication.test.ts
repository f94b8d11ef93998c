import assert from "node:assert/strict";
import { test } from "node:test";
import { PUBLISH_DEADLINE_MS, SINGLE_PUT_BYTES, TICKET_MS } from "../../shared/limits.ts";
import { targetKey } from "../../shared/recipes/index.ts";
import { BUILD_ID, BuildWorld, TARGET } from "../../test/support/build.ts";
import { manifestKey } from "./manifest.ts";

const KEY = manifestKey(targetKey(TARGET));
const NO_STORAGE = () => {
  throw new Error("R2 does not answer");
};

/** A build whose attempt has uploaded everything and whose result makes it publish, into a bucket that fails. */
async function publishing(fail: (operation: string) => void): Promise<BuildWorld> {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const upload = await world.upload(1, "tool.tar.gz", Buffer.from("archive"));
  world.store.fail = fail;
  await world.result(1, { uploads: [upload] });
  return world;
}

test("from the commit point on neither cancel nor a lost agent stops a publication", async () => {
  const world = await publishing(NO_STORAGE);
  assert.equal(await world.state(), "running");
  assert.deepEqual(await world.build.cancel("admin"), { kind: "refused", code: "publishing" });
  assert.deepEqual(await world.build.lost(1, "gone"), { kind: "ignored" });
  const other = { agent: "b", name: "b", instance: "b" };
  assert.deepEqual(await world.build.begin(2, other), {
    kind: "refused",
    code: "publishing",
    next: 1,
  });
  world.store.fail = () => {};
  await world.ring();
  assert.equal(await world.state(), "succeeded");
});

test("a publication is finished by the object's next life", async () => {
  const world = await publishing(NO_STORAGE);
  world.store.fail = () => {};
  world.ports.clock.advance(60_000);
  await world.restart();
  assert.equal(await world.state(), "succeeded");
  assert.equal(world.publication()?.build_id, BUILD_ID);
});

test("a manifest whose answer got lost is recognised as ours", async () => {
  const lossy = new BuildWorld();
  await lossy.open();
  await lossy.start();
  const upload = await lossy.upload(1, "tool.tar.gz", Buffer.from("archive"));
  let losses = 1;
  lossy.store.failAfter = (operation) => {
    if (operation === "putManifest" && losses-- > 0) throw new Error("the answer got lost");
  };
  await lossy.result(1, { uploads: [upload] });
  assert.equal(await lossy.state(), "running");
  await lossy.ring();
  assert.equal(await lossy.state(), "succeeded");
});

test("a publication that storage refuses for too long fails", async () => {
  const failing = await publishing((operation) => {
    if (operation === "putManifest") NO_STORAGE();
  });
  const begun = failing.ports.clock.now();
  while ((await failing.state()) === "running") await failing.ring();
  assert.equal((await failing.build.summary())?.class, "storage");
  assert.ok(failing.ports.clock.now() - begun < PUBLISH_DEADLINE_MS + 60_000);
  assert.equal(failing.publication(), null);
});

test("a manifest that lies there after all is a success, however late that is seen", async () => {
  const doubtful = new BuildWorld();
  await doubtful.open();
  await doubtful.start();
  const upload = await doubtful.upload(1, "tool.tar.gz", Buffer.from("archive"));
  const begun = doubtful.ports.clock.now();
  const late = () => doubtful.ports.clock.now() - begun >= PUBLISH_DEADLINE_MS;
  doubtful.store.failAfter = (operation) => {
    if (operation === "putManifest") throw new Error("the answer got lost");
  };
  doubtful.store.fail = (operation) => {
    if (operation === "manifest" && !late()) NO_STORAGE();
  };
  await doubtful.result(1, { uploads: [upload] });
  while ((await doubtful.state()) === "running") await doubtful.ring();
  assert.ok(late());
  assert.equal(await doubtful.state(), "succeeded");
});

test("a publication ends within its bound even when storage never answers again", async () => {
  const world = await publishing(NO_STORAGE);
  const begun = world.ports.clock.now();
  while ((await world.state()) === "running") await world.ring();
  assert.equal((await world.build.summary())?.class, "storage");
  assert.ok(world.ports.clock.now() - begun < 2 * PUBLISH_DEADLINE_MS + 60_000);
});

test("a publication that came first stays, and the later build points to its files", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const upload = await world.upload(1, "tool.tar.gz", Buffer.from("archive"));
  const file = {
    name: "tool.tar.gz",
    key: "builds/first",
    size: 5,
    sha256: "a".repeat(64),
    etag: "e",
    content_type: "application/gzip",
  };
  const first = { v: 1, build_id: "f".repeat(32), files: [file] };
  const bytes = Buffer.from(JSON.stringify(first));
  world.store.objects.set(KEY, { bytes, parted: false, etag: "first" });
  world.store.objects.set("builds/first", {
    bytes: Buffer.from("first"),
    parted: false,
    etag: "e",
  });
  await world.result(1, { uploads: [upload] });
  assert.equal(world.publication()?.build_id, first.build_id);
  assert.deepEqual(
    (await world.build.view())?.record.artifacts.map(({ sha256 }) => sha256),
    [file.sha256],
  );
  await world.ringOut();
  assert.deepEqual(
    [...world.store.objects.keys()].filter((key) => key.startsWith("builds/")),
    ["builds/first"],
  );
});

test("a manifest that points to a missing file is replaced", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const upload = await world.upload(1, "tool.tar.gz", Buffer.from("archive"));
  const stale = { v: 1, build_id: "f".repeat(32), files: [{ key: "builds/gone" }] };
  const bytes = Buffer.from(JSON.stringify(stale));
  world.store.objects.set(KEY, { bytes, parted: false, etag: "stale" });
  await world.result(1, { uploads: [upload] });
  assert.equal(world.publication()?.build_id, BUILD_ID);
});

test("a cancel that was accepted before the result wins over a success", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const upload = await world.upload(1, "tool.tar.gz", Buffer.from("archive"));
  await world.build.cancel("admin");
  await world.result(1, { uploads: [upload] });
  assert.equal(await world.state(), "cancelled");
  assert.equal(world.publication(), null);
});

test("what was uploaded and not published is removed once no ticket is good any more", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.upload(1, "lost.tar.gz", Buffer.from("lost"));
  await world.build.lost(1, "gone");
  await world.start(2);
  const upload = await world.upload(2, "tool.tar.gz", Buffer.from("archive"), "b".repeat(32));
  await world.result(2, { uploads: [upload] });
  const ended = world.ports.clock.now();
  assert.equal(world.store.objects.size, 4);
  await world.ringOut();
  assert.ok(world.ports.clock.now() >= ended + TICKET_MS);
  const files = world.publication()?.files.map(({ key }) => key) ?? [];
  assert.equal(files.length, 1);
  assert.deepEqual(
    [...world.store.objects.keys()].filter((key) => key.startsWith("builds/")),
    files,
  );
});

test("a large file goes in parts and is read back before it counts", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const bytes = Buffer.alloc(SINGLE_PUT_BYTES + 10, 7);
  const upload = await world.upload(1, "big.tar.gz", bytes);
  assert.equal(world.last("upload_ok").upload, upload);
  // The agent did not hear it: said again, it is still true.
  await world.receive(1, { t: "uploaded", upload, parts: [] });
  assert.equal(world.count("upload_ok"), 2);
  await world.result(1, { uploads: [upload] });
  assert.equal(await world.state(), "succeeded");
});

test("a completion whose answer got lost is settled by a look at the key", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  let losses = 1;
  world.store.failAfter = (operation) => {
    if (operation === "completeUpload" && losses-- > 0) throw new Error("the answer got lost");
  };
  const bytes = Buffer.alloc(SINGLE_PUT_BYTES + 10, 7);
  const upload = "d".repeat(32);
  await assert.rejects(world.upload(1, "big.tar.gz", bytes, upload));
  const parts = [1, 2].map((part) => ({ part, etag: "x" }));
  await world.receive(1, { t: "uploaded", upload, parts });
  assert.equal(world.last("upload_ok").upload, upload);
});

test("parts that are missing, too many or named twice never make a file", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const file = { t: "upload", sha256: "a".repeat(64), content_type: "x" } as const;
  for (const [i, numbers] of [[], [1], [2], [1, 1], [1, 1, 2], [1, 2, 3]].entries()) {
    const upload = String(i).repeat(32);
    await world.receive(1, { ...file, upload, name: `${i}.gz`, size: SINGLE_PUT_BYTES + 1 });
    const parts = numbers.map((part) => ({ part, etag: "x" }));
    await world.receive(1, { t: "uploaded", upload, parts });
    assert.equal(world.last("upload_failed").upload, upload);
  }
});

test("an attempt that opens one upload after the other is stopped, whatever it calls them", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const file = { t: "upload", size: 3, sha256: "a".repeat(64), content_type: "x" } as const;
  for (let n = 0; n < 1_000; n++) {
    const upload = n.toString(16).padStart(32, "0");
    await world.receive(1, { ...file, upload, name: "a.tar.gz" });
  }
  assert.equal(world.last("upload_failed").code, "fatal");
  assert.ok(world.count("upload_ready") < 200);
});

test("bytes that are not those announced need a fresh upload, twice at most", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  for (const [i, code] of ["retry", "retry", "fatal"].entries()) {
    const upload = String(i).repeat(32);
    const frame = { t: "upload", upload, name: "a.tar.gz", size: 3, content_type: "x" } as const;
    await world.receive(1, { ...frame, sha256: "a".repeat(64) });
    await world.receive(1, { t: "uploaded", upload, parts: [] });
    assert.equal(world.last("upload_failed").code, code);
  }
});

test("uploads are refused beyond the limits, under a taken name, or with a used id", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const upload = await world.upload(1, "a.tar.gz", Buffer.from("abc"));
  const frame = { t: "upload", size: 3, sha256: "a".repeat(64), content_type: "x" } as const;
  await world.receive(1, { ...frame, upload: "1".repeat(32), name: "a.tar.gz" });
  assert.match(world.last("upload_failed").message, /already/);
  await world.receive(1, { ...frame, upload, name: "b.tar.gz" });
  assert.match(world.last("upload_failed").message, /another file/);
  await world.receive(1, { ...frame, upload: "2".repeat(32), name: "c", size: 2 ** 40 });
  assert.match(world.last("upload_failed").message, /at most/);
  await world.receive(1, { t: "ticket", upload: "3".repeat(32), part: 1 });
  assert.equal(world.last("upload_failed").code, "retry");
});

test("an upload that the agent gave up gives way to a fresh one of the same file", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const file = { t: "upload", name: "a.tar.gz", size: 3, content_type: "x" } as const;
  const sha256 = "a".repeat(64);
  await world.receive(1, { ...file, sha256, upload: "1".repeat(32) });
  await world.receive(1, { ...file, sha256, upload: "2".repeat(32) });
  assert.equal(world.last("upload_ready").upload, "2".repeat(32));
  await world.receive(1, { t: "ticket", upload: "1".repeat(32), part: 1 });
  assert.equal(world.last("upload_failed").code, "retry");
});

test("a result that names a file which was never uploaded publishes nothing", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.result(1, { uploads: ["e".repeat(32)] });
  assert.equal((await world.build.summary())?.class, "agent_error");
  assert.equal(world.publication(), null);
});

test("no other attempt may upload, ask for tickets or end the build", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.build.lost(1, "gone");
  await world.start(2);
  const before = world.count("refused");
  const upload = "a".repeat(32);
  await world.receive(1, { t: "ticket", upload, part: 1 });
  await world.result(1, { outcome: "failed", class: "make_error" });
  assert.equal(world.count("refused"), before + 2);
  assert.equal(await world.state(), "running");
});
