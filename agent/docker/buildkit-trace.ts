/**
 * From what BuildKit traces of a build to lines of a log: a line where a step begins and ends, and between them what
 * its command prints. The messages are moby.buildkit.v1's (moby/buildkit api/services/control/control.proto).
 */
import type { Chunk } from "./contracts.ts";
import { fieldsOf } from "./protobuf.ts";

/** Bytes of a line without an end that are held back for it. */
const REST_BYTES = 64 * 1024;
const STDERR = 2;

/** One message by its fields; of a field that is repeated, the last. */
type Message = Map<number, number | Buffer>;

export class TraceLines {
  /** Numbers of steps, in the order in which they began. */
  readonly #begun = new Map<string, number>();
  readonly #ended = new Set<string>();
  /** Output without its line's end, by step and stream. Steps run at once, and their lines must not mix. */
  readonly #rests = new Map<string, { stream: Chunk["stream"]; data: Buffer }>();

  /** @param trace a StatusResponse */
  next(trace: Buffer): Chunk[] {
    return fieldsOf(trace).flatMap(([number, value]) => {
      if (typeof value === "number") return [];
      if (number === 1) return this.#step(messageOf(value));
      if (number === 3) return this.#output(messageOf(value));
      return number === 4 ? [warning(value)] : [];
    });
  }

  /** What is left of output without an end. */
  end(): Chunk[] {
    return [...this.#rests.keys()].flatMap((key) => this.#flush(key));
  }

  /** A Vertex: told anew whenever something of it changes. */
  #step(vertex: Message): Chunk[] {
    const digest = textOf(vertex, 1);
    const chunks: Chunk[] = [];
    const cached = vertex.get(4) === 1;
    if ((vertex.has(5) || cached) && !this.#begun.has(digest)) {
      this.#begun.set(digest, this.#begun.size + 1);
      chunks.push(line("stdout", `#${this.#begun.size} ${textOf(vertex, 3)}`));
    }
    const number = this.#begun.get(digest);
    if (number === undefined || !vertex.has(6) || this.#ended.has(digest)) return chunks;
    this.#ended.add(digest);
    for (const stream of ["stdout", "stderr"] as const)
      chunks.push(...this.#flush(keyOf(digest, stream)));
    const error = textOf(vertex, 7);
    if (error !== "") chunks.push(line("stderr", `#${number} ERROR: ${error}`));
    else chunks.push(line("stdout", `#${number} ${cached ? "CACHED" : "DONE"}`));
    return chunks;
  }

  /** A VertexLog. */
  #output(log: Message): Chunk[] {
    const stream = log.get(3) === STDERR ? "stderr" : "stdout";
    const key = keyOf(textOf(log, 1), stream);
    const data = Buffer.concat([this.#rests.get(key)?.data ?? Buffer.alloc(0), bytesOf(log, 4)]);
    const end = data.length > REST_BYTES ? data.length : data.lastIndexOf("\n") + 1;
    this.#rests.set(key, { stream, data: data.subarray(end) });
    return end === 0 ? [] : [{ stream, data: data.subarray(0, end) }];
  }

  #flush(key: string): Chunk[] {
    const rest = this.#rests.get(key);
    this.#rests.delete(key);
    return rest === undefined || rest.data.length === 0 ? [] : [line(rest.stream, rest.data)];
  }
}

/** A VertexWarning: a sentence, more of it, and where to read about it. */
function warning(bytes: Buffer): Chunk {
  const texts = fieldsOf(bytes).flatMap(([number, value]) =>
    [3, 4, 5].includes(number) && typeof value !== "number" ? [value.toString()] : [],
  );
  return line("stderr", `WARNING: ${texts.join(" ")}`);
}

function line(stream: Chunk["stream"], text: string | Buffer): Chunk {
  const shown = typeof text === "string" ? Buffer.from(text.replace(/\s*\n\s*/g, " ")) : text;
  return { stream, data: Buffer.concat([shown, Buffer.from("\n")]) };
}

function keyOf(digest: string, stream: Chunk["stream"]): string {
  return `${digest} ${stream}`;
}

function messageOf(bytes: Buffer): Message {
  return new Map(fieldsOf(bytes));
}

function bytesOf(message: Message, field: number): Buffer {
  const value = message.get(field);
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

function textOf(message: Message, field: number): string {
  return bytesOf(message, field).toString();
}
