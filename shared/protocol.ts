/**
 * The wire between agents and the edge: text frames, one JSON document each, told apart by `t`.
 * Unknown frame types and members are ignored, and members that a later version adds are optional, so one version of
 * skew works either way; the edge turns away what is further off. Where a later version may add a word to a list, the
 * word that an older one takes for it stands there.
 *
 * control socket  agent <-> Pool    GET /agent/control        hello, assign, accept, cancel, drain …
 * attempt socket  agent <-> Build   GET /agent/builds/{id}/attempts/{n}   log, uploads, result
 * context         agent <- R2       GET /agent/builds/{id}/attempts/{n}/context   with the lease as Bearer token
 *
 * Both ends send the literal text `ping` / `pong` besides (answered without waking the object).
 */
import * as z from "zod";
import { attemptSchema, BUILD_STATES, buildIdSchema, END_CLASSES } from "./builds.ts";
import { digestSchema, sha256Schema } from "./hashes.ts";
import { ARTIFACT_FILES, FRAME_BYTES } from "./limits.ts";
import { agentEntrySchema } from "./log.ts";
import { FOLLOW_BUILDS, followSchema, packageFactsSchema } from "./recipes/erlang.ts";
import { targetSchema } from "./recipes/index.ts";

export const PROTOCOL_VERSION = 1;
export const PING = "ping";
export const PONG = "pong";

/** Why this side cannot talk with one whose hello this is, in the bytes that a close frame has room for; null when it can, or this is no hello. */
export function tooFarApart(raw: unknown): string | null {
  const version = helloVersion(raw);
  if (version === null || Math.abs(version - PROTOCOL_VERSION) <= 1) return null;
  const older = version < PROTOCOL_VERSION ? "agent" : "edge";
  return `The agent speaks protocol ${version}, the edge ${PROTOCOL_VERSION}: upgrade the ${older}.`;
}

/** The version that a hello names, whatever the rest of it is like: what is far off may not parse. */
function helloVersion(raw: unknown): number | null {
  if (typeof raw !== "string" || raw.length > FRAME_BYTES) return null;
  const hello = z.object({ t: z.literal("hello"), protocol: z.int() });
  try {
    return hello.safeParse(JSON.parse(raw)).data?.protocol ?? null;
  } catch {
    return null;
  }
}

/** Application close codes: what the other side should do about it. */
export const CLOSE = {
  /** Another process of the same agent took over: stop. */
  superseded: 4001,
  /** Unknown, removed or refused: stop. */
  forbidden: 4003,
  /** The attempt is over for this agent: clean up, do not come back. */
  attemptOver: 4004,
  /** Protocol versions that are too far apart: come back later, one side has to be upgraded. */
  incompatible: 4005,
  /** A frame did not parse: a bug; reconnect. */
  badFrame: 4008,
  /** A viewer did not read: come back with the position in the reason. */
  slow: 4010,
  /** The same attempt opened a newer socket. */
  replaced: 4011,
} as const;

const name = z.string().min(1).max(64);
const held = z.object({ build: buildIdSchema, attempt: attemptSchema });
export type Held = z.infer<typeof held>;
const holds = z.array(held).max(1_000);

/** A word of a list that later versions may lengthen: one they added counts as `other`. */
function oneOf<const T extends string>(words: readonly T[], other: T) {
  return z
    .string()
    .max(64)
    .transform((word) => words.find((known) => known === word) ?? other);
}

export const labelsSchema = z.record(
  z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/),
  z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9._,:+ -]*$/),
);

// ---- control socket -----------------------------------------------------------------------------

