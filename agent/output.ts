/**
 * From what a container prints to entries in the spool: continued exactly behind what a predecessor of this process
 * had stored (rule 13), kept to the log's head and tail, as slow as the edge acknowledges.
 */
import { crc32 } from "node:zlib";
import type { Chunk } from "./docker/contracts.ts";
import { LineReader, type Piece, type Position } from "./lines.ts";
import type { Clock } from "./ports.ts";
import type { Redactor } from "./redact.ts";
import { showSize } from "./sizes.ts";
import type { Line, Mark, Spool } from "./spool.ts";
import { clean } from "./text.ts";

/** Lines that are handed to the recipe, to tell why a container failed. */
export const RECENT_LINES = 100;
/** What an entry costs beside its text, roughly: so that a million empty lines count too. */
const ENTRY_BYTES = 200;

const START: Position = { at: 0, crc: 0 };

export type LogCaps = { head_bytes: number; tail_bytes: number };

type Parts = { spool: Spool; redactor: Redactor; caps: LogCaps; clock: Pick<Clock, "date"> };
type Stream = Chunk["stream"];
type Kept = { stream: Stream; piece: Piece };

export class Output {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Stores the output of one container until it ends; waits for acknowledgements unless `signal` is aborted.
   * `complete` is false when the engine dropped the beginning of what it kept: offsets mean nothing then, so that only
   * the end is stored, behind a gap.
   * @returns the last lines, redacted
   */
  async follow(
    container: string,
    chunks: AsyncIterable<Chunk>,
    signal: AbortSignal,
    complete = true,
  ): Promise<string[]> {
    const parts = { container, ...this.#parts };
    const following = new Following(parts, complete);
    for await (const { stream, data, behindGap } of chunks) {
      if (behindGap) following.gap();
      following.take(stream, data);
      await this.#parts.spool.room(signal);
    }
    await following.end(signal);
    return this.#parts.spool.recent(container, RECENT_LINES);
  }
}

/** One container's two streams on their way to the spool. */
class Following {
  readonly #container: string;
  readonly #spool: Spool;
  readonly #redactor: Redactor;
  readonly #caps: LogCaps;
  readonly #clock: Parts["clock"];
  readonly #streams: Record<Stream, Continuation>;
  readonly #tail: Tail;

