/**
 * Disks with a hard size: a sparse file with ext4 in it, behind a loop device, which a volume mounts. Each disk is
 * `<folder>/<name>.ext4`; the volume knows it by the link `<folder>/<name>.dev`, since a loop device has another number
 * after every boot. A disk without a volume is nobody's: volumes are made before their disks and removed before them.
 */
import { constants } from "node:fs";
import {
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { basename, join } from "node:path";
import { BUILDER_ID } from "./sandbox.ts";
import { allowed, haveTools, isRoot, tool } from "./tools.ts";

const IMAGE = ".ext4";
const DEVICE = ".dev";
/** How the kernel names the file of a disk that was deleted; every volume of ours begins with our name. */
const DELETED = /\/disks\/railhead-[^/]*\.ext4 \(deleted\)$/;
/** Attempts at a loop device: two programs may be offered the same free one. */
const ATTACH_ATTEMPTS = 5;

export class Disks {
  readonly #folder: string;
  #last: Promise<unknown> = Promise.resolve();

  /** @param folder where the disks' files live; the engine must see it under the same path */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Whether this host lets us make disks at all. */
  static async able(): Promise<boolean> {
    return (
      isRoot() &&
      (await allowed("/dev/loop-control", constants.R_OK | constants.W_OK)) &&
      (await haveTools("mkfs.ext4", "losetup", "debugfs", "e2fsck"))
    );
  }

  /** What a volume names as its device. */
  device(name: string): string {
    return join(this.#folder, name + DEVICE);
  }

  /** Makes sure that the disk is there and behind its device: a new one is empty. Idempotent. */
  attach(name: string, bytes: number): Promise<void> {
    return this.#inTurn(() => this.#attach(name, bytes));
  }

  /** Takes the disk away, whatever is left of it. Idempotent. */
  remove(name: string): Promise<void> {
    return this.#inTurn(() => this.#remove(name));
  }

  async #attach(name: string, bytes: number): Promise<void> {
    if ((await this.#linked(name)) !== null) return;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const device = (await this.#attached(name)) ?? (await this.#attachImage(name, bytes));
    if ((await readlink(this.device(name)).catch(() => null)) === device) return;
    const link = `${this.device(name)}.new`;
    await rm(link, { force: true });
    await symlink(device, link);
    await rename(link, this.device(name));
  }

  async #remove(name: string): Promise<void> {
    const device = (await this.#linked(name)) ?? (await this.#attached(name));
    await rm(this.device(name), { force: true });
    if (device !== undefined) await tool("losetup", ["--detach", device]);
    await rm(this.#image(name), { force: true });
  }

  /** Names of the disks that are there. */
  async list(): Promise<string[]> {
    const files = await readdir(this.#folder).catch(() => []);
    return files.filter((file) => file.endsWith(IMAGE)).map((file) => file.slice(0, -IMAGE.length));
  }

  /** Frees loop devices of disks, anybody's, whose file was deleted under them: no one can come back to those. */
  async freeDeleted(): Promise<void> {
    for (const [image, device] of await this.#devices()) {
      if (DELETED.test(image)) await tool("losetup", ["--detach", device]).catch(() => {});
    }
  }

  /** Bytes that the disk takes from the host; null when there is none. */
  async used(name: string): Promise<number | null> {
    const found = await stat(this.#image(name)).catch(() => null);
    return found === null ? null : found.blocks * 512;
  }

  /** The real path of the disk's file, as the kernel names it; null when there is none. */
  #file(name: string): Promise<string | null> {
    return realpath(this.#image(name)).catch(() => null);
  }

  #image(name: string): string {
    return join(this.#folder, name + IMAGE);
  }

  /** One at a time: two builds may ask for the same cache at once. */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** The loop device that the disk's link leads to; null unless it has the disk behind it, as after a boot. */
  async #linked(name: string): Promise<string | null> {
    const device = await readlink(this.device(name)).catch(() => null);
    const image = await this.#file(name);
    if (device === null || image === null) return null;
    const behind = join("/sys/block", basename(device), "loop/backing_file");
    const file = await readFile(behind, "utf8").catch(() => "");
    return file.trimEnd() === image ? device : null;
  }

  /** The loop device of the disk, wherever its link leads: slower. */
  async #attached(name: string): Promise<string | undefined> {
    const image = await this.#file(name);
    if (image === null) return undefined;
    return (await this.#devices()).get(image);
  }

  async #attachImage(name: string, bytes: number): Promise<string> {
    const image = this.#image(name);
    if (!(await allowed(image, constants.F_OK)) || !(await sound(image)))
      await format(image, bytes);
    for (let attempt = 1; ; attempt++) {
      try {
        return (await tool("losetup", ["--find", "--show", "--nooverlap", image])).trim();
      } catch (error) {
        if (attempt === ATTACH_ATTEMPTS) throw error;
      }
    }
  }

  /** Loop devices by the real path of the file behind them. */
  async #devices(): Promise<Map<string, string>> {
    const said = await tool("losetup", ["--json", "--list", "--output", "NAME,BACK-FILE"]);
    if (said.trim() === "") return new Map();
    const { loopdevices }: { loopdevices: { name: string; "back-file": string }[] } =
      JSON.parse(said);
    return new Map(loopdevices.map((loop) => [loop["back-file"], loop.name]));
  }
}

/** A new file system that belongs to the builder and is empty, `lost+found` included. */
async function format(image: string, bytes: number): Promise<void> {
  const made = `${image}.new`;
  await rm(made, { force: true });
  const file = await open(made, "wx", 0o600);
  try {
    await file.truncate(bytes);
  } finally {
    await file.close();
  }
  const owner = `root_owner=${BUILDER_ID}:${BUILDER_ID}`;
  await tool("mkfs.ext4", [
    "-q",
    "-F",
    "-m",
    "0",
    "-i",
    "8192",
    "-O",
    "^has_journal",
    "-E",
    owner,
    made,
  ]);
  await tool("debugfs", ["-w", "-R", "rmdir lost+found", made]);
  await rename(made, image);
}

/**
 * Whether a disk that was not attached (the host went down) is whole, or could be repaired: e2fsck's exit status says
 * that it repaired something, and the second run that nothing is left to repair.
 */
async function sound(image: string): Promise<boolean> {
  const check = () =>
    tool("e2fsck", ["-p", image]).then(
      () => true,
      () => false,
    );
  return (await check()) || (await check());
}