export const controlUpSchema = z.discriminatedUnion("t", [
  /** First frame of every socket. `held`: the attempts whose journal is on this agent's disk. */
  z.object({
    t: z.literal("hello"),
    protocol: z.int(),
    version: name,
    /** Random per process: tells a restart from a twin (rule 11). */
    instance: name,
    /** The engine's own id: the same key on another engine is a copy. */
    engine: name,
    capacity: z.int().min(0).max(1_000),
    labels: labelsSchema,
    recipes: z.array(z.string().max(32)).max(16),
    /** Why this host should get no work now ("disk 96 % full"); null when it is well. */
    unwell: z.string().max(500).nullable(),
    draining: z.boolean(),
    held: holds,
  }),
  z.object({ t: z.literal("accept"), build: buildIdSchema, attempt: attemptSchema }),
  /** Not started and never will be by this agent: try another one. */
  z.object({
    t: z.literal("reject"),
    build: buildIdSchema,
    attempt: attemptSchema,
    code: oneOf(["busy", "draining", "policy", "unwell"], "busy"),
    reason: z.string().max(500),
  }),
  /** From here on it only waits for other attempts: its slot is free for them. */
  z.object({ t: z.literal("yield"), build: buildIdSchema, attempt: attemptSchema }),
  /** The host is clean again and the slot is free. */
  z.object({ t: z.literal("done"), build: buildIdSchema, attempt: attemptSchema }),
  z.object({
    t: z.literal("status"),
    capacity: z.int().min(0).max(1_000),
    unwell: z.string().max(500).nullable(),
    draining: z.boolean(),
  }),
]);
export type ControlUp = z.infer<typeof controlUpSchema>;

export const controlDownSchema = z.discriminatedUnion("t", [
  /** Answer to hello. `drop`: held attempts that are over and must be cleaned away. */
  z.object({ t: z.literal("welcome"), epoch: z.int(), agent: z.string(), name, drop: holds }),
  z.object({
    t: z.literal("assign"),
    build: buildIdSchema,
    attempt: attemptSchema,
    target: targetSchema,
    /** Bearer token of this attempt's socket. Secret. */
    lease: z.string().min(32).max(256),
    deadline_ms: z.int().min(1),
  }),
  z.object({
    t: z.literal("cancel"),
    build: buildIdSchema,
    attempt: attemptSchema,
    reason: z.string().max(500),
  }),
  /** Finish what runs, take nothing new, then exit. */
  z.object({ t: z.literal("drain") }),
]);
export type ControlDown = z.infer<typeof controlDownSchema>;

// ---- attempt socket -----------------------------------------------------------------------------

const uploadId = z.string().regex(/^[0-9a-f]{32}$/);
/** A name in an archive listing or URL: relative, one segment. */
export const artifactNameSchema = z
  .string()
  .min(1)
  .max(192)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._+-]*$/);

/** A media type without parameters (RFC 9110 section 8.3.1): it becomes a header of every download. */
const mediaTypeSchema = z
  .string()
  .max(100)
  .regex(/^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/);

/** What an attempt found out that the edge could not know. It counts however the attempt ended. */
export const learntShape = {
  package: packageFactsSchema.optional(),
  /** Builds that this one leads to. */
  follow: z.array(followSchema).max(FOLLOW_BUILDS).optional(),
  /** Mail address of whoever made the commit; absent where nobody is to be written to by the edge. */
  committer: z.email().max(320).optional(),
};
const learntSchema = z.object(learntShape);
export type Learnt = z.infer<typeof learntSchema>;

export const attemptUpSchema = z.discriminatedUnion("t", [
  /** Confirms the start (rule 3); sent again after every reconnect. */
  z.object({
    t: z.literal("start"),
    protocol: z.int(),
    instance: name,
    workspace: z.string().max(128),
  }),
  z.object({ t: z.literal("log"), entries: z.array(agentEntrySchema).min(1).max(10_000) }),
  z.object({ t: z.literal("phase"), phase: z.string().max(32) }),
  /** Asks where the bytes of one file go. Idempotent by `upload`, which the agent chose. */
  z.object({
    t: z.literal("upload"),
    upload: uploadId,
    name: artifactNameSchema,
    size: z.int().min(0),
    sha256: sha256Schema,
    content_type: mediaTypeSchema,
  }),
  /** Asks for the right to send one part (rule 6). Parts count from 1. */
  z.object({ t: z.literal("ticket"), upload: uploadId, part: z.int().min(1).max(10_000) }),
  z.object({
    t: z.literal("uploaded"),
    upload: uploadId,
    parts: z.array(z.object({ part: z.int().min(1), etag: z.string().max(200) })).max(10_000),
  }),
  /** Asks whether the attempt may still change what others see outside (rule 7): before a tag is pushed. */
  z.object({ t: z.literal("permit") }),
  /** The end of the attempt; takes effect once all entries up to `last_seq` are stored. */
  z.object({
    t: z.literal("result"),
    outcome: z.enum(["succeeded", "failed", "cancelled", "timed_out"]),
    class: oneOf(END_CLASSES, "agent_error").nullable(),
    reason: z.string().max(2_000).nullable(),
    last_seq: z.int().min(0),
    uploads: z.array(uploadId).max(ARTIFACT_FILES),
    /** Repositories that the fetch used a credential for, as `remote/owner/repo` (rule 17). */
    repositories: z.array(z.string().max(512)).max(64),
    /** Milliseconds spent in each phase. */
    phases: z.record(z.string().max(32), z.number()),
    /** Of the image that was pushed. */
    digest: digestSchema.optional(),
    ...learntShape,
  }),
]);
export type AttemptUp = z.infer<typeof attemptUpSchema>;