  constructor(
    { container, spool, redactor, caps, clock }: Parts & { container: string },
    complete: boolean,
  ) {
    this.#container = container;
    this.#spool = spool;
    this.#redactor = redactor;
    this.#caps = caps;
    this.#clock = clock;
    const stored = (name: Stream) => (complete ? spool.position(container, name) : START);
    this.#streams = {
      stdout: new Continuation(redactor, stored("stdout")),
      stderr: new Continuation(redactor, stored("stderr")),
    };
    this.#tail = new Tail(caps.tail_bytes);
    if (!complete) spool.append([{ ...this.#gap(null), side: { over: true } }]);
  }

  take(stream: Stream, data: Buffer): void {
    const { pieces, lost } = this.#streams[stream].push(data);
    if (lost) this.#lost(stream, lost);
    this.#store(stream, pieces);
  }

  /** Something may be missing that nobody can name. */
  gap(): void {
    this.#spool.append([this.#gap(null)]);
  }

  async end(signal: AbortSignal): Promise<void> {
    for (const stream of ["stdout", "stderr"] as const) {
      const { pieces, lost } = this.#streams[stream].end();
      if (lost) this.#lost(stream, lost);
      this.#store(stream, pieces);
    }
    const { left_out, kept } = this.#tail;
    if (left_out.lines > 0) {
      const marks = [...left_out.ends].map(([stream, end]) => this.#mark(stream, end));
      this.#spool.append([{ ...this.#leftOut(left_out), side: { marks } }]);
    }
    for (const { stream, piece } of kept) {
      this.#spool.append([this.#line(stream, piece)]);
      await this.#spool.room(signal);
    }
  }

  #store(stream: Stream, pieces: Piece[]): void {
    const lines: Line[] = [];
    let bytes = this.#spool.outputBytes;
    let over = this.#spool.over;
    for (const piece of pieces) {
      if (!over && bytes >= this.#caps.head_bytes) {
        over = true;
        lines.push(this.#limitReached());
      }
      if (over) this.#tail.push({ stream, piece });
      else {
        const line = this.#line(stream, piece);
        lines.push(line);
        bytes += Buffer.byteLength(line.entry.msg) + ENTRY_BYTES;
      }
    }
    this.#spool.append(lines);
  }

  #line(stream: Stream, piece: Piece): Line {
    const msg = this.#redactor.text(clean(piece.raw));
    return {
      entry: { time: this.#now(), level: "info", msg, stream },
      side: { marks: [this.#mark(stream, piece.end)] },
    };
  }

  #now(): string {
    return this.#clock.date().toISOString();
  }

  #mark(stream: Stream, end: Position): Mark {
    return { container: this.#container, stream, ...end };
  }

  #limitReached(): Line {
    const { head_bytes, tail_bytes } = this.#caps;
    const msg = `The log is over its limit of ${showSize(head_bytes)}: of what follows, the last ${showSize(tail_bytes)} are kept.`;
    return { entry: { time: this.#now(), level: "warning", msg }, side: { over: true } };
  }

  #leftOut({ lines, bytes }: { lines: number; bytes: number }): Line {
    return {
      entry: {
        time: this.#now(),
        level: "warning",
        msg: `${lines} lines (${showSize(bytes)}) are left out here: the log was over its limit.`,
        gap: { bytes, lines, reason: "log_limit" },
      },
    };
  }

  #lost(stream: Stream, at: Position): void {
    this.#spool.append([{ ...this.#gap(stream), side: { marks: [this.#mark(stream, at)] } }]);
  }

  #gap(stream: Stream | null): Line {
    return {
      entry: {
        time: this.#now(),
        level: "warning",
        msg: `Some of ${stream ?? "the output"} may be missing here: the engine did not keep it while the agent or the engine itself was away.`,
        gap: { ...(stream && { stream }), reason: "output_lost" },
      },
    };
  }
}

/** One stream, read again from its start: what the spool holds of it already is passed over and verified. */
class Continuation {
  readonly #redactor: Redactor;
  readonly #stored: Position;
  #passed: Position = { at: 0, crc: 0 };
  #reader: LineReader | null = null;

  constructor(redactor: Redactor, stored: Position) {
    this.#redactor = redactor;
    this.#stored = stored;
    if (stored.at === 0) this.#reader = new LineReader(redactor);
  }

  /** `lost`: where the stream is continued although its beginning is not what had been stored. */
  push(data: Buffer): { pieces: Piece[]; lost: Position | null } {
    if (this.#reader) return { pieces: this.#reader.push(data), lost: null };
    const known = data.subarray(0, this.#stored.at - this.#passed.at);
    this.#passed = {
      at: this.#passed.at + known.length,
      crc: crc32(known, this.#passed.crc),
    };
    if (this.#passed.at < this.#stored.at) return { pieces: [], lost: null };
    this.#reader = new LineReader(this.#redactor, this.#passed);
    const lost = this.#passed.crc === this.#stored.crc ? null : this.#passed;
    return { pieces: this.#reader.push(data.subarray(known.length)), lost };
  }

  end(): { pieces: Piece[]; lost: Position | null } {
    if (this.#reader) return { pieces: this.#reader.end(), lost: null };
    return { pieces: [], lost: this.#stored };
  }
}

/** The end of an output that is over its head: a bounded number of bytes, and what was left out before them. */
class Tail {
  readonly #max_bytes: number;
  #kept: Kept[] = [];
  #first = 0;
  #bytes = 0;
  readonly left_out = { lines: 0, bytes: 0, ends: new Map<Stream, Position>() };

  constructor(max_bytes: number) {
    this.#max_bytes = max_bytes;
  }

  get kept(): readonly Kept[] {
    return this.#kept.slice(this.#first);
  }

  push({ stream, piece }: Kept): void {
    // A copy: a short line must not keep the whole chunk that it came in.
    this.#kept.push({ stream, piece: { ...piece, raw: Buffer.from(piece.raw) } });
    this.#bytes += piece.raw.length + ENTRY_BYTES;
    while (this.#bytes > this.#max_bytes && this.#first < this.#kept.length) this.#leaveOut();
    if (this.#first > 1_000 && this.#first * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#first);
      this.#first = 0;
    }
  }

  #leaveOut(): void {
    const { stream, piece } = this.#kept[this.#first] as Kept;
    this.#first += 1;
    this.#bytes -= piece.raw.length + ENTRY_BYTES;
    this.left_out.lines += 1;
    this.left_out.bytes += piece.bytes;
    this.left_out.ends.set(stream, piece.end);
  }
}
