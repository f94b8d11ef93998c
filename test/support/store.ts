import { createHash } from "node:crypto";
import type { ArtifactStore, StoredObject } from "../../worker/core/build-ports.ts";
import type { Manifest } from "../../worker/core/manifest.ts";
import type { Ticket } from "../../worker/core/ticket.ts";

type Part = { bytes: Buffer; etag: string };

/** What a bucket holds. */
export class Bucket {
  readonly objects = new Map<string, { bytes: Buffer; parted: boolean; etag: string }>();
  readonly uploads = new Map<string, { key: string; parts: Map<number, Part> }>();
  /** Called before an object is put. */
  watch: (key: string, bytes: Buffer) => void = () => {};
  #serial = 0;

  put(key: string, bytes: Buffer, parted = false): string {
    this.watch(key, bytes);
    const etag = `etag-${++this.#serial}`;
    this.objects.set(key, { bytes, parted, etag });
    return etag;
  }

  createUpload(key: string): string {
    const id = `upload-${++this.#serial}`;
    this.uploads.set(id, { key, parts: new Map() });
    return id;
  }

  /** What the Worker does for a ticket. @throws R2's error, with its number */
  putPart(ticket: Ticket, bytes: Buffer): string {
    if (ticket.upload_id === null) {
      if (sha256(bytes) !== ticket.sha256) throw new Error("did not match (10037)");
      return this.put(ticket.key, bytes);
    }
    const upload = this.uploads.get(ticket.upload_id);
    if (upload === undefined) throw new Error("no such upload (10024)");
    const etag = `etag-${++this.#serial}`;
    upload.parts.set(ticket.part, { bytes, etag });
    return etag;
  }
}

/** Does an operation on the bucket, when and if it gets there. */
type Run = <T>(operation: string, body: () => T) => Promise<T>;

/** A bucket in memory, with R2's rules for parts, conditions and checksums. */
export class MemoryStore implements ArtifactStore {
  /** Called before each operation: throw to lose the question. */
  fail: (operation: string) => void = () => {};
  /** Called after each operation: throw to lose the answer of something that was done. */
  failAfter: (operation: string) => void = () => {};
  readonly #bucket: Bucket;
  readonly #run: Run;

  constructor(bucket = new Bucket(), run?: Run) {
    this.#bucket = bucket;
    this.#run = run ?? ((operation, body) => this.#soon(operation, body));
  }

  get objects(): Bucket["objects"] {
    return this.#bucket.objects;
  }

  get uploads(): Bucket["uploads"] {
    return this.#bucket.uploads;
  }

  async #soon<T>(operation: string, body: () => T): Promise<T> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.fail(operation);
    const result = body();
    this.failAfter(operation);
    return result;
  }

  putPart(ticket: Ticket, bytes: Buffer): string {
    return this.#bucket.putPart(ticket, bytes);
  }

  createUpload(key: string): Promise<string> {
    return this.#run("createUpload", () => this.#bucket.createUpload(key));
  }

  completeUpload(key: string, uploadId: string, parts: { part: number; etag: string }[]) {
    return this.#run("completeUpload", () => {
      const upload = this.uploads.get(uploadId);
      if (!upload) return "unknown" as const;
      const found = parts.map(({ part }) => upload.parts.get(part));
      if (found.some((part, i) => part?.etag !== parts[i]?.etag)) return "mismatch" as const;
      this.uploads.delete(uploadId);
      this.#bucket.put(
        key,
        Buffer.concat(found.map((part) => part?.bytes ?? Buffer.alloc(0))),
        true,
      );
      return "completed" as const;
    });
  }

  abortUpload(_key: string, uploadId: string): Promise<void> {
    return this.#run("abortUpload", () => {
      this.uploads.delete(uploadId);
    });
  }

  head(key: string): Promise<StoredObject | null> {
    return this.#run("head", () => {
      const object = this.objects.get(key);
      if (!object) return null;
      const { bytes, parted, etag } = object;
      return { size: bytes.length, etag, sha256: parted ? null : sha256(bytes) };
    });
  }

  readBack(key: string): Promise<StoredObject | null> {
    return this.#run("readBack", () => {
      const object = this.objects.get(key);
      if (!object) return null;
      const { bytes, etag } = object;
      return { size: bytes.length, etag, sha256: sha256(bytes) };
    });
  }

  remove(keys: string[]): Promise<void> {
    return this.#run("remove", () => {
      for (const key of keys) this.objects.delete(key);
    });
  }

  manifest(key: string): Promise<{ manifest: Manifest; etag: string } | null> {
    return this.#run("manifest", () => {
      const object = this.objects.get(key);
      return object ? { manifest: JSON.parse(object.bytes.toString()), etag: object.etag } : null;
    });
  }

  putManifest(key: string, manifest: Manifest, replacing: string | null): Promise<boolean> {
    return this.#run("putManifest", () => {
      if ((this.objects.get(key)?.etag ?? null) !== replacing) return false;
      this.#bucket.put(key, Buffer.from(JSON.stringify(manifest)));
      return true;
    });
  }

  putLog(key: string, size: number, chunks: Iterable<string>): Promise<void> {
    const bytes = Buffer.from([...chunks].join(""));
    return this.#run("putLog", () => {
      if (bytes.length !== size) throw new Error(`${bytes.length} bytes came, not ${size}`);
      this.#bucket.put(key, bytes);
    });
  }
}

export function sha256(bytes: Buffer | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
