/** What the agent is given instead of its machine, so that the simulation can run it in virtual time (DESIGN.md rule 1). */
import type * as z from "zod";
import type { EdgeRefusal } from "./edge.ts";

export interface Clock {
  /** Milliseconds since the host was started, suspended time included. */
  now(): number;
  /** The wall clock: for people to read, never to compare with another machine's. */
  date(): Date;
  /** Calls `then` once, after `ms` milliseconds. What it returns calls that off. */
  after(ms: number, then: () => void): () => void;
}

export interface Random {
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
  /** In [0, 1). */
  fraction(): number;
}

/** A file that grows at its end, and may be cut back. */
export interface AppendFile {
  /** Bytes it had when it was opened. */
  readonly size: number;
  /** Adds all of `bytes`, or nothing. @throws the file system's error when the disk is full */
  append(bytes: Buffer): void;
  /** Fills `into` from byte `at` on. @throws when the file ends before */
  read(into: Buffer, at: number): void;
  truncate(size: number): void;
  /** Settles when what was appended survives a loss of power. */
  sync(): Promise<void>;
  close(): void;
}

/** The folder of the agent, readable by its user alone. */
export interface Disk {
  /** With those above it. */
  makeFolder(path: string): Promise<void>;
  names(folder: string): Promise<string[]>;
  /** Null when there is no such file. */
  readText(file: string): string | null;
  /** Puts a file in its place, whole and synced, whatever happens meanwhile. */
  writeWhole(file: string, text: string): Promise<void>;
  /** A file or folder with all that is in it; fine when there is none. */
  remove(path: string): Promise<void>;
  /** Creates it when it is not there. */
  open(file: string): AppendFile;
  /** @throws when the file is shorter */
  read(file: string, from: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** How a connection ended. */
export type LineEnd =
  | { kind: "closed"; code: number; reason: string }
  /** The edge itself refused the upgrade. */
  | { kind: "refused"; refusal: EdgeRefusal }
  /** No connection, or something other than the edge answered. */
  | { kind: "failed"; message: string };

export type LineEvents = {
  opened(): void;
  text(text: string): void;
  /** A binary message; whoever has no ear for them ignores them. */
  bytes?(data: Uint8Array): void;
  /** Called once, last. */
  ended(end: LineEnd): void;
};

/** A WebSocket to the edge. */
export interface Line {
  /** False when it is not open. */
  send(data: string | Uint8Array): boolean;
  /** Settles when little enough of what was sent still waits here; null when it is so now. */
  room(): Promise<void> | null;
  close(code: number, reason: string): void;
  /** Ends it at once, without a word: what a cut looks like to the other side. */
  terminate(): void;
}

export interface Net {
  dial(url: URL, bearer: string, events: LineEvents): Line;
  /**
   * Calls the edge and parses its answer.
   * @throws EdgeRefusal when the edge said no, EdgeUnreachable when anything else came back, or nothing
   */
  call<T>(url: URL, init: RequestInit & { timeout_ms?: number }, schema: z.ZodType<T>): Promise<T>;
  /**
   * The bytes of a file at the edge behind the first `from`.
   * @throws EdgeRefusal when the edge said no, EdgeUnreachable when anything else came back, or the bytes end early
   */
  download(url: URL, bearer: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export type AgentPorts = {
  clock: Clock;
  random: Random;
  disk: Disk;
  net: Net;
  /** Which boot of the host this is: containers of an earlier one are dead. */
  boot(): Promise<string>;
  /** The proof of identity over the edge's nonce. */
  prove(nonce: string): Promise<string>;
};
