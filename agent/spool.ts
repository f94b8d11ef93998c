/**
 * An attempt's log on the agent's disk (rule 13). An entry is numbered once, when it is appended here, before it is
 * sent; after a restart it is sent again verbatim. One line of the file is one entry:
 *
 *   crc32 of what follows, 8 hex | blank | the entry as JSON | tab | what only the agent needs, as JSON | newline
 *
 * A line that a crash tore is cut off: it was never sent.
 */
import { crc32 } from "node:zlib";
import { LOG_UNACKED_BYTES } from "../shared/limits.ts";
import type { AgentEntry } from "../shared/log.ts";
import { Latch } from "./latch.ts";
import type { Position } from "./lines.ts";
import type { AppendFile, Disk } from "./ports.ts";

/** Where in a container's output an entry ends. */
export type Mark = Position & { container: string; stream: "stdout" | "stderr" };

/** What an entry carries for the agent alone. `over`: from here on only the end of the output is kept. */
export type Side = { marks?: Mark[]; over?: true };

export type Line = { entry: Omit<AgentEntry, "seq">; side?: Side };

const CRC_CHARS = 8;
const READ_BYTES = 1024 * 1024;

export class Spool {
  readonly #file: AppendFile;
  /** Byte in the file at which entry `seq` begins, at index seq - 1; the end of the file comes last. */
  #starts: number[] = [0];
  #acked = 0;
  #marks = new Map<string, Mark>();
  #own: string[] = [];
  #outputBytes = 0;
  #over = false;
  readonly #changed = new Latch();

  /** Opens or creates the spool, and cuts off what a crash tore. */
  constructor(disk: Pick<Disk, "open">, file: string) {
    this.#file = disk.open(file);
    for (const { line, end } of wholeLines(this.#file)) {
      const parsed = parse(line, this.last + 1);
      if (!parsed) break;
      this.#starts.push(end);
      this.#note(parsed, line.length);
    }
    if (this.#end < this.#file.size) this.#file.truncate(this.#end);
  }

  /** Number of the newest entry; 0 without any. */
  get last(): number {
    return this.#starts.length - 1;
  }

  get acked(): number {
    return this.#acked;
  }

  /** Our own messages so far, in order. */
  get own(): readonly string[] {
    return this.#own;
  }

  /** Bytes of container output that the log holds, as entries. */
  get outputBytes(): number {
    return this.#outputBytes;
  }

  /** Whether the output went over the log's head. */
  get over(): boolean {
    return this.#over;
  }

  /** How far into that container's stream the log goes. */
  position(container: string, stream: Mark["stream"]): Position {
    const { at, crc } = this.#marks.get(`${container} ${stream}`) ?? { at: 0, crc: 0 };
    return { at, crc };
  }

  /** Numbers and stores entries, all or none. @throws the file system's error when the disk is full. */
  append(lines: readonly Line[]): void {
    if (lines.length === 0) return;
    const texts = lines.map(({ entry, side }, index) => {
      const json = `${JSON.stringify({ seq: this.last + 1 + index, ...entry })}\t${JSON.stringify(side ?? {})}`;
      return `${checksum(json)} ${json}\n`;
    });
    const sizes = texts.map((text) => Buffer.byteLength(text));
    this.#file.append(Buffer.from(texts.join("")));
    for (const [index, line] of lines.entries()) {
      const size = sizes[index] as number;
      this.#starts.push(this.#end + size);
      this.#note({ entry: line.entry, side: line.side ?? {} }, size);
    }
    this.#changed.open();
  }

  /** Everything up to `seq` is stored at the edge. */
  ack(seq: number): void {
    if (seq <= this.#acked) return;
    this.#acked = Math.min(seq, this.last);
    this.#changed.open();
  }

  /** Bytes from behind entry `after` to the end. */
  bytesAfter(after: number): number {
    return this.#end - (this.#starts[after] ?? this.#end);
  }

  /**
   * Entries behind `after` as JSON texts, up to `max_bytes` but at least one; null when there are none.
   * Read from the file, so that an unreachable edge costs disk and no memory.
   */
  batch(after: number, max_bytes: number): { entries: string[]; last: number } | null {
    if (after >= this.last) return null;
    const from = this.#starts[after] as number;
    let last = after + 1;
    while (last < this.last && (this.#starts[last + 1] as number) - from <= max_bytes) last += 1;
    const bytes = Buffer.alloc((this.#starts[last] as number) - from);
    this.#file.read(bytes, from);
    const entries = bytes
      .toString("utf8")
      .trimEnd()
      .split("\n")
      .map((line) => line.slice(CRC_CHARS + 1, line.lastIndexOf("\t")));
    return { entries, last };
  }

  /** Texts of the newest lines of that container (null: of any), oldest first, for as far as the last READ_BYTES reach. */
  recent(container: string | null, lines: number): string[] {
    const from = this.#starts.find((start) => start >= this.#end - READ_BYTES) ?? this.#end;
    const bytes = Buffer.alloc(this.#end - from);
    this.#file.read(bytes, from);
    return bytes
      .toString("utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => fields(line.slice(CRC_CHARS + 1)))
      .filter(({ entry }) => entry.stream)
      .filter(({ side }) => container === null || side.marks?.[0]?.container === container)
      .map(({ entry }) => entry.msg)
      .slice(-lines);
  }

  /** Settles at the next append or acknowledgement, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** Waits while too much is unacknowledged (this is what makes a container wait). Returns early on abort. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.bytesAfter(this.#acked) > LOG_UNACKED_BYTES && !signal.aborted)
      await this.changed(signal);
  }

  close(): void {
    this.#file.close();
  }

  get #end(): number {
    return this.#starts.at(-1) ?? 0;
  }

  #note({ entry, side }: { entry: Line["entry"]; side: Side }, bytes: number): void {
    for (const mark of side.marks ?? []) this.#marks.set(`${mark.container} ${mark.stream}`, mark);
    if (side.over) this.#over = true;
    if (entry.stream || entry.gap) this.#outputBytes += bytes;
    else this.#own.push(entry.msg);
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(CRC_CHARS, "0");
}

/** An entry with its number and checksum right; null when it is not. */
function parse(line: Buffer, seq: number): { entry: AgentEntry; side: Side } | null {
  const text = line.toString("utf8");
  const body = text.slice(CRC_CHARS + 1, -1);
  if (text.slice(0, CRC_CHARS) !== checksum(body)) return null;
  const parsed = fields(body);
  return parsed.entry.seq === seq ? parsed : null;
}

function fields(body: string): { entry: AgentEntry; side: Side } {
  const tab = body.lastIndexOf("\t");
  return { entry: JSON.parse(body.slice(0, tab)), side: JSON.parse(body.slice(tab + 1)) };
}

/** Lines of the file that have their end, with the byte behind each. */
function* wholeLines(file: AppendFile): Iterable<{ line: Buffer; end: number }> {
  let rest = Buffer.alloc(0);
  let end = 0;
  for (let at = 0; at < file.size; ) {
    const block = Buffer.alloc(Math.min(READ_BYTES, file.size - at));
    file.read(block, at);
    at += block.length;
    const bytes = Buffer.concat([rest, block]);
    let start = 0;
    for (let lf = bytes.indexOf(10); lf !== -1; lf = bytes.indexOf(10, start)) {
      end += lf + 1 - start;
      yield { line: bytes.subarray(start, lf + 1), end };
      start = lf + 1;
    }
    rest = bytes.subarray(start);
  }
}
