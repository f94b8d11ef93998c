/** Words about builds that every room uses: ids, states, how a build can end, what the API shows. */
import * as z from "zod";
import { digestSchema, sha256Schema } from "./hashes.ts";
import { queueSchema } from "./queue.ts";
import { followSchema, packageSchema } from "./recipes/erlang.ts";
import { targetSchema } from "./recipes/index.ts";

export const BUILD_STATES = [
  "queued",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "timed_out",
] as const;
export type BuildState = (typeof BUILD_STATES)[number];

/** A terminal state never changes. */
export function isTerminal(state: BuildState): boolean {
  return state !== "queued" && state !== "running";
}

/** Why a build ended other than well: stable words that clients may switch on. */
export const END_CLASSES = [
  "no_such_version",
  "no_such_repository",
  "clone_error",
  "module_error",
  "no_main_package",
  "compile_error",
  "make_error",
  "nothing_made",
  "wrong_target",
  "context_error",
  "dockerfile_refused",
  "build_error",
  "push_error",
  "image_too_large",
  "start_error",
  "unhealthy",
  "config_error",
  "no_build_system",
  "dependency_error",
  "artifact_too_large",
  "out_of_memory",
  "disk_full",
  "too_many_processes",
  "timed_out",
  "queue_timeout",
  "cancelled",
  "agent_lost",
  "agent_refused",
  "agent_error",
  "storage",
] as const;
export type EndClass = (typeof END_CLASSES)[number];

/** Who may read a build: everybody, who may read its repositories, or who knows its id (it is in no list). */
export const VISIBILITIES = ["public", "private", "unlisted"] as const;
export type Visibility = (typeof VISIBILITIES)[number];

export const buildIdSchema = z.string().regex(/^[0-9a-f]{32}$/, "a build id is 32 hex digits");

/** `build_id`, or its dashed UUID form (tutum's JobIdentifier), as 32 hex; null when it is neither. */
export function parseBuildId(text: string): string | null {
  const match =
    /^(?:([0-9a-f]{32})|([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12}))$/i.exec(
      text,
    );
  return match ? match.slice(1).join("").toLowerCase() : null;
}

export const attemptSchema = z.int().min(1).max(1_000_000);

/** One published file. `name` is what a client asks for; where the bytes lie is the edge's affair. */
export const artifactSchema = z.object({
  name: z.string(),
  size: z.int(),
  sha256: sha256Schema,
  url: z.string(),
});
export type Artifact = z.infer<typeof artifactSchema>;

/** What `GET /builds/{id}` answers. Times are RFC 3339 in UTC; durations are milliseconds. */
export const buildRecordSchema = z.object({
  build_id: buildIdSchema,
  recipe: z.string(),
  target: targetSchema,
  state: z.enum(BUILD_STATES),
  class: z.enum(END_CLASSES).nullable(),
  /** The sentence that says what happened and what to do next; null unless the build failed. */
  reason: z.string().nullable(),
  /** Its place in the line of its pool, 1 = next; null once it runs. */
  position: z.int().nullable(),
  /** What else is known of its waiting; null once it runs, or when the pool does not say. */
  queue: queueSchema.nullable().default(null),
  attempt: z.int(),
  agent: z.string().nullable(),
  commit: z.string().nullable(),
  /** What the attempt is busy with (`fetch`, `build`, `push`, …); null unless the build runs. */
  phase: z.string().nullable().default(null),
  /** Of the image that was pushed; null for every other build. */
  digest: digestSchema.nullable().default(null),
  /** What the package is called; null for every build but one of an Erlang package. */
  package: packageSchema.nullable().default(null),
  /** Builds that it led to, once its attempt has ended; `build_id` is null until they are asked for. */
  follows: z.array(followSchema.extend({ build_id: buildIdSchema.nullable() })).default([]),
  visibility: z.enum(VISIBILITIES),
  queued_at: z.string(),
  started_at: z.string().nullable(),
  ended_at: z.string().nullable(),
  timings: z.object({
    queued_ms: z.number().nullable(),
    running_ms: z.number().nullable(),
    phases: z.record(z.string(), z.number()),
  }),
  /** URL of the thing that was asked for: it is there when the build has succeeded. */
  artifact: z.string(),
  artifacts: z.array(artifactSchema),
  log: z.string(),
});
export type BuildRecord = z.infer<typeof buildRecordSchema>;
