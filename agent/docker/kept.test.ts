import assert from "node:assert/strict";
import { test } from "node:test";
import type { Piece } from "./demux.ts";
import { Kept } from "./kept.ts";

const PART = "y".repeat(16 * 1024);

function entry(text: string, stream: Piece["stream"] = "stdout"): Piece {
  return { stream, data: Buffer.from(text), size: text.length, last: true };
}

function restored(...entries: Piece[]): string {
  const kept = new Kept();
  return Buffer.concat(entries.map((piece) => kept.restore(piece))).toString();
}

test("a line longer than the engine's buffer gets back the newline that the engine lost", () => {
  assert.equal(restored(entry(PART), entry("end"), entry("next\n")), `${PART}end\nnext\n`);
  assert.equal(restored(entry(PART), entry(PART), entry("end")), `${PART}${PART}end\n`);
});

test("two long lines of two streams are restored independently", () => {
  const pieces = [entry(PART), entry(PART, "stderr"), entry("a"), entry("b", "stderr")];
  assert.equal(restored(...pieces), `${PART}${PART}a\nb\n`);
});

test("short lines, and a last line without newline, stay as they are", () => {
  assert.equal(restored(entry("a\n"), entry("\n"), entry("b")), "a\n\nb");
});

test("an engine that keeps the newline itself is not given a second one", () => {
  assert.equal(restored(entry(PART), entry("end\n"), entry("next\n")), `${PART}end\nnext\n`);
});

test("an entry cut by the connection is judged as a whole", () => {
  const kept = new Kept();
  const half = { ...entry(PART.slice(0, 100)), size: PART.length, last: false };
  const rest = { ...entry(PART.slice(100)), size: PART.length };
  const pieces = [half, rest, entry("end")];
  const text = Buffer.concat(pieces.map((piece) => kept.restore(piece))).toString();
  assert.equal(text, `${PART}end\n`);
});

test("as long as less was kept than four files hold, nothing can be missing", () => {
  const kept = new Kept();
  const line = `${"x".repeat(9_999)}\n`;
  for (let i = 0; i < 8_000; i++) kept.restore(entry(line));
  assert.equal(kept.mayBeCut, false);
  for (let i = 0; i < 500; i++) kept.restore(entry(line));
  assert.equal(kept.mayBeCut, true);
});
