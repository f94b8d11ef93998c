/**
 * Writes a build context anew before the engine sees it, as a tar without compression: what is hostile in it is refused,
 * and the Dockerfile that was read is the one that the engine will find.
 */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import tar, { type Header } from "tar-stream";
import { showSize } from "../sizes.ts";
import { safeName } from "../unpack.ts";
import { RecipeFailure } from "./contracts.ts";

/** Entries of one context. */
const ENTRIES = 200_000;
/** Bytes that a tar of that size may have besides: headers, padding and its end. */
const OVERHEAD_BYTES = 64 * 1024 * 1024;
/** Bytes of a Dockerfile. */
const DOCKERFILE_BYTES = 1024 * 1024;
const TYPES = new Set(["file", "contiguous-file", "directory", "symlink", "link"]);

export type ContextLimits = {
  /** Path of the Dockerfile. */
  dockerfile: string;
  /** Leading segments of each name that are not to be kept. */
  strip: number;
  /** Bytes of all files, unpacked. */
  max_bytes: number;
  signal: AbortSignal;
};

/**
 * Reads a tar, plain or gzip, and writes it to the file `to`.
 * @returns the Dockerfile's text
 * @throws RecipeFailure context_error
 */
export async function writeContext(
  from: AsyncIterable<Uint8Array>,
  to: string,
  limits: ContextLimits,
): Promise<string> {
  const { signal, dockerfile } = limits;
  const extract = tar.extract();
  const pack = tar.pack();
  const context = new Context(limits);
  let cause: unknown;
  const reading = read(from, extract, limits).catch((error: unknown) => {
    cause = error;
  });
  const writing = pipeline(pack, createWriteStream(to, { mode: 0o600 }), { signal });
  writing.catch((error: Error) => extract.destroy(error));
  try {
    for await (const entry of extract) {
      const header = context.admit(entry.header);
      // Streamx does not type what its streams carry.
      const body = entry as AsyncIterable<Buffer>;
      if (header === null) entry.resume();
      else if (header.name === dockerfile) {
        context.text = await buffer(Readable.from(body));
        pack.entry(header, context.text);
      } else if (header.type === "file") await pipeline(body, pack.entry(header));
      else {
        pack.entry(header);
        entry.resume();
      }
    }
    pack.finalize();
    await Promise.all([reading, writing]);
    if (cause !== undefined) throw cause;
  } catch (error) {
    pack.destroy();
    extract.destroy();
    signal.throwIfAborted();
    await Promise.allSettled([reading, writing]);
    // When the source fails, the loop only knows that its own stream was destroyed.
    const destroyed =
      error instanceof Error && "code" in error && error.code === "STREAM_DESTROYED";
    throw contextFailure(destroyed ? cause : error);
  }
  if (context.text === null) throw noDockerfile(dockerfile);
  return context.text.toString("utf8");
}

async function read(
  from: AsyncIterable<Uint8Array>,
  extract: tar.Extract,
  { max_bytes, signal }: ContextLimits,
): Promise<void> {
  const chunks = from[Symbol.asyncIterator]();
  const { value: first } = await chunks.next();
  const all = Readable.from(
    (async function* () {
      if (first !== undefined) yield first;
      yield* { [Symbol.asyncIterator]: () => chunks };
    })(),
  );
  const isGzip = first !== undefined && first[0] === 0x1f && first[1] === 0x8b;
  if (!isGzip) return pipeline(all, extract, { signal });
  let bytes = 0;
  const counted = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > max_bytes + OVERHEAD_BYTES) throw tooLarge(max_bytes);
      yield chunk;
    }
  };
  return pipeline(all, createGunzip(), counted, extract, { signal });
}

/** What the entries so far make of the context. */
class Context {
  text: Buffer | null = null;
  readonly #limits: ContextLimits;
  /** Names below which nothing may lie: links and files. */
  readonly #ends = new Set<string>();
  /** Names below which something lies. */
  readonly #folders = new Set<string>();
  #entries = 0;
  #bytes = 0;

