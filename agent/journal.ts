/**
 * What an attempt has done, on the agent's disk, so that a restarted agent goes on instead of starting again.
 * Each phase is written and synced before its side effect (rule 12).
 *
 * <home>/attempts/<build>-<attempt>/assign.json    what was assigned, with its lease: mode 0600
 *                                  /phases.jsonl   notes, one a line; a line that a crash tore does not count
 *                                  /spool          the log (spool.ts)
 *                                  /work           files of the recipe
 */
import { join } from "node:path";
import * as z from "zod";
import { attemptSchema, buildIdSchema, END_CLASSES } from "../shared/builds.ts";
import { digestSchema } from "../shared/hashes.ts";
import { type Learnt, learntShape } from "../shared/protocol.ts";
import { targetSchema } from "../shared/recipes/index.ts";
import type { AppendFile, Disk } from "./ports.ts";

const assignmentSchema = z.object({
  build: buildIdSchema,
  attempt: attemptSchema,
  target: targetSchema,
  lease: z.string(),
  deadline_ms: z.number(),
  /** Milliseconds on the host's boot clock at which it was accepted, and which boot that was. */
  accepted_at: z.number(),
  boot: z.string(),
});
export type Assignment = z.infer<typeof assignmentSchema>;

const exitSchema = z.object({
  code: z.number(),
  oom: z.boolean(),
  killed: z.enum(["deadline", "cancel", "disk", "lease"]).nullable(),
});

const madeSchema = z.object({
  name: z.string(),
  file: z.string(),
  size: z.number(),
  sha256: z.string(),
  content_type: z.string(),
});

const verdictSchema = z.object({
  outcome: z.enum(["succeeded", "failed", "cancelled", "timed_out"]),
  class: z.enum(END_CLASSES).nullable(),
  reason: z.string().nullable(),
});
/** How an attempt ends, as its `result` will say. */
export type Verdict = z.infer<typeof verdictSchema>;

/** `at`: milliseconds on the boot clock. */
const noteSchema = z.discriminatedUnion("t", [
  z.object({ t: z.literal("phase"), name: z.string(), at: z.number() }),
  z.object({ t: z.literal("phase_done"), name: z.string(), ms: z.number(), result: z.json() }),
  z.object({ t: z.literal("run"), phase: z.string(), at: z.number() }),
  z.object({ t: z.literal("created"), phase: z.string(), id: z.string() }),
  z.object({ t: z.literal("started"), id: z.string() }),
  z.object({ t: z.literal("run_done"), phase: z.string(), ms: z.number(), exit: exitSchema }),
  z.object({
    t: z.literal("made"),
    made: z.array(madeSchema),
    repositories: z.array(z.string()),
    digest: digestSchema.optional(),
  }),
  z.object({ t: z.literal("learnt"), ...learntShape }),
  /** The id that the upload of a file goes by, chosen before it is asked for. */
  z.object({ t: z.literal("upload"), name: z.string(), id: z.string() }),
  z.object({ t: z.literal("uploaded"), name: z.string(), id: z.string() }),
  z.object({ t: z.literal("verdict"), verdict: verdictSchema }),
]);
export type Note = z.infer<typeof noteSchema>;
type NoteOf<T extends Note["t"]> = Extract<Note, { t: T }>;

const ASSIGNMENT_FILE = "assign.json";
const NOTES_FILE = "phases.jsonl";

export class Journal {
  readonly folder: string;
  readonly assignment: Assignment;
  readonly #disk: Disk;
  readonly #notes: Note[] = [];
  readonly #file: AppendFile;

  /** Opens the journal in `folder`; what a crash tore is cut off, so that the next note begins a line. */
  private constructor(disk: Disk, folder: string, assignment: Assignment) {
    this.folder = folder;
    this.assignment = assignment;
    this.#disk = disk;
    this.#file = disk.open(join(folder, NOTES_FILE));
    const bytes = Buffer.alloc(this.#file.size);
    this.#file.read(bytes, 0);
    let whole = 0;
    for (const line of bytes.toString("utf8").split("\n").slice(0, -1)) {
      const note = parseNote(line);
      if (!note) break;
      this.#notes.push(note);
      whole += Buffer.byteLength(line) + 1;
    }
    if (whole < bytes.length) this.#file.truncate(whole);
  }

  /** Writes what was assigned, synced, below `root`; nothing is left there when the disk does not take it. */
  static async create(disk: Disk, root: string, assignment: Assignment): Promise<Journal> {
    const folder = join(root, `${assignment.build}-${assignment.attempt}`);
    try {
      await disk.makeFolder(join(folder, "work"));
      await disk.writeWhole(join(folder, ASSIGNMENT_FILE), JSON.stringify(assignment));
      return new Journal(disk, folder, assignment);
    } catch (error) {
      await disk.remove(folder);
      throw error;
    }
  }

  /** Journals below `root`. Folders without a whole assignment never took effect: they are removed. */
  static async loadAll(disk: Disk, root: string): Promise<Journal[]> {
    await disk.makeFolder(root);
    const journals: Journal[] = [];
    for (const name of await disk.names(root)) {
      const folder = join(root, name);
      const assignment = parseAssignment(disk.readText(join(folder, ASSIGNMENT_FILE)));
      if (assignment) journals.push(new Journal(disk, folder, assignment));
      else await disk.remove(folder);
    }
    return journals;
  }

  /** Folder for the recipe's files. */
  get work(): string {
    return join(this.folder, "work");
  }

  get spoolFile(): string {
    return join(this.folder, "spool");
  }

  /** The newest note of a kind that fits. */
  find<T extends Note["t"]>(
    kind: T,
    fits: (note: NoteOf<T>) => boolean = () => true,
  ): NoteOf<T> | undefined {
    const isKind = (note: Note): note is NoteOf<T> => note.t === kind;
    return this.#notes.filter(isKind).findLast(fits);
  }

  /** Everything that was found out: of a member, the newest. */
  learnt(): Learnt {
    const all: Learnt = {};
    for (const { t, ...learnt } of this.#notes) if (t === "learnt") Object.assign(all, learnt);
    return all;
  }

  /** Settles when the note is on the disk. */
  async write(note: Note): Promise<void> {
    this.#file.append(Buffer.from(`${JSON.stringify(note)}\n`));
    this.#notes.push(note);
    await this.#file.sync();
  }

  /** Milliseconds spent in each phase that ended. */
  timings(): Record<string, number> {
    const timings: Record<string, number> = {};
    for (const note of this.#notes) {
      if (note.t === "run_done") timings[note.phase] = note.ms;
      if (note.t === "phase_done") timings[note.name] = note.ms;
    }
    return timings;
  }

  close(): void {
    this.#file.close();
  }

  /** The assignment goes first: what a crash leaves behind it is no attempt any more. */
  async remove(): Promise<void> {
    this.close();
    await this.#disk.remove(join(this.folder, ASSIGNMENT_FILE));
    await this.#disk.remove(this.folder);
  }
}

function parseAssignment(text: string | null): Assignment | null {
  try {
    return assignmentSchema.parse(JSON.parse(text ?? ""));
  } catch {
    return null;
  }
}

function parseNote(line: string): Note | null {
  try {
    return noteSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
