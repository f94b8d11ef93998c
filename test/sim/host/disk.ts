/**
 * The disk of one machine, in memory. What was appended outlives the process that did it; what was not synced may be
 * lost or torn when the power goes. A file is whole or absent when it was put in its place.
 */
import { dirname } from "node:path";
import type { AppendFile, Disk } from "../../../agent/ports.ts";
import type { Life } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";

/** Called before each change; false when the process died before the change took effect. */
export type Strike = () => boolean;

type Stored = { bytes: Buffer; size: number; synced: number };

/** Milliseconds that a call may take. */
const SLOWEST_MS = 6;
const FIRST_BYTES = 512;

export class SimDisk {
  /** Takes no bytes while it is set; names without any still fit. */
  full = false;
  readonly #random: SeededRandom;
  readonly #files = new Map<string, Stored>();
  readonly #folders = new Set<string>();

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** The disk as one process sees it, until its life ends. */
  port(life: Life, strike: Strike): Disk {
    const soon = <T>(what: string, body: () => T | Promise<T>) =>
      life.later(this.#random.between(0, SLOWEST_MS), what, body);
    /** What is under way when the process dies was done or not, and tells nobody. */
    const changed = async (change: () => void) => {
      if (!strike()) return;
      change();
    };
    return {
      makeFolder: (path) => soon("makes a folder", () => changed(() => this.#makeFolder(path))),
      names: (folder) => soon("reads a folder", () => this.names(folder)),
      readText: (file) => this.text(file),
      writeWhole: (file, text) =>
        soon("writes a file", () => changed(() => this.#place(file, Buffer.from(text)))),
      remove: async (path) => {
        for (const file of this.#below(path))
          await soon("removes a file", () => changed(() => void this.#files.delete(file)));
        await soon("removes a folder", () => changed(() => this.#removeFolders(path)));
      },
      open: (file) => this.#open(file, life, strike),
      read: (file, from, length) => soon("reads a file", () => this.#part(file, from, length)),
    };
  }

  text(file: string): string | null {
    const stored = this.#files.get(file);
    return stored ? stored.bytes.toString("utf8", 0, stored.size) : null;
  }

  has(folder: string): boolean {
    return this.#folders.has(folder);
  }

  /** Names right below the folder. @throws ENOENT */
  names(folder: string): string[] {
    if (!this.#folders.has(folder)) throw fault("ENOENT", `no such folder: ${folder}`);
    const names = new Set<string>();
    for (const path of [...this.#folders, ...this.#files.keys()])
      if (path.startsWith(`${folder}/`))
        names.add(path.slice(folder.length + 1).split("/")[0] as string);
    return [...names];
  }

  /** What a loss of power leaves: each file keeps what was synced, and perhaps some of the rest. */
  losePower(): void {
    for (const [path, stored] of this.#files) {
      const rest = stored.size - stored.synced;
      if (rest === 0) continue;
      stored.size = stored.synced + this.#random.below(rest + 1);
      // Blocks that were allotted and never written read as zeros.
      if (this.#random.chance(0.2)) stored.bytes.fill(0, stored.synced, stored.size);
      if (stored.size === 0 && this.#random.chance(0.5)) this.#files.delete(path);
      stored.synced = stored.size;
    }
  }

  #makeFolder(path: string): void {
    for (let folder = path; !this.#folders.has(folder) && folder !== dirname(folder); ) {
      this.#folders.add(folder);
      folder = dirname(folder);
    }
  }

  #place(file: string, bytes: Buffer): void {
    this.#needRoom();
    this.#needFolderOf(file);
    this.#files.set(file, { bytes, size: bytes.length, synced: bytes.length });
  }

  #open(file: string, life: Life, strike: Strike): AppendFile {
    let found = this.#files.get(file);
    if (!found) {
      this.#needFolderOf(file);
      found = { bytes: Buffer.alloc(FIRST_BYTES), size: 0, synced: 0 };
      if (life.alive && strike()) this.#files.set(file, found);
    }
    const stored = found;
    return {
      size: stored.size,
      append: (bytes) => {
        if (!life.alive || !strike()) return;
        this.#needRoom();
        grow(stored, bytes.length);
        bytes.copy(stored.bytes, stored.size);
        stored.size += bytes.length;
      },
      read: (into, at) => {
        if (at + into.length > stored.size) throw new Error(`${file} is shorter than it was`);
        stored.bytes.copy(into, 0, at, at + into.length);
      },
      truncate: (size) => {
        if (!life.alive || !strike()) return;
        stored.size = Math.min(stored.size, size);
        stored.synced = Math.min(stored.synced, size);
      },
      sync: () => {
        const size = stored.size;
        return life.later(this.#random.between(0, SLOWEST_MS), "syncs a file", () => {
          stored.synced = Math.max(stored.synced, Math.min(size, stored.size));
        });
      },
      close: () => {},
    };
  }

  #part(file: string, from: number, length: number): Uint8Array<ArrayBuffer> {
    const stored = this.#files.get(file);
    if (!stored) throw fault("ENOENT", `no such file: ${file}`);
    if (from + length > stored.size) throw new Error(`${file} is shorter than it was`);
    return new Uint8Array(stored.bytes.subarray(from, from + length));
  }

  /** In an order that no file system promises. */
  #below(path: string): string[] {
    const files = [...this.#files.keys()].filter(
      (file) => file === path || file.startsWith(`${path}/`),
    );
    return this.#random.chance(0.5) ? files : files.reverse();
  }

  #removeFolders(path: string): void {
    for (const folder of [...this.#folders])
      if (folder === path || folder.startsWith(`${path}/`)) this.#folders.delete(folder);
  }

  #needRoom(): void {
    if (this.full) throw fault("ENOSPC", "no space left on device");
  }

  #needFolderOf(file: string): void {
    if (!this.#folders.has(dirname(file)))
      throw fault("ENOENT", `no such folder: ${dirname(file)}`);
  }
}

function grow(stored: Stored, more: number): void {
  let room = Math.max(FIRST_BYTES, stored.bytes.length);
  while (room < stored.size + more) room *= 2;
  if (room === stored.bytes.length) return;
  const bytes = Buffer.alloc(room);
  stored.bytes.copy(bytes, 0, 0, stored.size);
  stored.bytes = bytes;
}

function fault(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
