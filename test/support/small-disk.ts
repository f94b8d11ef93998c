/** A disk of a few megabytes over a folder, to be filled. Needs root and loop devices. */
import { mkdir, mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { must } from "./process.ts";

const FILLER = "filler";
const BLOCK_BYTES = 2 ** 20;

export class SmallDisk {
  readonly #image: string;
  readonly #folder: string;

  private constructor(image: string, folder: string) {
    this.#image = image;
    this.#folder = folder;
  }

  /** Mounts an empty disk of `bytes` over a folder, which is made when it is not there. */
  static async over(folder: string, bytes: number): Promise<SmallDisk> {
    const image = join(await mkdtemp(join(tmpdir(), "railhead-disk-")), "image");
    await writeFile(image, "");
    await truncate(image, bytes);
    await must("mkfs.ext4", ["-q", "-F", "-m", "0", "-O", "^has_journal", image]);
    await mkdir(folder, { recursive: true });
    await must("mount", ["-o", "loop", image, folder]);
    await rm(join(folder, "lost+found"), { recursive: true });
    return new SmallDisk(image, folder);
  }

  get #filler(): string {
    return join(this.#folder, FILLER);
  }

  /** Takes all the room there is. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, "a", 0o600);
    try {
      // Whole blocks while they fit, then what is left byte by byte of a smaller one.
      for (let size = BLOCK_BYTES; size >= 1; size = size >> 4) await fillBy(file, size);
    } finally {
      await file.close();
    }
  }

  /** Gives the room back. */
  async empty(): Promise<void> {
    await rm(this.#filler, { force: true });
  }

  /** The folder is as it was before. Nothing may use what is on the disk any more. */
  async close(): Promise<void> {
    await must("umount", [this.#folder]);
    await rm(dirname(this.#image), { recursive: true, force: true });
  }
}

async function fillBy(file: Awaited<ReturnType<typeof open>>, size: number): Promise<void> {
  try {
    for (;;) await file.write(Buffer.alloc(size));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
}
