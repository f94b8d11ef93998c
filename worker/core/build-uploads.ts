/**
 * Files on their way into the bucket (protocol rules 5 and 6): where they go, the tickets for their parts, and
 * the proof that what arrived is what was announced. Every frame may come again after a reconnect.
 */
import {
  ARTIFACT_BYTES,
  ARTIFACT_FILES,
  PART_BYTES,
  SINGLE_PUT_BYTES,
  TICKET_MS,
} from "../../shared/limits.ts";
import type { AttemptDown, AttemptUp } from "../../shared/protocol.ts";
import type { BuildPorts, StoredObject } from "./build-ports.ts";
import type { BuildRow } from "./build-rows.ts";
import { fileKey, type ManifestFile } from "./manifest.ts";

/** Uploads of one file that may fail before the attempt does: the first and two fresh ones. */
const TRIES = 3;
/** Uploads that one attempt may open, with those it gave up: an honest agent needs a few more than it has files. */
const ATTEMPT_UPLOADS = 8 * ARTIFACT_FILES;
/** Bytes of an upload's nonce in its key. */
const NONCE_BYTES = 16;

type UploadFrame = Extract<AttemptUp, { t: "upload" | "ticket" | "uploaded" }>;
type Frame<T extends UploadFrame["t"]> = Extract<UploadFrame, { t: T }>;

type UploadRow = {
  upload: string;
  attempt: number;
  name: string;
  size: number;
  sha256: string;
  content_type: string;
  key: string;
  upload_id: string | null;
  state: "open" | "stored" | "failed";
  etag: string | null;
};

export class Uploads {
  readonly #ports: BuildPorts;
  /** Work under way by upload, so that a repeated frame waits for it instead of doing it twice. */
  readonly #busy = new Map<string, Promise<AttemptDown>>();

  constructor(ports: BuildPorts) {
    this.#ports = ports;
  }

  /** Answers one frame of the live attempt of `build`. Throws when R2 does not answer: the agent comes again. */
  async answer(build: BuildRow, frame: UploadFrame): Promise<AttemptDown> {
    if (frame.t === "ticket") return this.#ticket(build, frame);
    const name = `${frame.t} ${frame.upload}`;
    const known = this.#busy.get(name);
    if (known !== undefined) return known;
    const work = frame.t === "upload" ? this.#open(build, frame) : this.#finish(build, frame);
    this.#busy.set(name, work);
    try {
      return await work;
    } finally {
      this.#busy.delete(name);
    }
  }

  /** The files of `uploads`, in that order; null unless all of them are stored by `attempt`. */
  files(attempt: number, uploads: readonly string[]): ManifestFile[] | null {
    const files: ManifestFile[] = [];
    for (const upload of uploads) {
      const row = this.#row(upload);
      if (row?.attempt !== attempt || row.state !== "stored" || row.etag === null) return null;
      const { name, key, size, sha256, etag, content_type } = row;
      files.push({ name, key, size, sha256, etag, content_type });
    }
    return files;
  }

  /** Removes from the bucket what this build put there and did not publish. Throws when R2 does not answer. */
  async sweep(published: ReadonlySet<string>): Promise<void> {
    const { sql, store } = this.#ports;
    const rows = sql
      .exec<UploadRow>("SELECT * FROM uploads")
      .filter(({ key }) => !published.has(key));
    for (const { key, upload_id, state } of rows)
      if (upload_id !== null && state !== "stored") await store.abortUpload(key, upload_id);
    if (rows.length > 0) await store.remove(rows.map(({ key }) => key));
    sql.exec("DELETE FROM uploads");
  }

