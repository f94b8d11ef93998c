import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LOG_UNACKED_BYTES } from "../shared/limits.ts";
import { disk } from "./disk.ts";
import { type Line, Spool } from "./spool.ts";

const folder = mkdtempSync(join(tmpdir(), "railhead-spool-"));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
const newFile = () => join(folder, `spool-${files++}.jsonl`);

function line(msg: string, at: number): Line {
  return {
    entry: { time: "2026-01-01T00:00:00.000Z", level: "info", msg, stream: "stdout" },
    side: { marks: [{ container: "c", stream: "stdout", at, crc: at * 7 }] },
  };
}

function seqs(spool: Spool): number[] {
  return (spool.batch(0, Number.MAX_SAFE_INTEGER)?.entries ?? []).map((e) => JSON.parse(e).seq);
}

test("a spool cut at any byte keeps every whole entry, and numbers the next one after them", () => {
  const file = newFile();
  const spool = new Spool(disk, file);
  spool.append([line("first ä", 8), line("second\tline", 20), line("🚂", 25)]);
  spool.close();
  const bytes = readFileSync(file);
  const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const torn = newFile();
    writeFileSync(torn, bytes.subarray(0, cut));
    const again = new Spool(disk, torn);
    const whole = ends.filter((end) => end <= cut).length;
    assert.equal(again.last, whole);
    assert.deepEqual(readFileSync(torn), bytes.subarray(0, ends[whole - 1] ?? 0));
    assert.equal(again.position("c", "stdout").at, [0, 8, 20, 25][whole]);
    again.append([line("next", 30)]);
    assert.deepEqual(seqs(again), [1, 2, 3, 4].slice(0, whole + 1));
    again.close();
  }
});

test("an entry with a byte turned is cut off with all behind it", () => {
  const file = newFile();
  const spool = new Spool(disk, file);
  spool.append([line("one", 1), line("two", 2), line("three", 3)]);
  spool.close();
  const bytes = readFileSync(file);
  const at = bytes.indexOf("two");
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  const again = new Spool(disk, file);
  assert.equal(again.last, 1);
  again.close();
});

test("after a restart the entries are sent again verbatim", () => {
  const file = newFile();
  const spool = new Spool(disk, file);
  spool.append([line('quote " and \u2028', 1), line("b", 2)]);
  const before = spool.batch(0, 1_000_000);
  spool.close();
  const again = new Spool(disk, file);
  assert.deepEqual(again.batch(0, 1_000_000), before);
  assert.equal(again.outputBytes, readFileSync(file).length);
  again.close();
});

test("a batch keeps to its size, but never starves on one large entry", () => {
  const spool = new Spool(disk, newFile());
  spool.append([line("x".repeat(5_000), 1), line("a", 2), line("b", 3)]);
  assert.equal(spool.batch(0, 100)?.last, 1);
  assert.equal(spool.batch(1, 10_000)?.last, 3);
  assert.equal(spool.batch(3, 10_000), null);
  spool.close();
});

test("the reader waits while too much is unacknowledged, and goes on at an acknowledgement", async () => {
  const spool = new Spool(disk, newFile());
  const big = Array.from({ length: Math.ceil(LOG_UNACKED_BYTES / 16_000) + 1 }, (_, index) =>
    line("x".repeat(16_000), index),
  );
  spool.append(big);
  let waited = true;
  const room = spool.room(new AbortController().signal).then(() => (waited = false));
  await new Promise(setImmediate);
  assert.equal(waited, true);
  spool.ack(spool.last);
  await room;
  assert.equal(spool.acked, big.length);
  spool.close();
});

test("garbage behind a good spool is cut off", () => {
  const file = newFile();
  const spool = new Spool(disk, file);
  spool.append([line("one", 1)]);
  spool.close();
  appendFileSync(file, "00000000 {}\t{}\nnot even a line");
  const again = new Spool(disk, file);
  assert.equal(again.last, 1);
  again.close();
});
