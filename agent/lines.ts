/**
 * Cuts one stream of a container into lines, as raw bytes with the offset at which each ends (rule 13).
 * A line over LOG_LINE_BYTES becomes several pieces, never cut inside a rune, an escape sequence or a secret.
 */
import { crc32 } from "node:zlib";
import { LOG_LINE_BYTES } from "../shared/limits.ts";
import type { Redactor } from "./redact.ts";
import { clean, ESCAPE_BYTES, lastState, safeCut } from "./text.ts";

/** How far a stream has been read: raw bytes from its start, and the checksum of all of them. */
export type Position = { at: number; crc: number };

/** What becomes one entry. `raw` has no line end; `bytes` counts what the stream had of it, line end included. */
export type Piece = { raw: Buffer; bytes: number; end: Position };

const LF = 0x0a;
const CR = 0x0d;
/** A byte becomes three at most: U+FFFD or a control picture. */
const GROWTH = 3;

export class LineReader {
  readonly #redactor: Redactor;
  #pending: Buffer = Buffer.alloc(0);
  /** Where `#pending` begins. */
  #position: Position;

  constructor(redactor: Redactor, from: Position = { at: 0, crc: 0 }) {
    this.#redactor = redactor;
    this.#position = from;
  }

  /** Lines that `data` completes. Keeps a bounded rest. */
  push(data: Buffer): Piece[] {
    const pieces: Piece[] = [];
    const buffer = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    let start = 0;
    for (let end = buffer.indexOf(LF); end !== -1; end = buffer.indexOf(LF, start)) {
      this.#line(buffer.subarray(start, end + 1), pieces);
      start = end + 1;
    }
    let rest = buffer.subarray(start);
    while (rest.length > lookAhead(this.#redactor)) rest = this.#shorten(rest, pieces);
    this.#pending = Buffer.from(rest);
    return pieces;
  }

  /** The last line, when the stream ended without a line end. */
  end(): Piece[] {
    const pieces: Piece[] = [];
    if (this.#pending.length > 0) this.#line(this.#pending, pieces);
    this.#pending = Buffer.alloc(0);
    return pieces;
  }

  /** A whole line, its end included. */
  #line(line: Buffer, pieces: Piece[]): void {
    let left = lastState(line);
    while (isLong(left, this.#redactor)) {
      const cut = cutPoint(left, this.#redactor);
      const used = left.byteOffset - line.byteOffset + cut;
      this.#give(line.subarray(0, used), left.subarray(0, cut), pieces);
      line = line.subarray(used);
      left = left.subarray(cut);
    }
    this.#give(line, left, pieces);
  }

  /** Takes something off the front of a line that has no end yet; returns what is left. */
  #shorten(rest: Buffer, pieces: Piece[]): Buffer {
    const overwritten = rest.lastIndexOf(CR, rest.length - 2) + 1;
    if (overwritten > 0) {
      this.#advance(rest.subarray(0, overwritten));
      return rest.subarray(overwritten);
    }
    const cut = cutPoint(rest, this.#redactor);
    this.#give(rest.subarray(0, cut), rest.subarray(0, cut), pieces);
    return rest.subarray(cut);
  }

  #give(used: Buffer, raw: Buffer, pieces: Piece[]): void {
    this.#advance(used);
    pieces.push({ raw, bytes: used.length, end: this.#position });
  }

  #advance(used: Buffer): void {
    this.#position = {
      at: this.#position.at + used.length,
      crc: crc32(used, this.#position.crc),
    };
  }
}

/** Bytes that must be seen to know whether a cut at LOG_LINE_BYTES falls into a secret. */
function lookAhead(redactor: Redactor): number {
  return LOG_LINE_BYTES + ESCAPE_BYTES + 4 * redactor.longest;
}

function isLong(line: Buffer, redactor: Redactor): boolean {
  if (line.length * GROWTH <= LOG_LINE_BYTES) return false;
  return line.length > lookAhead(redactor) || Buffer.byteLength(clean(line)) > LOG_LINE_BYTES;
}

/** Where to cut a long line: more than 0, and at most LOG_LINE_BYTES of text before it. */
function cutPoint(line: Buffer, redactor: Redactor): number {
  let cut = safeCut(line, Math.min(LOG_LINE_BYTES, line.length));
  if (Buffer.byteLength(clean(line.subarray(0, cut))) > LOG_LINE_BYTES)
    cut = safeCut(line, Math.floor(LOG_LINE_BYTES / GROWTH));
  const spans = redactor.find(clean(line.subarray(0, lookAhead(redactor))));
  const chars = clean(line.subarray(0, cut)).length;
  const split = spans.find((span) => span.from < chars && chars < span.to);
  if (!split) return cut;
  return split.from > 0 ? rawLength(line, split.from) : rawLength(line, split.to);
}

/** Bytes of the longest safe prefix of `line` whose text has at most `chars` characters. */
function rawLength(line: Buffer, chars: number): number {
  let low = 1;
  let high = line.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const fits = clean(line.subarray(0, safeCut(line, middle))).length <= chars;
    if (fits) low = middle;
    else high = middle - 1;
  }
  return safeCut(line, low);
}