  constructor(limits: ContextLimits) {
    this.#limits = limits;
  }

  /** The header under which an entry is written; null for the top folder itself. @throws RecipeFailure */
  admit(header: Header): Header | null {
    const { max_bytes, strip, dockerfile } = this.#limits;
    this.#entries += 1;
    if (this.#entries > ENTRIES) throw refused(`holds more than ${ENTRIES} files and folders`);
    this.#bytes += header.size;
    if (this.#bytes > max_bytes) throw tooLarge(max_bytes);
    const shown = JSON.stringify(header.name.slice(-120));
    if (!TYPES.has(header.type ?? "")) throw refused(`holds ${shown}, a ${header.type}`);
    const name = inside(header.name, strip);
    if (name === null) throw refused(`holds ${shown}, whose name leads out of it or is too long`);
    if (name === "") return null;
    const isFolder = header.type === "directory";
    if (parents(name).some((parent) => this.#ends.has(parent)))
      throw refused(`holds ${shown}, which lies below a link or a file`);
    if (!isFolder && this.#folders.has(name))
      throw refused(`holds ${shown} where it has a folder already`);
    if (isFolder && this.#ends.has(name))
      throw refused(`holds ${shown} twice, as a folder and as something else`);
    if (isFolder) this.#folders.add(name);
    else this.#ends.add(name);
    for (const parent of parents(name)) this.#folders.add(parent);
    if (name === dockerfile) this.#admitDockerfile(header);
    const type = header.type === "contiguous-file" ? "file" : header.type;
    const size = type === "file" ? header.size : 0;
    return { ...header, name, type, size, pax: null, ...this.#link(header, shown) } as Header;
  }

  #admitDockerfile({ type, size }: Header): void {
    const { dockerfile } = this.#limits;
    if (type !== "file" && type !== "contiguous-file")
      throw refused(
        `has no regular file as ${dockerfile}: name the one that it means (dockerfile_path)`,
      );
    if (size > DOCKERFILE_BYTES) throw refused(`has a ${dockerfile} of ${showSize(size)}`);
  }

  #link({ type, linkname }: Header, shown: string): { linkname?: string } {
    if (type !== "link") return {};
    const target = inside(linkname ?? "", this.#limits.strip);
    if (target === null || target === "")
      throw refused(`holds ${shown}, a link to what is outside of it`);
    return { linkname: target };
  }
}

/** A name as it stands in the context: empty for the top folder, null when it leads out or is too long. */
function inside(raw: string, strip: number): string | null {
  if (raw.startsWith("/")) return null;
  const segments = raw.split("/").filter((segment) => segment !== "" && segment !== ".");
  const kept = segments.slice(strip).join("/");
  // Only looked at: a context may hold names that are not safe everywhere.
  if (kept === "") return segments.includes("..") ? null : "";
  return safeName(raw) === null ? null : kept;
}

function parents(name: string): string[] {
  const segments = name.split("/");
  return segments.slice(1).map((_, i) => segments.slice(0, i + 1).join("/"));
}

function noDockerfile(path: string): RecipeFailure {
  return new RecipeFailure(
    "context_error",
    `Cannot locate specified Dockerfile: ${path}. The tar must hold it under that very name.`,
  );
}

function refused(what: string): RecipeFailure {
  return new RecipeFailure("context_error", `The context ${what}.`);
}

function tooLarge(max_bytes: number): RecipeFailure {
  return refused(`unpacks to more than ${showSize(max_bytes)}, this agent's limit (limits.disk)`);
}

/** What a broken archive says becomes the build's end; what this host's disk says does not. */
function contextFailure(error: unknown): unknown {
  if (error instanceof RecipeFailure || !(error instanceof Error)) return error;
  const code = "code" in error ? String(error.code) : "";
  if (/^E[A-Z]+$/.test(code)) return error;
  return new RecipeFailure(
    "context_error",
    `The context is no whole tar, plain or gzip: ${error.message}.`,
  );
}
