import { createHash } from "node:crypto";
import type { ArtifactStore, StoredObject } from "../../worker/core/build-ports.ts";
import type { Manifest } from "../../worker/core/manifest.ts";
import type { Ticket } from "../../worker/core/ticket.ts";

/** The bucket in memory, with R2's rules for parts, conditions and checksums. `fail` makes it answer nothing. */
export class MemoryStore implements ArtifactStore {
  readonly objects = new Map<string, { bytes: Buffer; parted: boolean; etag: string }>();
  readonly uploads = new Map<
    string,
    { key: string; parts: Map<number, { bytes: Buffer; etag: string }> }
  >();
  /** Called before each operation: throw to lose the question. */
  fail: (operation: string) => void = () => {};
  /** Called after each operation: throw to lose the answer of something that was done. */
  failAfter: (operation: string) => void = () => {};
  #serial = 0;

  async #run<T>(operation: string, body: () => T): Promise<T> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.fail(operation);
    const result = body();
    this.failAfter(operation);
    return result;
  }

  createUpload(key: string): Promise<string> {
    return this.#run("createUpload", () => {
      const id = `upload-${++this.#serial}`;
      this.uploads.set(id, { key, parts: new Map() });
      return id;
    });
  }

  /** What the Worker does for a ticket. */
  putPart(ticket: Ticket, bytes: Buffer): string {
    const etag = `etag-${++this.#serial}`;
    if (ticket.upload_id === null) {
      if (sha256(bytes) !== ticket.sha256) throw new Error("did not match (10037)");
      this.objects.set(ticket.key, { bytes, parted: false, etag });
    } else this.uploads.get(ticket.upload_id)?.parts.set(ticket.part, { bytes, etag });
    return etag;
  }

  completeUpload(key: string, uploadId: string, parts: { part: number; etag: string }[]) {
    return this.#run("completeUpload", () => {
      const upload = this.uploads.get(uploadId);
      if (!upload) return "unknown" as const;
      const found = parts.map(({ part }) => upload.parts.get(part));
      if (found.some((part, i) => part?.etag !== parts[i]?.etag)) return "mismatch" as const;
      this.uploads.delete(uploadId);
      const bytes = Buffer.concat(found.map((part) => part?.bytes ?? Buffer.alloc(0)));
      this.objects.set(key, { bytes, parted: true, etag: `etag-${++this.#serial}` });
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
      const bytes = Buffer.from(JSON.stringify(manifest));
      this.objects.set(key, { bytes, parted: false, etag: `etag-${++this.#serial}` });
      return true;
    });
  }

  putLog(key: string, size: number, chunks: Iterable<string>): Promise<void> {
    return this.#run("putLog", () => {
      const bytes = Buffer.from([...chunks].join(""));
      if (bytes.length !== size) throw new Error(`${bytes.length} bytes came, not ${size}`);
      this.objects.set(key, { bytes, parted: false, etag: `etag-${++this.#serial}` });
    });
  }
}

export function sha256(bytes: Buffer | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
