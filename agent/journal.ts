/**
 * What an attempt has done, on the agent's disk, so that a restarted agent goes on instead of starting again.
 * Each phase is written and synced before its side effect (rule 12).
 *
 * <home>/attempts/<build>-<attempt>/assign.json    what was assigned, with its lease: mode 0600
 *                                  /phases.jsonl   notes, one a line; a line that a crash tore does not count
 *                                  /spool          the log (spool.ts)
 *                                  /work           files of the recipe
 */
import { existsSync, readFileSync, truncateSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { attemptSchema, buildIdSchema, END_CLASSES } from "../shared/builds.ts";
import { targetSchema } from "../shared/recipes/index.ts";
import { writeWhole } from "./files.ts";

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
  }),
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
  readonly #notes: Note[];
  #file: FileHandle | null = null;
  #writing: Promise<void> = Promise.resolve();

  private constructor(folder: string, assignment: Assignment, notes: Note[]) {
    this.folder = folder;
    this.assignment = assignment;
    this.#notes = notes;
  }

  /** Writes what was assigned, synced, below `root`. */
  static async create(root: string, assignment: Assignment): Promise<Journal> {
    const folder = join(root, `${assignment.build}-${assignment.attempt}`);
    await mkdir(join(folder, "work"), { recursive: true, mode: 0o700 });
    await writeWhole(join(folder, ASSIGNMENT_FILE), JSON.stringify(assignment), 0o600);
    return new Journal(folder, assignment, []);
  }

  /** Journals below `root`. Folders without a whole assignment never took effect: they are removed. */
  static async loadAll(root: string): Promise<Journal[]> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const journals: Journal[] = [];
    for (const name of await readdir(root)) {
      const folder = join(root, name);
      const assignment = readAssignment(folder);
      if (assignment) journals.push(new Journal(folder, assignment, readNotes(folder)));
      else await rm(folder, { recursive: true, force: true });
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

  /** Settles when the note is on the disk. */
  write(note: Note): Promise<void> {
    this.#notes.push(note);
    this.#writing = this.#writing.then(async () => {
      this.#file ??= await open(join(this.folder, NOTES_FILE), "a", 0o600);
      await this.#file.appendFile(`${JSON.stringify(note)}\n`);
      await this.#file.datasync();
    });
    return this.#writing;
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

  async close(): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#file?.close();
    this.#file = null;
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function readAssignment(folder: string): Assignment | null {
  try {
    return assignmentSchema.parse(JSON.parse(readFileSync(join(folder, ASSIGNMENT_FILE), "utf8")));
  } catch {
    return null;
  }
}

/** Whole notes; what a crash tore is cut off, so that the next note begins a line. */
function readNotes(folder: string): Note[] {
  const file = join(folder, NOTES_FILE);
  if (!existsSync(file)) return [];
  const notes: Note[] = [];
  let bytes = 0;
  for (const line of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
    const note = parseNote(line);
    if (!note) break;
    notes.push(note);
    bytes += Buffer.byteLength(line) + 1;
  }
  truncateSync(file, bytes);
  return notes;
}

function parseNote(line: string): Note | null {
  try {
    return noteSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
