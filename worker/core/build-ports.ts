/** What a Build is given instead of the platform: everything it cannot decide for itself. */
import type { AttemptDown } from "../../shared/protocol.ts";
import type { AppRpc } from "./app-contracts.ts";
import type { CatalogRpc, PoolRpc, Sealed, TargetRpc } from "./contracts.ts";
import type { Manifest } from "./manifest.ts";
import type { Alarm, Clock, Random, Sql } from "./ports.ts";
import type { Ticket } from "./ticket.ts";

/** An object in the bucket. `sha256` is null where R2 has none: an object put in parts. */
export type StoredObject = { size: number; etag: string; sha256: string | null };

/** The bucket, as the Build uses it. A throw means "R2 did not answer": try again later. */
export interface ArtifactStore {
  /** Opens an upload in parts; its id. */
  createUpload(key: string, contentType: string): Promise<string>;
  /**
   * `unknown`: completed or aborted before (10024), settled by a look at the key;
   * `mismatch`: these parts make no object (10011, 10025, 10048), a fresh upload is needed.
   */
  completeUpload(
    key: string,
    uploadId: string,
    parts: { part: number; etag: string }[],
  ): Promise<"completed" | "unknown" | "mismatch">;
  abortUpload(key: string, uploadId: string): Promise<void>;
  head(key: string): Promise<StoredObject | null>;
  /** Reads the object back and hashes it: `sha256` is set. */
  readBack(key: string): Promise<StoredObject | null>;
  /** Idempotent. */
  remove(keys: string[]): Promise<void>;
  manifest(key: string): Promise<{ manifest: Manifest; etag: string } | null>;
  /** Puts it where none is, or in place of the one with the etag `replacing`. False when another is there. */
  putManifest(key: string, manifest: Manifest, replacing: string | null): Promise<boolean>;
  /** Writes `bytes` bytes of NDJSON, pulled chunk by chunk. */
  putLog(key: string, bytes: number, chunks: Iterable<string>): Promise<void>;
}

/** Opens what the edge sealed, and signs what it hands out. */
export interface Vault {
  unseal(sealed: Sealed): Promise<string | null>;
  sign(ticket: Ticket): Promise<string>;
  /** SHA-256 as hex. */
  digest(text: string): Promise<string>;
}

/** The sockets of this build's attempts; `attempt`'s newest one is meant. Without one, nothing happens. */
export interface Sockets {
  send(attempt: number, frame: AttemptDown): void;
  close(attempt: number, code: number, reason: string): void;
}

export type OutgoingMail = { to: string; subject: string; text: string };

/** Mail to committers. */
export interface Mailer {
  /** Where the links in it lead. */
  readonly origin: string;
  /** Never throws, and takes a bounded time. Of the same `key` one is sent. `later`: nobody knows, or the API is busy. */
  send(mail: OutgoingMail, key: string): Promise<"sent" | "refused" | "later">;
}

export interface Timer {
  /** Resolves after `ms` milliseconds, or never once cancelled. */
  after(ms: number): { done: Promise<void>; cancel(): void };
}

export type BuildPorts = {
  sql: Sql;
  clock: Clock;
  random: Random;
  alarm: Alarm;
  timer: Timer;
  store: ArtifactStore;
  vault: Vault;
  sockets: Sockets;
  /** Null where no mail is written. */
  mail: Mailer | null;
  pool(name: string): Pick<PoolRpc, "enqueue" | "withdraw" | "ended" | "place">;
  catalog(): Pick<CatalogRpc, "put" | "claim" | "packages">;
  target(key: string): Pick<TargetRpc, "request">;
  /** The pool that builds of a repository (`remote/owner/repo`) go to; null when nothing is built from its remote. */
  poolFor(recipe: string, repository: string): string | null;
  /** The App that a replica is built for. */
  app(project: string): Pick<AppRpc, "built">;
  /** Lets work go on behind the current event; it never throws. */
  background(work: Promise<void>): void;
  /** Tells the operator of a fault that is survived by trying again. */
  report(what: string, error: unknown): void;
};
