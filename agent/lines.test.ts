import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { LOG_LINE_BYTES } from "../shared/limits.ts";
import { LineReader } from "./lines.ts";
import { Redactor } from "./redact.ts";
import { clean } from "./text.ts";

/** Lines as a viewer sees them, with the input cut into chunks of `size` bytes. */
function read(input: Buffer | string, size = 7, redactor = new Redactor()): string[] {
  const bytes = Buffer.from(input);
  const reader = new LineReader(redactor);
  const pieces = [];
  for (let at = 0; at < bytes.length; at += size)
    pieces.push(...reader.push(Buffer.from(bytes.subarray(at, at + size))));
  pieces.push(...reader.end());
  for (const { end } of pieces) assert.equal(end.crc, crc32(bytes.subarray(0, end.at)));
  return pieces.map((piece) => redactor.text(clean(piece.raw)));
}

test("lines come out whole however the bytes were cut", () => {
  const text = "first\n\nthird with äöü and 🚂\r\nlast without end";
  for (const size of [1, 2, 3, 5, 1_000])
    assert.deepEqual(read(text, size), ["first", "", "third with äöü and 🚂", "last without end"]);
});

test("each line knows the raw offset behind it, so that a successor continues exactly there", () => {
  const input = Buffer.from("one\nbar 10%\rbar 99%\n\x1b[31mred\x1b[0m\nend");
  const reader = new LineReader(new Redactor());
  const pieces = [...reader.push(input), ...reader.end()];
  for (const { end } of pieces) {
    const rest = new LineReader(new Redactor(), end);
    const again = [...rest.push(input.subarray(end.at)), ...rest.end()];
    assert.deepEqual(
      again.map((piece) => [piece.raw.toString(), piece.end]),
      pieces.filter((piece) => piece.end.at > end.at).map((p) => [p.raw.toString(), p.end]),
    );
  }
});

test("a progress bar shows its last state", () => {
  assert.deepEqual(read("10%\r50%\r100%\n"), ["100%"]);
  assert.deepEqual(read("10%\r100%\r\r\n"), ["100%"]);
  assert.deepEqual(read("10%\r100%\r   \r\n".replace("   ", "")), ["100%"]);
  assert.deepEqual(read("\r\n\r\r\n"), ["", ""]);
});

test("a progress bar that never ends its line takes bounded memory", () => {
  const bar = "x".repeat(999);
  assert.deepEqual(read(`${`${bar}\r`.repeat(500)}done`, 4_096), ["done"]);
});

test("colours and titles go, other control characters become visible, invalid UTF-8 is replaced", () => {
  assert.deepEqual(read("\x1b[1;31merror\x1b[0m: \x1b]0;title\x07x\x1b(B\x1b=y\n"), ["error: xy"]);
  assert.deepEqual(read("a\x00b\x07c\x7fd\te\n"), ["a␀b␇c␡d\te"]);
  assert.deepEqual(read(Buffer.from([0x61, 0xff, 0xc3, 0x28, 0x0a])), ["a\ufffd\ufffd("]);
  assert.deepEqual(read("\x1b[not finished\n\x1b"), ["ot finished", "␛"]);
});

test("a line of 64 MB is split, loses nothing and takes bounded memory", () => {
  const total = 64 * 2 ** 20;
  const chunk = Buffer.alloc(65_536, "a");
  const reader = new LineReader(new Redactor());
  let length = 0;
  let longest = 0;
  const count = (pieces: { raw: Buffer }[]) => {
    for (const { raw } of pieces) {
      length += raw.length;
      longest = Math.max(longest, raw.length);
    }
  };
  for (let sent = 0; sent < total; sent += chunk.length) count(reader.push(chunk));
  count(reader.end());
  assert.equal(length, total);
  assert.equal(longest, LOG_LINE_BYTES);
});

test("a long line of hostile bytes is never over the limit, whatever they become", () => {
  for (const hostile of [
    Buffer.alloc(100_000, 0xff),
    Buffer.alloc(100_000, 0),
    Buffer.from("🚂".repeat(30_000)),
    Buffer.from("\x1b[31m".repeat(20_000)),
    Buffer.from("\x1b]".repeat(40_000)),
    Buffer.alloc(100_000, 0x80),
  ]) {
    const lines = read(hostile, 10_007);
    for (const line of lines) assert.ok(Buffer.byteLength(line) <= LOG_LINE_BYTES);
  }
  assert.equal(read("🚂".repeat(30_000), 10_007).join(""), "🚂".repeat(30_000));
});

test("a secret that lies across the split of a long line is taken out", () => {
  const secret = "ghp_0123456789abcdef";
  const redactor = new Redactor();
  redactor.add([secret]);
  for (let before = LOG_LINE_BYTES - 25; before < LOG_LINE_BYTES + 5; before++)
    for (const end of ["\n", "x".repeat(9_000)]) {
      const text = read(
        `${"a".repeat(before)}${secret}${"b".repeat(5_000)}${end}`,
        4_099,
        redactor,
      );
      assert.equal(
        text.join("").replace(/x*\n?$/, ""),
        `${"a".repeat(before)}***${"b".repeat(5_000)}`,
      );
    }
});

test("a secret with colours inside, and one cut over chunks, is taken out", () => {
  const redactor = new Redactor();
  redactor.add(["ghp_0123456789abcdef"]);
  assert.deepEqual(read("t=ghp_01234\x1b[0m56789abcdef.\n", 3, redactor), ["t=***."]);
  assert.deepEqual(read("t=ghp_0123456789abcdef.\n", 1, redactor), ["t=***."]);
});
