/**
 * What the edge, the agents and the command line say of web apps. The frames travel as text on the socket that an agent
 * holds for each replica that it runs: `GET /agent/apps/{project}/{build}`, `Authorization: Bearer <serve
 * token>`; binary messages on the same socket are the tunnel's (shared/tunnel).
 */
import * as z from "zod";
import { attemptSchema, BUILD_STATES, buildIdSchema } from "./builds.ts";
import { sha256Schema } from "./hashes.ts";
import { FRAME_BYTES } from "./limits.ts";
import {
  appSettingsSchema,
  generationSchema,
  KEPT_DEPLOYMENTS,
  projectSchema,
  REPLICAS,
} from "./recipes/app.ts";

const replica = z
  .int()
  .min(0)
  .max(REPLICAS - 1);

/** How a container is: `starting` until it was healthy once; `restarting` when it ended and the engine starts it again. */
export const REPLICA_STATES = ["starting", "healthy", "unhealthy", "restarting"] as const;
const state = { state: z.enum(REPLICA_STATES), restarts: z.int().min(0) };

// ---- the replica's socket -----------------------------------------------------------------------

export const appUpSchema = z.discriminatedUnion("t", [
  /** First frame of every socket. `agent` is its id, `name` what people call it. */
  z.object({
    t: z.literal("hello"),
    protocol: z.int(),
    agent: z.string().max(128),
    name: z.string().max(64),
    ...state,
  }),
  z.object({ t: z.literal("state"), ...state }),
  /** It was healthy: may it serve? Asked by the build's attempt after its permit (protocol rule 7), again after a cut. */
  z.object({ t: z.literal("ready"), attempt: attemptSchema }),
]);
export type AppUp = z.infer<typeof appUpSchema>;

export const appDownSchema = z.discriminatedUnion("t", [
  /** Answer to `ready`: requests go to it. It may take a while: deploys of a project go live in order. */
  z.object({ t: z.literal("live") }),
  /** Answer to `ready`: it will never serve. */
  z.object({ t: z.literal("refused"), reason: z.string().max(2_000) }),
  /** It is nobody's any more: stop it once its requests have ended, or after `drain_ms`. */
  z.object({ t: z.literal("remove"), drain_ms: z.int().min(0) }),
  /** What images of this project may be gone back to, by fingerprint: others may go. */
  z.object({ t: z.literal("keep"), fingerprints: z.array(sha256Schema).max(2 * KEPT_DEPLOYMENTS) }),
]);
export type AppDown = z.infer<typeof appDownSchema>;

/** A frame that parsed; null for a type this version does not know, or why it is refused. */
export function parseAppFrame<T>(
  schema: z.ZodType<T> & { options: readonly { shape: { t: { value: string } } }[] },
  text: string,
): { frame: T | null } | { error: string } {
  if (text.length > FRAME_BYTES) return { error: `frames are at most ${FRAME_BYTES} bytes` };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { error: "a frame is one JSON document" };
  }
  const t = z.object({ t: z.string() }).safeParse(json).data?.t;
  if (t === undefined) return { error: "a frame is an object with a type t" };
  if (!schema.options.some((option) => option.shape.t.value === t)) return { frame: null };
  const result = schema.safeParse(json);
  if (result.success) return { frame: result.data };
  const issue = result.error.issues[0];
  return { error: `${t}.${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}` };
}

// ---- what people see ----------------------------------------------------------------------------

/**
 * waiting: behind another deploy of the project · deploying: its replicas are being made · live: it serves · replaced: it
 * served · failed · superseded: a newer deploy took its place before it began.
 */
export const DEPLOYMENT_STATES = [
  "waiting",
  "deploying",
  "live",
  "replaced",
  "failed",
  "superseded",
] as const;
export type DeploymentState = (typeof DEPLOYMENT_STATES)[number];

export const deploymentSchema = z.object({
  generation: generationSchema,
  state: z.enum(DEPLOYMENT_STATES),
  /** The build of its first replica: its log is the deploy's. */
  build_id: buildIdSchema,
  rule: z.string(),
  settings: appSettingsSchema,
  /** The deployment that this one goes back to; null for one with a context of its own. */
  rollback_of: generationSchema.nullable(),
  kept: z
    .boolean()
    .describe(`Whether it may be gone back to, as the last ${KEPT_DEPLOYMENTS} that served may.`),
  /** Why it failed; null otherwise. */
  reason: z.string().nullable(),
  created_at: z.string(),
  live_at: z.string().nullable(),
  ended_at: z.string().nullable(),
});
export type Deployment = z.infer<typeof deploymentSchema>;

export const replicaViewSchema = z.object({
  generation: generationSchema,
  replica,
  /** Name of its agent; null while none has it. */
  agent: z.string().nullable(),
  state: z.enum([...REPLICA_STATES, "building", "disconnected"]),
  restarts: z.int(),
  build_id: buildIdSchema,
  reason: z
    .string()
    .optional()
    .describe(
      "Of a disconnected one: why it could not be made anew, the last time that was tried.",
    ),
});
export type ReplicaView = z.infer<typeof replicaViewSchema>;

/**
 * live: it serves · down: it should, but no replica is connected · deploying: nothing serves yet · failed: nothing serves,
 * and nothing is under way · new: it has variables, and was never deployed.
 */
export const PROJECT_STATES = ["live", "down", "deploying", "failed", "new"] as const;

export const projectViewSchema = z.object({
  project: projectSchema,
  rule: z.string().describe("As it was deployed; empty before the first deploy."),
  state: z.enum(PROJECT_STATES),
  /** Where it answers, for a rule that names a host. */
  url: z.string().nullable(),
  agent: z.string().nullable().describe("Name of the first agent that serves it."),
  agents: z.array(z.string()).describe("Names of all of them."),
  /** RFC 3339: since when the present deployment serves. */
  since: z.string().nullable(),
  image: z
    .string()
    .nullable()
    .describe("Tag under which its agents keep the image of what serves: see docker image ls."),
  /** The generation that serves; null when none does. */
  current: generationSchema.nullable(),
  /** Names of its environment variables: values are never shown. */
  env: z.array(z.string()),
  replicas: z.array(replicaViewSchema),
  /** Newest first. */
  deployments: z.array(deploymentSchema),
});
export type ProjectView = z.infer<typeof projectViewSchema>;

/** A row of `GET /list`: peroku's two members, then ours. */
export const projectRowSchema = projectViewSchema.pick({
  project: true,
  rule: true,
  state: true,
  url: true,
  agent: true,
  agents: true,
  since: true,
});
export type ProjectRow = z.infer<typeof projectRowSchema>;

/** What a deploy's build came to, for those who wait for it. */
export const deployedSchema = z.object({ logid: buildIdSchema, state: z.enum(BUILD_STATES) });

/** One frame of `GET /projects/{project}/logs`. */
export const appLineSchema = z.object({
  stream: z.enum(["stdout", "stderr"]),
  data: z.string(),
  /** Which replica printed it; absent where there is but one. */
  replica: replica.optional(),
  /** RFC 3339. */
  time: z.string().optional(),
});
export type AppLine = z.infer<typeof appLineSchema>;
