/** The bucket: the only file that touches R2. What lies where is said in core/manifest.ts. */
import type { Visibility } from "../shared/builds.ts";
import { CONTEXT_BYTES, CONTEXT_PART_BYTES } from "../shared/limits.ts";
import { Problem } from "../shared/problem.ts";
import type { ArtifactStore, StoredObject } from "./core/build-ports.ts";
import type { BuildContext } from "./core/contracts.ts";
import { logKey, type Manifest, manifestKey, manifestSchema } from "./core/manifest.ts";
import type { Ticket } from "./core/ticket.ts";

/** R2's errors carry their number in the text alone: `… (10037)`. */
const R2_CODE = /\((\d{5})\)/;
const UNKNOWN_UPLOAD = 10024;
/** Too small a part, a wrong etag, parts of unequal sizes. */
const BAD_PARTS = new Set([10011, 10025, 10048]);
const WRONG_CHECKSUM = 10037;

const NDJSON = "application/x-ndjson";

// ---- reading, for downloads ---------------------------------------------------------------------

/** The manifest of a published target (by `targetKey`); null when it is not published. */
export async function getManifest(
  bucket: R2Bucket,
  targetKey: string,
): Promise<{ manifest: Manifest; etag: string } | null> {
  return readManifest(bucket, manifestKey(targetKey));
}

/** Size, etag and times of a stored file, without its bytes; null when it is missing. */
export async function headFile(bucket: R2Bucket, key: string): Promise<R2Object | null> {
  return bucket.head(key);
}

/**
 * A stored file as a stream; null when it is missing. R2 honours `onlyIf` (a request's headers) and answers
 * an object without `body` when it says no; `range` is taken as it is, so it must lie inside the file.
 */
export async function getFile(
  bucket: R2Bucket,
  key: string,
  options: { range?: { offset: number; length: number }; onlyIf?: Headers } = {},
): Promise<R2ObjectBody | R2Object | null> {
  return bucket.get(key, options);
}

/** The copy of an ended build's log: NDJSON of LogEntry, in order of position. Null while its Build has it. */
export async function getLog(
  bucket: R2Bucket,
  visibility: Visibility,
  build: string,
): Promise<R2ObjectBody | null> {
  return bucket.get(logKey(visibility, build));
}

/** The last `bytes` bytes of that copy, or all of it; null when there is none. */
export async function getLogEnd(
  bucket: R2Bucket,
  visibility: Visibility,
  build: string,
  bytes: number,
): Promise<string | null> {
  const object = await bucket.get(logKey(visibility, build), { range: { suffix: bytes } });
  return object === null ? null : object.text();
}

// ---- writing, for agents' parts -----------------------------------------------------------------

/**
 * Stores the one part that a ticket is for and returns its etag. The body's length must be known and the
 * ticket's. Throws Problem `length_required`, `too_large`, `bad_checksum`, `attempt_over` (the upload was
 * completed or given up).
 */
export async function putPart(
  bucket: R2Bucket,
  ticket: Ticket,
  body: ReadableStream | ArrayBuffer,
  length: number | null,
): Promise<string> {
  if (length === null)
    throw new Problem("length_required", "Send the part with a Content-Length header.");
  if (length !== ticket.size)
    throw new Problem(
      length > ticket.size ? "too_large" : "bad_checksum",
      `Part ${ticket.part} has ${ticket.size} bytes; ${length} were announced. Ask for a fresh ticket.`,
    );
  try {
    if (ticket.upload_id !== null) {
      const upload = bucket.resumeMultipartUpload(ticket.key, ticket.upload_id);
      return (await upload.uploadPart(ticket.part, body)).etag;
    }
    const object = await bucket.put(ticket.key, body, {
      ...(ticket.sha256 === null ? {} : { sha256: ticket.sha256 }),
      httpMetadata: { contentType: ticket.content_type },
    });
    return object.etag;
  } catch (error) {
    const code = r2Code(error);
    if (code === WRONG_CHECKSUM)
      throw new Problem(
        "bad_checksum",
        "The bytes are not those that were announced. Nothing was stored.",
      );
    if (code === UNKNOWN_UPLOAD)
      throw new Problem("attempt_over", "This upload is finished or given up. Open a fresh one.");
    throw error;
  }
}

// ---- build contexts -----------------------------------------------------------------------------

/**
 * Stores what comes of a context, one part in memory at a time; removes it again when it does not come to its
 * end. Throws Problem `too_large`, and what `chunks` throws.
 */
export async function putContext(
  bucket: R2Bucket,
  key: string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<BuildContext> {
  const digest = new crypto.DigestStream("SHA-256");
  const hasher = digest.getWriter();
  const parts = new PartsWriter(bucket, key);
  let size = 0;
  try {
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > CONTEXT_BYTES) throw contextTooLarge();
      await hasher.write(chunk);
      await parts.write(chunk);
    }
    await hasher.close();
    await parts.close();
  } catch (error) {
    await Promise.allSettled([hasher.abort(error), parts.abort()]);
    throw error;
  }
  return { key, size, sha256: toHex(await digest.digest) };
}

/** 413 for what is, or says that it is, larger than a context may be. */
export function contextTooLarge(): Problem {
  return new Problem(
    "too_large",
    `A build context has at most ${CONTEXT_BYTES} bytes. Leave out with .dockerignore what the build does not need.`,
  );
}

