/**
 * Log entries. An entry gets its `seq` once, on the agent's disk (protocol rule 13); the Build
 * object gives every stored entry its `position`, the one order that viewers know (rule 15).
 */
import * as z from "zod";
import { LOG_LINE_BYTES } from "./limits.ts";

export const LOG_LEVELS = ["info", "warning", "error"] as const;

/** What a viewer is told instead of output that could not be kept. */
export const gapSchema = z.object({
  stream: z.enum(["stdout", "stderr"]).optional(),
  /** Bytes left out, when that is known. */
  bytes: z.int().min(0).optional(),
  lines: z.int().min(0).optional(),
  reason: z.string().max(200),
});

/** Members that only some of our own messages carry (`params`, `workspace`, …). */
const fieldsSchema = z.record(z.string().max(64), z.json());

/** An entry as an agent sends it. A container line has `stream`; our own messages have none. */
export const agentEntrySchema = z.object({
  seq: z.int().min(1),
  /** RFC 3339 UTC, on the agent's clock: shown, never compared with another machine's. */
  time: z.string().max(40),
  level: z.enum(LOG_LEVELS),
  msg: z.string().max(LOG_LINE_BYTES),
  stream: z.enum(["stdout", "stderr"]).optional(),
  gap: gapSchema.optional(),
  fields: fieldsSchema.optional(),
});
export type AgentEntry = z.infer<typeof agentEntrySchema>;

/** An entry as it is stored and read. Entries of the edge itself have no `seq`. */
export type LogEntry = Omit<AgentEntry, "seq" | "fields"> & {
  /** Any JSON, in a type without recursion: the types of calls between objects cannot follow one. */
  fields?: Record<string, string | number | boolean | object | null> | undefined;
  position: number;
  /** 0 before the first attempt. */
  attempt: number;
  seq?: number;
  /** Came after the attempt had been given up. */
  late?: true;
};

/** The messages that torokko's clients know, word for word (spec go.md). */
export const MESSAGES = {
  joined: "Your build joined a queue.",
  started: "Your build started.",
  checking: "checking binary...",
  cloning: "cloning repository...",
  cloned: "git clone successfully",
  cloneError: (reason: string) => `git clone error: ${reason}`,
  building: "building binary...",
  addingMakefile: "adding a default Makefile...",
  creatingContainer: "creating container...",
  startingContainer: "starting container...",
  archiving: "archiving binary...",
  archived: "archive successfully",
  archiveError: (reason: string) => `archiving error: ${reason}`,
  saving: "saving binary...",
  successful: "Your build is successful.",
  failed: (reason: string) => `Your build failed: ${reason}`,
} as const;

/** One NDJSON object of `GET /builds/{id}/logs`: torokko's members first, then ours. */
export function toWire(buildId: string, entry: LogEntry): Record<string, unknown> {
  const { fields, level, msg, time, ...rest } = entry;
  return { ...fields, build_id: buildId, level, msg, time, ...rest };
}

/** One line of the plain text view. */
export function toPlain(entry: LogEntry): string {
  return entry.stream ? entry.msg : `==> ${entry.msg}`;
}