  async #open(build: BuildRow, frame: Frame<"upload">): Promise<AttemptDown> {
    const { sql, store, random } = this.#ports;
    const known = this.#row(frame.upload);
    const refusal = known
      ? isSame(known, build.attempt, frame)
        ? null
        : "This upload id was used for another file."
      : this.#whyNot(build.attempt, frame);
    if (refusal !== null) return failed(frame.upload, "fatal", refusal);
    if (known?.state === "failed") return failed(frame.upload, "retry", "This upload has failed.");
    if (known?.state === "stored") return ready(frame.upload, 0);
    if (!known) {
      // The agent gave its earlier upload of this file up without a word that arrived here.
      sql.exec(
        "UPDATE uploads SET state = 'failed' WHERE attempt = ? AND name = ? AND state = 'open'",
        build.attempt,
        frame.name,
      );
      const nonce = random.hex(NONCE_BYTES);
      const key = fileKey(build.target.visibility, build.id, build.attempt, nonce, frame.name);
      sql.exec(
        `INSERT INTO uploads (upload, attempt, name, size, sha256, content_type, key, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'open')`,
        frame.upload,
        build.attempt,
        frame.name,
        frame.size,
        frame.sha256,
        frame.content_type,
        key,
      );
    }
    const row = this.#row(frame.upload) as UploadRow;
    if (row.size > SINGLE_PUT_BYTES && row.upload_id === null) {
      const id = await store.createUpload(row.key, row.content_type);
      sql.exec("UPDATE uploads SET upload_id = ? WHERE upload = ?", id, frame.upload);
    }
    return ready(frame.upload, partsOf(row.size));
  }

  async #ticket(build: BuildRow, frame: Frame<"ticket">): Promise<AttemptDown> {
    const { clock, vault } = this.#ports;
    const row = this.#row(frame.upload);
    if (row?.attempt !== build.attempt || row.state !== "open")
      return failed(frame.upload, "retry", "There is no such upload under way.");
    const parts = partsOf(row.size);
    if (frame.part > parts || (parts > 1 && row.upload_id === null))
      return failed(frame.upload, "fatal", `This upload has ${parts} parts.`);
    const size =
      parts === 1 ? row.size : Math.min(PART_BYTES, row.size - (frame.part - 1) * PART_BYTES);
    const ticket = await vault.sign({
      build: build.id,
      attempt: build.attempt,
      upload: row.upload,
      part: frame.part,
      key: row.key,
      upload_id: row.upload_id,
      size,
      sha256: row.upload_id === null ? row.sha256 : null,
      content_type: row.content_type,
      exp: Math.floor((clock.now() + TICKET_MS) / 1000),
    });
    return { t: "ticket", upload: frame.upload, part: frame.part, ticket };
  }

  async #finish(build: BuildRow, frame: Frame<"uploaded">): Promise<AttemptDown> {
    const { sql, store } = this.#ports;
    const row = this.#row(frame.upload);
    if (row?.attempt !== build.attempt || row.state === "failed")
      return failed(frame.upload, "retry", "There is no such upload under way.");
    if (row.state === "stored") return { t: "upload_ok", upload: frame.upload };
    if (row.upload_id !== null) {
      const parts = frame.parts.toSorted((a, b) => a.part - b.part);
      if (!isWhole(parts, row.size)) return this.#fail(row, "The parts do not make one file.");
      // An unknown upload was completed by an answer that got lost: the look at the key below settles it.
      if ((await store.completeUpload(row.key, row.upload_id, parts)) === "mismatch")
        return this.#fail(row, "The parts do not make one file.");
    }
    const object = await this.#proof(row);
    if (object === null) return this.#fail(row, "No bytes have arrived.");
    if (object.size !== row.size || object.sha256 !== row.sha256)
      return this.#fail(row, "The bytes that arrived are not those that were announced.");
    sql.exec(
      "UPDATE uploads SET state = 'stored', etag = ? WHERE upload = ?",
      object.etag,
      row.upload,
    );
    return { t: "upload_ok", upload: frame.upload };
  }

  /** R2 checked a single put itself; an object put in parts has no checksum until it is read back. */
  #proof(row: UploadRow): Promise<StoredObject | null> {
    const { store } = this.#ports;
    return row.upload_id === null ? store.head(row.key) : store.readBack(row.key);
  }

  #fail(row: UploadRow, message: string): AttemptDown {
    const { sql } = this.#ports;
    sql.exec("UPDATE uploads SET state = 'failed' WHERE upload = ?", row.upload);
    const failures = sql.exec(
      "SELECT 1 AS one FROM uploads WHERE attempt = ? AND name = ? AND state = 'failed'",
      row.attempt,
      row.name,
    ).length;
    return failed(row.upload, failures < TRIES ? "retry" : "fatal", message);
  }

  #whyNot(attempt: number, frame: Frame<"upload">): string | null {
    const opened = this.#ports.sql.exec<{ name: string; state: UploadRow["state"] }>(
      "SELECT name, state FROM uploads WHERE attempt = ?",
      attempt,
    );
    if (opened.length >= ATTEMPT_UPLOADS)
      return `An attempt opens at most ${ATTEMPT_UPLOADS} uploads.`;
    const live = opened.filter(({ state }) => state !== "failed");
    if (frame.size > ARTIFACT_BYTES) return `A file has at most ${ARTIFACT_BYTES} bytes.`;
    const others = live.filter(({ name }) => name !== frame.name);
    if (others.length >= ARTIFACT_FILES)
      return `A build publishes at most ${ARTIFACT_FILES} files.`;
    if (live.some(({ name, state }) => name === frame.name && state === "stored"))
      return `${frame.name} is stored already.`;
    return null;
  }

  #row(upload: string): UploadRow | undefined {
    return this.#ports.sql.exec<UploadRow>("SELECT * FROM uploads WHERE upload = ?", upload)[0];
  }
}

function isSame(row: UploadRow, attempt: number, frame: Frame<"upload">): boolean {
  return (
    row.attempt === attempt &&
    row.name === frame.name &&
    row.size === frame.size &&
    row.sha256 === frame.sha256
  );
}

/** Whether each part of the file is there once. */
function isWhole(sorted: readonly { part: number }[], size: number): boolean {
  return sorted.length === partsOf(size) && sorted.every(({ part }, i) => part === i + 1);
}

function partsOf(size: number): number {
  return size <= SINGLE_PUT_BYTES ? 1 : Math.ceil(size / PART_BYTES);
}

function ready(upload: string, parts: number): AttemptDown {
  return { t: "upload_ready", upload, part_size: PART_BYTES, parts };
}

function failed(upload: string, code: "retry" | "fatal", message: string): AttemptDown {
  return { t: "upload_failed", upload, code, message };
}
