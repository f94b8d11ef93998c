import assert from "node:assert/strict";
import { test } from "node:test";
import { Kernel, Life } from "../kernel.ts";
import { SeededRandom } from "../random.ts";
import { SimDisk } from "./disk.ts";

function setUp(seed = 1) {
  const kernel = new Kernel(0);
  const disk = new SimDisk(new SeededRandom(seed));
  const life = new Life(kernel, "process");
  const port = disk.port(life, () => life.alive);
  const settle = async <T>(work: Promise<T>): Promise<T> => {
    work.catch(() => {});
    while (await kernel.step(kernel.now + 1_000));
    return work;
  };
  return { kernel, disk, life, port, settle };
}

test("what a process appended is there for the next one, and nothing of a dead one comes after", async () => {
  const { kernel, disk, life, port, settle } = setUp();
  await settle(port.makeFolder("/a/b"));
  const file = port.open("/a/b/file");
  file.append(Buffer.from("one\n"));
  life.end();
  file.append(Buffer.from("two\n"));
  const next = disk.port(new Life(kernel, "next"), () => true);
  assert.equal(next.readText("/a/b/file"), "one\n");
  assert.equal(next.open("/a/b/file").size, 4);
  assert.deepEqual(await settle(next.names("/a")), ["b"]);
});

test("a loss of power keeps what was synced, and at most some of the rest", async () => {
  const lengths = new Set<number>();
  for (let seed = 1; seed <= 30; seed++) {
    const { disk, port, settle } = setUp(seed);
    await settle(port.makeFolder("/a"));
    const file = port.open("/a/file");
    file.append(Buffer.from("synced"));
    await settle(file.sync());
    file.append(Buffer.from("unsynced"));
    disk.losePower();
    const left = disk.text("/a/file") ?? "";
    assert.ok(left.startsWith("synced"));
    lengths.add(left.length);
  }
  assert.ok(lengths.size > 3, "the rest was torn at several places");
});

test("a file is put in its place whole or not at all", async () => {
  const { disk, life, port, settle } = setUp();
  await settle(port.makeFolder("/a"));
  await settle(port.writeWhole("/a/file", "old"));
  void port.writeWhole("/a/file", "new");
  life.end();
  await settle(Promise.resolve());
  disk.losePower();
  assert.equal(disk.text("/a/file"), "old");
});

test("a full disk takes nothing and says so", async () => {
  const { disk, port, settle } = setUp();
  await settle(port.makeFolder("/a"));
  const file = port.open("/a/file");
  disk.full = true;
  assert.throws(() => file.append(Buffer.from("x")), { code: "ENOSPC" });
  assert.equal(disk.text("/a/file"), "");
  const put = port.writeWhole("/a/other", "x");
  await assert.rejects(settle(put), { code: "ENOSPC" });
});

test("a process that dies while it removes a folder leaves a part of it", async () => {
  const { kernel, disk, life, port, settle } = setUp();
  await settle(port.makeFolder("/a/b"));
  for (const name of ["1", "2", "3"]) await settle(port.writeWhole(`/a/b/${name}`, name));
  void port.remove("/a/b");
  while (disk.names("/a/b").length === 3) await kernel.step(kernel.now + 100);
  life.end();
  await settle(Promise.resolve());
  assert.ok(disk.names("/a/b").length > 0);
});
