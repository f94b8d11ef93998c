/** Archives that we write: the same bytes for the same files. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import tar from "tar-stream";

export type ArchiveFile = {
  /** Relative, without `./`. */
  name: string;
  /** Where its bytes lie. */
  file: string;
  size: number;
  executable: boolean;
};

/** A folder that has an entry of its own. */
export type ArchiveFolder = {
  /** Relative, with a slash at its end. */
  name: string;
};

/** Size in bytes and SHA-256 in hex. */
export type Digest = { size: number; sha256: string };

const EXECUTABLE_MODE = 0o755;
const FILE_MODE = 0o644;

/**
 * Writes a tar.gz whose bytes depend on nothing but names, contents, executable bits and `time` (seconds
 * since the epoch): sorted by name, owner root, no names or times in the gzip header. The signal ends it early.
 */
export async function writeArchive(
  entries: readonly (ArchiveFile | ArchiveFolder)[],
  target: string,
  time: number,
  signal: AbortSignal,
): Promise<Digest> {
  const pack = tar.pack();
  const sorted = [...entries].sort((a, b) =>
    Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  );
  const filling = fill(pack, sorted, new Date(time * 1000));
  filling.catch((error: Error) => pack.destroy(error));
  const digest = new Digester();
  await pipeline(pack, createGzip(), digest.through, createWriteStream(target, { mode: 0o600 }), {
    signal,
  });
  await filling;
  return digest.value();
}

async function fill(
  pack: tar.Pack,
  entries: readonly (ArchiveFile | ArchiveFolder)[],
  mtime: Date,
): Promise<void> {
  for (const entry of entries) {
    if (!("file" in entry)) {
      pack.entry({ name: entry.name, type: "directory", mode: EXECUTABLE_MODE, mtime });
      continue;
    }
    const { name, file, size, executable } = entry;
    const mode = executable ? EXECUTABLE_MODE : FILE_MODE;
    await pipeline(createReadStream(file), pack.entry({ name, type: "file", size, mode, mtime }));
  }
  pack.finalize();
}

/** Size and SHA-256 of a file on disk. */
export async function digestFile(file: string): Promise<Digest> {
  const digest = new Digester();
  for await (const chunk of createReadStream(file)) digest.add(chunk);
  return digest.value();
}

class Digester {
  readonly #hash = createHash("sha256");
  #size = 0;

  add(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#size += chunk.length;
  }

  /** A stage of a pipeline that changes nothing. */
  readonly through = async function* (this: Digester, chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      this.add(chunk);
      yield chunk;
    }
  }.bind(this);

  value(): Digest {
    return { size: this.#size, sha256: this.#hash.digest("hex") };
  }
}

/** Compresses a stream into a file. The signal ends it early. */
export async function writeGzip(
  source: Readable,
  target: string,
  signal: AbortSignal,
): Promise<Digest> {
  const digest = new Digester();
  const file = createWriteStream(target, { mode: 0o600 });
  await pipeline(source, createGzip(), digest.through, file, { signal });
  return digest.value();
}

/** The first file of a tar stream. Throws when there is none or it is larger than `max_bytes`. */
export async function firstFile(source: Readable, max_bytes: number): Promise<Buffer> {
  const extract = tar.extract();
  const reading = pipeline(source, extract);
  reading.catch(() => {}); // the loop ends with the same error
  for await (const entry of extract) {
    if (entry.header.type !== "file") {
      entry.resume();
      continue;
    }
    if (entry.header.size > max_bytes) throw new Error("the file is larger than expected");
    // Awaited here: to leave the loop destroys the entry.
    return await buffer(entry);
  }
  await reading;
  throw new Error("the archive holds no file");
}