export const attemptDownSchema = z.discriminatedUnion("t", [
  /** Answer to start. `acked`: the highest stored seq of this attempt. */
  z.object({
    t: z.literal("ready"),
    acked: z.int().min(0),
    /** Authorization header values to try in turn for the fetch. Secret; empty for public sources. */
    credentials: z.array(z.string()),
  }),
  z.object({ t: z.literal("ack"), seq: z.int().min(0) }),
  z.object({
    t: z.literal("cancel"),
    outcome: z.enum(["cancelled", "timed_out"]),
    reason: z.string().max(500),
  }),
  /** `parts` 0: the bytes are there already. One part: a single put. */
  z.object({
    t: z.literal("upload_ready"),
    upload: uploadId,
    part_size: z.int().min(1),
    parts: z.int().min(0),
  }),
  z.object({
    t: z.literal("ticket"),
    upload: uploadId,
    part: z.int().min(1),
    /** Bearer token for PUT /agent/uploads/{upload}/parts/{part}. Secret. */
    ticket: z.string(),
  }),
  z.object({ t: z.literal("upload_ok"), upload: uploadId }),
  z.object({
    t: z.literal("upload_failed"),
    upload: uploadId,
    /** `retry`: open a fresh upload; `fatal`: the attempt fails. */
    code: z.enum(["retry", "fatal"]),
    message: z.string(),
  }),
  /** Answer to permit. Whoever may not is told so by `refused` or `cancel`. */
  z.object({ t: z.literal("permit_ok") }),
  /** The result is stored: nothing of this attempt is needed any more. */
  z.object({ t: z.literal("result_ok"), state: z.enum(BUILD_STATES) }),
  /** This attempt is not (or no longer) the build's: clean up and report done. */
  z.object({ t: z.literal("refused"), code: z.string(), message: z.string() }),
]);
export type AttemptDown = z.infer<typeof attemptDownSchema>;

/** What `PUT /agent/uploads/{upload}/parts/{part}` answers once the part is stored. */
export const partStoredSchema = z.object({ etag: z.string().max(200) });

/** A frame that parsed, `null` for a type this version does not know, or why it is refused. */
export type Parsed<T> = { frame: T | null } | { error: string };

export const parseControlUp = frameParser(controlUpSchema);
export const parseControlDown = frameParser(controlDownSchema);
export const parseAttemptUp = frameParser(attemptUpSchema);
export const parseAttemptDown = frameParser(attemptDownSchema);

function frameParser<T>(
  schema: z.ZodType<T> & { options: readonly { shape: { t: { value: string } } }[] },
): (raw: unknown) => Parsed<T> {
  const known = new Set(schema.options.map((option) => option.shape.t.value));
  return (raw) => {
    if (typeof raw !== "string") return { error: "frames are text" };
    if (raw.length > FRAME_BYTES) return { error: `frames are at most ${FRAME_BYTES} bytes` };
    let json: unknown;
    try {
      json = JSON.parse(raw);
    } catch {
      return { error: "a frame is one JSON document" };
    }
    if (typeof json !== "object" || json === null || !("t" in json) || typeof json.t !== "string")
      return { error: "a frame is an object with a type t" };
    if (!known.has(json.t)) return { frame: null };
    const result = schema.safeParse(json);
    if (result.success) return { frame: result.data };
    const issue = result.error.issues[0];
    return { error: `${json.t}.${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}` };
  };
}
