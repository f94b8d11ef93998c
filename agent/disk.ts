/** The agent's folder on a real disk, readable by its user alone. */
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { promisify } from "node:util";
import { writeWhole } from "./files.ts";
import type { AppendFile, Disk } from "./ports.ts";

const datasync = promisify(fdatasync);

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

export const disk: Disk = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: FOLDER_MODE });
  },
  names: (folder) => readdir(folder),
  readText: (file) => (existsSync(file) ? readFileSync(file, "utf8") : null),
  writeWhole: (file, text) => writeWhole(file, text, FILE_MODE),
  remove: (path) => rm(path, { recursive: true, force: true }),
  open: (file) => new RealFile(file),
  async read(file, from, length) {
    const bytes = new Uint8Array(length);
    const handle = await open(file, "r");
    try {
      for (let done = 0; done < length; ) {
        const { bytesRead } = await handle.read(bytes, done, length - done, from + done);
        if (bytesRead === 0) throw new Error(`${file} is shorter than it was`);
        done += bytesRead;
      }
    } finally {
      await handle.close();
    }
    return bytes;
  },
};

class RealFile implements AppendFile {
  readonly size: number;
  readonly #path: string;
  readonly #fd: number;
  #end: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "a+", FILE_MODE);
    this.size = fstatSync(this.#fd).size;
    this.#end = this.size;
  }

  append(bytes: Buffer): void {
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
      this.#end += bytes.length;
    } catch (error) {
      ftruncateSync(this.#fd, this.#end);
      throw error;
    }
  }

  read(into: Buffer, at: number): void {
    for (let done = 0; done < into.length; ) {
      const read = readSync(this.#fd, into, done, into.length - done, at + done);
      if (read === 0) throw new Error(`${this.#path} is shorter than it was`);
      done += read;
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.#fd, size);
    this.#end = size;
  }

  sync(): Promise<void> {
    return datasync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