export async function removeContext(
  bucket: R2Bucket,
  { key }: Pick<BuildContext, "key">,
): Promise<void> {
  await bucket.delete(key);
}

/** An object of unknown length: parts of equal size but for the last, or one put where there is only one. */
class PartsWriter {
  readonly #bucket: R2Bucket;
  readonly #key: string;
  readonly #part = new Uint8Array(CONTEXT_PART_BYTES);
  readonly #done: R2UploadedPart[] = [];
  #upload: R2MultipartUpload | null = null;
  #filled = 0;

  constructor(bucket: R2Bucket, key: string) {
    this.#bucket = bucket;
    this.#key = key;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.length > 0; ) {
      if (this.#filled === this.#part.length) await this.#send();
      const taken = rest.subarray(0, this.#part.length - this.#filled);
      this.#part.set(taken, this.#filled);
      this.#filled += taken.length;
      rest = rest.subarray(taken.length);
    }
  }

  async close(): Promise<void> {
    if (this.#upload === null) {
      await this.#bucket.put(this.#key, this.#part.subarray(0, this.#filled));
      return;
    }
    await this.#send();
    await this.#upload.complete(this.#done);
  }

  async abort(): Promise<void> {
    await this.#upload?.abort();
  }

  async #send(): Promise<void> {
    this.#upload ??= await this.#bucket.createMultipartUpload(this.#key);
    const bytes = this.#part.subarray(0, this.#filled);
    this.#done.push(await this.#upload.uploadPart(this.#done.length + 1, bytes));
    this.#filled = 0;
  }
}

// ---- what a Build does --------------------------------------------------------------------------

export function artifactStore(bucket: R2Bucket): ArtifactStore {
  return {
    createUpload: async (key, contentType) =>
      (await bucket.createMultipartUpload(key, { httpMetadata: { contentType } })).uploadId,
    completeUpload: (key, uploadId, parts) => completeUpload(bucket, key, uploadId, parts),
    abortUpload: (key, uploadId) => abortUpload(bucket, key, uploadId),
    head: async (key) => stored(await bucket.head(key)),
    readBack: (key) => readBack(bucket, key),
    remove: (keys) => bucket.delete(keys),
    manifest: (key) => readManifest(bucket, key),
    putManifest: (key, manifest, replacing) => putManifest(bucket, key, manifest, replacing),
    putLog: (key, bytes, chunks) => putLog(bucket, key, bytes, chunks),
  };
}

async function completeUpload(
  bucket: R2Bucket,
  key: string,
  uploadId: string,
  parts: { part: number; etag: string }[],
): Promise<"completed" | "unknown" | "mismatch"> {
  try {
    await bucket
      .resumeMultipartUpload(key, uploadId)
      .complete(parts.map(({ part, etag }) => ({ partNumber: part, etag })));
    return "completed";
  } catch (error) {
    const code = r2Code(error);
    if (code === UNKNOWN_UPLOAD) return "unknown";
    if (code !== null && BAD_PARTS.has(code)) return "mismatch";
    throw error;
  }
}

async function abortUpload(bucket: R2Bucket, key: string, uploadId: string): Promise<void> {
  try {
    await bucket.resumeMultipartUpload(key, uploadId).abort();
  } catch (error) {
    if (r2Code(error) !== UNKNOWN_UPLOAD) throw error;
  }
}

async function readBack(bucket: R2Bucket, key: string): Promise<StoredObject | null> {
  const object = await bucket.get(key);
  if (object === null) return null;
  const digest = new crypto.DigestStream("SHA-256");
  await object.body.pipeTo(digest);
  return { size: object.size, etag: object.etag, sha256: toHex(await digest.digest) };
}

function stored(object: R2Object | null): StoredObject | null {
  if (object === null) return null;
  const { sha256 } = object.checksums;
  return { size: object.size, etag: object.etag, sha256: sha256 ? toHex(sha256) : null };
}

async function readManifest(
  bucket: R2Bucket,
  key: string,
): Promise<{ manifest: Manifest; etag: string } | null> {
  const object = await bucket.get(key);
  return object && { manifest: manifestSchema.parse(await object.json()), etag: object.etag };
}

async function putManifest(
  bucket: R2Bucket,
  key: string,
  manifest: Manifest,
  replacing: string | null,
): Promise<boolean> {
  const onlyIf =
    replacing === null ? new Headers({ "if-none-match": "*" }) : { etagMatches: replacing };
  const object = await bucket.put(key, JSON.stringify(manifest), {
    onlyIf,
    httpMetadata: { contentType: "application/json" },
  });
  return object !== null;
}

async function putLog(
  bucket: R2Bucket,
  key: string,
  bytes: number,
  chunks: Iterable<string>,
): Promise<void> {
  const { readable, writable } = new FixedLengthStream(bytes);
  const put = bucket.put(key, readable, { httpMetadata: { contentType: NDJSON } });
  await Promise.all([put, write(writable, chunks)]);
}

async function write(
  writable: WritableStream<Uint8Array>,
  chunks: Iterable<string>,
): Promise<void> {
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  // Each chunk is waited for: a long log never stands in memory as a whole.
  try {
    for (const chunk of chunks) await writer.write(encoder.encode(chunk));
    await writer.close();
  } catch (error) {
    await writer.abort(error);
    throw error;
  }
}

function r2Code(error: unknown): number | null {
  const match = R2_CODE.exec(error instanceof Error ? error.message : "");
  return match ? Number(match[1]) : null;
}

function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
