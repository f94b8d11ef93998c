/**
 * What each attempt has among the engine's images, and which base images were pulled: on disk, since an image that a
 * builder makes step by step bears no label. Notes are written before the name exists, and as soon as a step is known.
 *
 * <folder>/<build>-<attempt>   notes, one a line; a line that a crash tore does not count
 * <folder>/pulled.json         base images by name
 */
import { readFileSync } from "node:fs";
import { appendFile, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { writeWhole } from "../files.ts";

const noteSchema = z.discriminatedUnion("t", [
  /** A build is under way, whose containers are below this cgroup; null for BuildKit's, which has none that we see. */
  z.object({ t: z.literal("build"), cgroup: z.string().nullable() }),
  /** It has ended, and all its steps are noted. */
  z.object({ t: z.literal("ended") }),
  /** The image of one step. */
  z.object({ t: z.literal("step"), id: z.string() }),
  /** An image of an earlier build, which a step took instead of making its own. */
  z.object({ t: z.literal("cached"), id: z.string() }),
  /** The attempt's image bears this name. */
  z.object({ t: z.literal("name"), reference: z.string(), id: z.string() }),
]);
export type LedgerNote = z.infer<typeof noteSchema>;

const pulledSchema = z.record(
  z.string(),
  z.object({
    /** Milliseconds since the epoch. */
    used: z.number(),
    /** It took a login. */
    guarded: z.boolean(),
  }),
);
export type Pulled = z.infer<typeof pulledSchema>;

const PULLED_FILE = "pulled.json";
const LEDGER_FILE = /^([0-9a-f]{32})-(\d+)$/;

export type Held = { build: string; attempt: number };

export class Ledger {
  readonly pulled: Pulled;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.pulled = readPulled(join(folder, PULLED_FILE));
  }

  async note(held: Held, note: LedgerNote): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await appendFile(this.#file(held), `${JSON.stringify(note)}\n`, { mode: 0o600 });
  }

  /** Oldest first. */
  async notes(held: Held): Promise<LedgerNote[]> {
    const text = await readFile(this.#file(held), "utf8").catch(() => "");
    return text.split("\n").slice(0, -1).flatMap(parse);
  }

  /** Attempts that have notes. */
  async attempts(): Promise<Held[]> {
    const names = await readdir(this.#folder).catch(() => []);
    return names.flatMap((name) => {
      const [, build, attempt] = LEDGER_FILE.exec(name) ?? [];
      return build === undefined ? [] : [{ build, attempt: Number(attempt) }];
    });
  }

  async forget(held: Held): Promise<void> {
    await rm(this.#file(held), { force: true });
  }

  /** Puts `pulled`, as it was changed, on the disk. */
  async keepPulled(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeWhole(join(this.#folder, PULLED_FILE), JSON.stringify(this.pulled), 0o600);
  }

  #file({ build, attempt }: Held): string {
    return join(this.#folder, `${build}-${attempt}`);
  }
}

function parse(line: string): LedgerNote[] {
  try {
    return [noteSchema.parse(JSON.parse(line))];
  } catch {
    return [];
  }
}

function readPulled(file: string): Pulled {
  try {
    return pulledSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return {};
  }
}
