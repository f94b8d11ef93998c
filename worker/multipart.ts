/**
 * The parts of a multipart body (RFC 2046 section 5.1.1) as they come, one after the other: nothing but a
 * delimiter's length is held back.
 */
import { Problem } from "../shared/problem.ts";
import { type Chunks, readText } from "./body.ts";

export type Part = {
  /** Of the form's field; "" where the part does not say. */
  name: string;
  /** Whether it came as a file rather than as text. */
  isFile: boolean;
  /** To be read as a whole or not at all. */
  content: Chunks;
};

/** Bytes before the first part, and of one part's headers. */
const HEADER_BYTES = 16 * 1024;
const CRLF = "\r\n";
const CR = 13;
/** What follows the last delimiter. */
const CLOSE = 0x2d;
/** A parameter of a header; a quotation mark in a quoted value comes as %22 or behind a backslash. */
const PARAMETER = /;\s*([\w-]+)\*?=(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/g;

/** The boundary that a Content-Type names; null when it is no multipart/form-data, or names none. */
export function boundaryOf(contentType: string | undefined): string | null {
  const [, quoted, token] =
    /^multipart\/form-data\b.*;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70})(?![^\s;]))/i.exec(
      contentType ?? "",
    ) ?? [];
  return quoted ?? token ?? null;
}

/**
 * Yields each part. Throws Problem `bad_body` when the body ends early or is no multipart.
 */
export async function* readParts(body: Chunks, boundary: string): AsyncGenerator<Part> {
  const delimiter = ascii(`${CRLF}--${boundary}`);
  const input = new Input(body);
  // The first delimiter has no line before it that it would end.
  input.unread(ascii(CRLF));
  await skip(input.until(delimiter, HEADER_BYTES));
  while (!(await input.startsWith(CLOSE))) {
    const head = input.until(ascii(CRLF + CRLF), HEADER_BYTES);
    const headers = await readText(head, HEADER_BYTES, tooManyHeaders);
    const content = input.until(delimiter, Number.POSITIVE_INFINITY);
    yield { ...disposition(headers), content };
    await skip(content);
  }
}

class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(body: Chunks) {
    this.#chunks = body[Symbol.asyncIterator]();
  }

  unread(bytes: Uint8Array): void {
    this.#rest = join(bytes, this.#rest);
  }

  async startsWith(byte: number): Promise<boolean> {
    while (this.#rest.length === 0) await this.#more();
    return this.#rest[0] === byte;
  }

  /** What comes before `delimiter`, which is consumed. */
  async *until(delimiter: Uint8Array, limit: number): AsyncGenerator<Uint8Array> {
    let left = limit;
    for (;;) {
      const at = indexOf(this.#rest, delimiter);
      // The last bytes may be the beginning of the delimiter.
      const end = at === -1 ? Math.max(0, this.#rest.length - delimiter.length + 1) : at;
      const content = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(at === -1 ? end : end + delimiter.length);
      left -= content.length;
      if (left < 0) throw tooManyHeaders();
      if (content.length > 0) yield content;
      if (at !== -1) return;
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done) throw malformed("it ends before its last boundary");
    this.#rest = join(this.#rest, value);
  }
}

/** Where `wanted`, which begins with CR, is in `bytes`; -1 when it is not there as a whole. */
function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  for (let at = bytes.indexOf(CR); at !== -1; at = bytes.indexOf(CR, at + 1))
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  return -1;
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** What a part's Content-Disposition says of it (RFC 7578 section 4.2). */
function disposition(headers: string): Omit<Part, "content"> {
  const [, value = ""] = /^content-disposition:(.*)$/im.exec(headers) ?? [];
  const parameters = new Map<string, string>();
  for (const [, key = "", quoted, token = ""] of value.matchAll(PARAMETER))
    parameters.set(key.toLowerCase(), quoted ?? token);
  return { name: parameters.get("name") ?? "", isFile: parameters.has("filename") };
}

async function skip(content: Chunks): Promise<void> {
  for await (const _ of content);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function tooManyHeaders(): Problem {
  return malformed("a part has too many headers");
}

function malformed(why: string): Problem {
  return new Problem("bad_body", `The multipart body is malformed: ${why}.`);
}
