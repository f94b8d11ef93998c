/**
 * What the engine kept of a container's output (the `local` log driver), and what that driver changes of it.
 *
 * An entry is one line, sent as one frame. A line longer than the engine's 16 KiB buffer is stored in parts: all but
 * its last are exactly that long, and the newline after the last part is lost (seen on 20.10). It is put back here, so
 * that offsets agree with what an attached reader counts. What cannot be told apart: a line of exactly a multiple of
 * 16 KiB (its newline stays lost) and a long last line that never had a newline (it gets one).
 */
import type { Piece } from "./demux.ts";

/** Bytes of the engine's line buffer: what every part of a long line but its last measures. */
const PART_BYTES = 16 * 1024;
/** Bytes of one of the engine's log files before it begins the next. */
export const KEPT_FILE_BYTES = 20 * 1024 * 1024;
/** Files that the engine keeps; beyond them it drops the oldest. */
export const KEPT_FILES = 5;
/** Bytes that the driver stores with an entry, at the most: two lengths, source, time, length of the line. */
const ENTRY_OVERHEAD_BYTES = 32;
/** Bytes more when the entry is a part: its identity, place and end. */
const PART_OVERHEAD_BYTES = 80;
const NEWLINE = 0x0a;

type Stream = { inLongLine: boolean };

/** Restores the bytes of kept output, piece by piece, and counts what they take in the engine's files. */
export class Kept {
  readonly #streams = { stdout: { inLongLine: false }, stderr: { inLongLine: false } };
  #stored = 0;

  /** @returns the bytes that the container wrote, as far as this piece tells. */
  restore(piece: Piece): Buffer {
    if (!piece.last) return piece.data;
    const stream: Stream = this.#streams[piece.stream];
    const newline = piece.data.at(-1) === NEWLINE;
    this.#stored += piece.size + ENTRY_OVERHEAD_BYTES + (newline ? 0 : PART_OVERHEAD_BYTES);
    const part = !newline && piece.size === PART_BYTES;
    const lost = !newline && !part && stream.inLongLine;
    stream.inLongLine = part;
    return lost ? Buffer.concat([piece.data, Buffer.of(NEWLINE)]) : piece.data;
  }

  /** True when so much was read that the engine may have dropped the beginning. */
  get mayBeCut(): boolean {
    return this.#stored >= KEPT_FILE_BYTES * (KEPT_FILES - 1);
  }
}
