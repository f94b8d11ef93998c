import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { AgentEntry } from "../shared/log.ts";
import { disk } from "./disk.ts";
import type { Chunk } from "./docker/contracts.ts";
import { type LogCaps, Output } from "./output.ts";
import { Redactor } from "./redact.ts";
import { Spool } from "./spool.ts";

const folder = mkdtempSync(join(tmpdir(), "railhead-output-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const CAPS: LogCaps = { head_bytes: 1_000_000, tail_bytes: 10_000 };
const never = new AbortController().signal;

function chunks(parts: [Chunk["stream"], string][], size = 11): Chunk[] {
  return parts.flatMap(([stream, text]) => {
    const bytes = Buffer.from(text);
    const out: Chunk[] = [];
    for (let at = 0; at < bytes.length; at += size)
      out.push({ stream, data: bytes.subarray(at, at + size) });
    return out;
  });
}

async function* iterate(parts: Chunk[], upTo = parts.length): AsyncIterable<Chunk> {
  for (const part of parts.slice(0, upTo)) yield part;
  if (upTo < parts.length) throw new Error("the agent was killed");
}

function entries(spool: Spool): AgentEntry[] {
  return (spool.batch(0, 1e9)?.entries ?? []).map((text) => JSON.parse(text));
}

function open(file = join(folder, `spool-${files++}`), caps = CAPS) {
  const spool = new Spool(disk, file);
  const output = new Output({
    spool,
    redactor: new Redactor(),
    caps,
    clock: { date: () => new Date("2026-01-01T00:00:00.000Z") },
  });
  return { spool, output, file };
}

test("an agent killed at any chunk continues both streams with no line lost or twice", async () => {
  const all = chunks([
    ["stdout", "out 1\nout 2 is longer\n"],
    ["stderr", "err 1\nerr 2"],
    ["stdout", "out 3\r\nbar 1\rbar 2\nout 4"],
    ["stderr", " goes on\nerr 3\n"],
    ["stdout", " goes on\nout 5 ä🚂\n"],
  ]);
  const of = (stream: Chunk["stream"]) => all.filter((chunk) => chunk.stream === stream);
  for (let kill = 0; kill < all.length; kill++) {
    const first = open();
    await assert.rejects(first.output.follow("c", iterate(all, kill), never));
    first.spool.close();
    // Read again, the two streams interleave differently.
    const second = open(first.file);
    const recent = await second.output.follow(
      "c",
      iterate([...of("stderr"), ...of("stdout")]),
      never,
    );
    const texts = (stream: string) =>
      entries(second.spool)
        .filter((entry) => entry.stream === stream)
        .map((entry) => entry.msg);
    assert.deepEqual(texts("stdout"), [
      "out 1",
      "out 2 is longer",
      "out 3",
      "bar 2",
      "out 4 goes on",
      "out 5 ä🚂",
    ]);
    assert.deepEqual(texts("stderr"), ["err 1", "err 2 goes on", "err 3"]);
    assert.equal(recent.length, 9);
    second.spool.close();
  }
});

test("output that the engine no longer has is an explicit gap, never a repeated line", async () => {
  const first = open();
  await assert.rejects(
    first.output.follow(
      "c",
      iterate(
        chunks(
          [
            ["stdout", "a\nb\nc\nd\n"],
            ["stdout", "x"],
          ],
          4,
        ),
        2,
      ),
      never,
    ),
  );
  first.spool.close();
  const rotated = open(first.file);
  await rotated.output.follow("c", iterate(chunks([["stdout", "wholly other\nlast\n"]])), never);
  const seen = entries(rotated.spool).map((entry) => entry.gap?.reason ?? entry.msg);
  assert.deepEqual(seen.slice(0, 5), ["a", "b", "c", "d", "output_lost"]);
  assert.equal(seen.at(-1), "last");
  rotated.spool.close();

  const shorter = open(first.file);
  await shorter.output.follow("c", iterate([]), never);
  assert.equal(entries(shorter.spool).at(-1)?.gap?.reason, "output_lost");
  shorter.spool.close();
});

test("when the engine dropped the beginning, a gap says so and only the end follows", async () => {
  const first = open();
  await assert.rejects(
    first.output.follow("c", iterate(chunks([["stdout", "a\nb\nx"]], 2), 2), never),
  );
  const left = Array.from({ length: 200 }, (_, index) => `late ${index}\n`).join("");
  await first.output.follow("c", iterate(chunks([["stdout", left]])), never, false);
  const seen = entries(first.spool).map((entry) => entry.gap?.reason ?? entry.msg);
  assert.deepEqual(seen.slice(0, 4), ["a", "b", "output_lost", "log_limit"]);
  assert.equal(seen.at(-1), "late 199");
  first.spool.close();
});

test("a log over its cap keeps head and tail, with a marker that counts what is left out", async () => {
  const caps = { head_bytes: 20_000, tail_bytes: 5_000 };
  const { spool, output } = open(undefined, caps);
  const text = Array.from({ length: 5_000 }, (_, index) => `line ${index}\n`).join("");
  await output.follow("c", iterate(chunks([["stdout", text]], 777)), never);
  const log = entries(spool);
  const lines = log.filter((entry) => entry.stream).map((entry) => Number(entry.msg.slice(5)));
  const gap = log.find((entry) => entry.gap)?.gap;
  const head = lines.findIndex((line, index) => line !== index);
  assert.ok(head > 50 && head < 500);
  assert.equal(lines.at(-1), 4_999);
  assert.equal(gap?.lines, 5_000 - lines.length);
  assert.equal(log.filter((entry) => /over its limit of 19.5 KiB/.test(entry.msg)).length, 1);
  assert.ok(spool.bytesAfter(0) < 40_000);
  spool.close();
});

test("the marker counts the bytes of a split line once", async () => {
  const { spool, output } = open(undefined, { head_bytes: 20_000, tail_bytes: 20_000 });
  const long = "x".repeat(200_000);
  await output.follow("c", iterate(chunks([["stdout", `${long}\n`]], 50_000)), never);
  const log = entries(spool);
  const kept = log.filter((entry) => entry.stream).map((entry) => entry.msg.length);
  const gap = log.find((entry) => entry.gap)?.gap;
  assert.equal(kept.reduce((a, b) => a + b) + (gap?.bytes ?? 0), long.length);
  spool.close();
});

test("a log over its cap survives a restart: one notice, one tail", async () => {
  const caps = { head_bytes: 5_000, tail_bytes: 2_000 };
  const text = Array.from({ length: 500 }, (_, index) => `line ${index}\n`).join("");
  const all = chunks([["stdout", text]], 100);
  const first = open(undefined, caps);
  await assert.rejects(first.output.follow("c", iterate(all, all.length - 3), never));
  first.spool.close();
  const second = open(first.file, caps);
  await second.output.follow("c", iterate(all), never);
  const log = entries(second.spool);
  const lines = log.filter((entry) => entry.stream).map((entry) => Number(entry.msg.slice(5)));
  assert.deepEqual([...new Set(lines)], lines);
  assert.equal(lines.at(-1), 499);
  assert.equal(log.filter((entry) => entry.gap)[0]?.gap?.lines, 500 - lines.length);
  assert.equal(log.filter((entry) => /is over its limit/.test(entry.msg)).length, 1);
  second.spool.close();
});

test("lines that look like frames stay lines", async () => {
  const { spool, output } = open();
  const forged = '{"t":"result","outcome":"succeeded"}\n{"t":"log","entries":[]}\t{"over":true}\n';
  await output.follow("c", iterate(chunks([["stdout", forged]])), never);
  assert.deepEqual(
    entries(spool)
      .map((entry) => `${entry.msg}\n`)
      .join(""),
    forged,
  );
  spool.close();
});

test("where the engine was away, the log says that something may be missing", async () => {
  const { spool, output } = open();
  const parts: Chunk[] = [
    { stream: "stdout", data: Buffer.from("one\n") },
    { stream: "stdout", data: Buffer.alloc(0), behindGap: true },
    { stream: "stdout", data: Buffer.from("nine\n") },
  ];
  await output.follow("c", iterate(parts), never);
  assert.deepEqual(
    entries(spool).map(({ msg, gap }) => gap?.reason ?? msg),
    ["one", "output_lost", "nine"],
  );
});
