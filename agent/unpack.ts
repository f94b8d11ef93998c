/**
 * Reads what comes out of a container as a tar, which is hostile: files are stored under numbers, so that
 * no path of the host is ever made out of a name, and links are never followed.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import tar, { type Header } from "tar-stream";

/** A regular file that came out. */
export type Unpacked<T> = {
  /** Relative, and safe to unpack anywhere. */
  name: string;
  /** Where it lies on the agent's disk. */
  file: string;
  /** Bytes. */
  size: number;
  executable: boolean;
  /** What `look` made of its first bytes. */
  seen: T;
};

/** What was left out, and why. `name` is safe to show. */
export type Dropped = { name: string; why: string };

/** More bytes or files than allowed; the message says which. */
export class ArchiveTooLarge extends Error {
  override name = "ArchiveTooLarge";
}

export type UnpackOptions<T> = {
  /** Folder of the agent's disk, empty. */
  into: string;
  /** Leading segments of each name that are not to be kept. */
  strip: number;
  max_bytes: number;
  max_files: number;
  /** Bytes of a file's start that `look` gets. */
  head_bytes: number;
  look: (head: Buffer) => T;
  /** Ends it early. */
  signal: AbortSignal;
};

/** Bytes of one segment of a name; file systems take no more. */
const SEGMENT_BYTES = 255;
/** Bytes of a whole name. */
const NAME_BYTES = 1024;
/** Characters of a name that was left out, as it is shown: the end tells more. */
const SHOWN_CHARS = 120;
/** Control characters, what was no UTF-8, and what is a separator on Windows. */
const UNSAFE = /[\p{Cc}\p{Cs}\\\ufffd]/gu;

/**
 * Stores the regular files of a tar. A hard link to a file before it becomes a copy. Symbolic links, devices,
 * names that lead out and names that collide are left out and reported.
 * @throws ArchiveTooLarge; what the stream or the disk throws
 */
export async function unpack<T>(
  source: Readable,
  options: UnpackOptions<T>,
): Promise<{ files: Unpacked<T>[]; dropped: Dropped[] }> {
  const contents = new Contents<T>(options);
  const extract = tar.extract();
  let cause: unknown;
  const reading = pipeline(source, extract, { signal: options.signal }).catch((error: unknown) => {
    cause = error;
  });
  try {
    for await (const entry of extract) {
      // streamx does not type what its streams carry.
      await contents.add(entry.header, entry as AsyncIterable<Buffer>);
      entry.resume();
    }
  } catch (error) {
    await reading;
    // When the source fails, the loop only knows that its own stream was destroyed.
    throw error instanceof Error && "code" in error && error.code === "STREAM_DESTROYED"
      ? cause
      : error;
  }
  await reading;
  if (cause !== undefined) throw cause;
  return { files: [...contents.files.values()], dropped: contents.dropped };
}

class Contents<T> {
  readonly files = new Map<string, Unpacked<T>>();
  readonly dropped: Dropped[] = [];
  readonly #options: UnpackOptions<T>;
  readonly #folders = new Set<string>();
  /** By the name in the tar, which is what a hard link says. */
  readonly #originals = new Map<string, Unpacked<T>>();
  #bytes = 0;
  #fileCount = 0;
  #folderCount = 0;

  constructor(options: UnpackOptions<T>) {
    this.#options = options;
  }

  async add(header: Header, body: AsyncIterable<Buffer>): Promise<void> {
    const { max_files, max_bytes, strip } = this.#options;
    if (header.type === "directory") this.#folderCount += 1;
    else this.#fileCount += 1;
    if (this.#fileCount > max_files)
      throw new ArchiveTooLarge(`The build made more than ${max_files} files`);
    if (this.#folderCount > max_files)
      throw new ArchiveTooLarge(`The build made more than ${max_files} folders`);
    if (header.type === "directory") return;
    const original = header.type === "link" ? this.#originals.get(header.linkname) : undefined;
    const name = safeName(header.name, strip);
    const drop = (why: string) =>
      void this.dropped.push({ name: showName(header.name, strip), why });
    if (header.type === "symlink") return drop("it is a symbolic link");
    if (header.type !== "file" && header.type !== "contiguous-file" && original === undefined)
      return drop("it is no regular file");
    if (name === null) return drop("its name leads out of the archive or is too long");
    if (this.#taken(name)) return drop("another file has its name");
    const size = original?.size ?? header.size;
    this.#bytes += size;
    if (this.#bytes > max_bytes)
      throw new ArchiveTooLarge(`The build made more than ${max_bytes} bytes`);
    const file = original
      ? { ...original, name }
      : { name, size, executable: isExecutable(header), ...(await this.#store(body)) };
    this.files.set(name, file);
    this.#originals.set(header.name, file);
    for (const parent of parents(name)) this.#folders.add(parent);
  }

  #taken(name: string): boolean {
    if (this.files.has(name) || this.#folders.has(name)) return true;
    return parents(name).some((parent) => this.files.has(parent));
  }

  async #store(body: AsyncIterable<Buffer>): Promise<{ file: string; seen: T }> {
    const { into, head_bytes, look } = this.#options;
    const file = join(into, String(this.#fileCount));
    const head: Buffer[] = [];
    let missing = head_bytes;
    const handle = await open(file, "wx", 0o600);
    try {
      for await (const chunk of body) {
        if (missing > 0) head.push(Buffer.from(chunk.subarray(0, missing)));
        missing -= Math.min(missing, chunk.length);
        await handle.writeFile(chunk);
      }
    } finally {
      await handle.close();
    }
    return { file, seen: look(Buffer.concat(head)) };
  }
}

/**
 * A name as it may stand in an archive that strangers unpack on any system: relative, without `.` and `..`,
 * unsafe characters replaced. Null when it leads out, is too long, or nothing is left of it.
 */
export function safeName(raw: string, strip = 0): string | null {
  const segments = raw.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.includes("..")) return null;
  const kept = segments.slice(strip).map((segment) => segment.replace(UNSAFE, "_"));
  if (kept.some((segment) => Buffer.byteLength(segment) > SEGMENT_BYTES)) return null;
  const name = kept.join("/");
  return name === "" || Buffer.byteLength(name) > NAME_BYTES ? null : name;
}

function showName(raw: string, strip: number): string {
  const segments = raw.split("/").filter((segment) => segment !== "");
  return segments.slice(strip).join("/").replace(UNSAFE, "_").slice(-SHOWN_CHARS);
}

function isExecutable(header: Header): boolean {
  return (header.mode & 0o111) !== 0;
}

/** `a/b/c` has the parents `a` and `a/b`. */
function parents(name: string): string[] {
  const segments = name.split("/");
  return segments.slice(1).map((_, i) => segments.slice(0, i + 1).join("/"));
}
