/**
 * The `app` recipe: a web app built from a Dockerfile on the host that will run it, started beside the version that
 * serves, and switched to once it is healthy (spec apps.md). One build makes one replica of one deployment.
 */
import * as z from "zod";
import { sha256Schema } from "../hashes.ts";
import { DEFAULT_DOCKERFILE } from "./image.ts";

/** Seconds within which a new version must answer. */
const HEALTH_SECONDS = 60;
/** The port that an app listens on unless it says otherwise. */
const APP_PORT = 80;
/** Replicas of one project. */
export const REPLICAS = 16;
/** Deployments of a project whose images and contexts are kept, to go back to. */
export const KEPT_DEPLOYMENTS = 5;
/** Characters of all environment variables of a project, as JSON. */
export const ENVIRONMENT_CHARS = 65_536;

/** Characters of a fingerprint in the tag of an image. */
const IMAGE_TAG_CHARS = 32;

/** Docker's rule for names of containers, and short enough to be part of one. */
export const projectSchema = z
  .string()
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,62}$/,
    "is a letter or digit, then letters, digits, _ . or -: at least two, at most 63",
  );

/** Counts the deployments of a project; the generation of their replicas (protocol rule 19). */
export const generationSchema = z.int().min(1).max(1_000_000_000);

export const environmentSchema = z
  .record(
    z
      .string()
      .regex(
        /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
        "a name is a letter or _, then letters, digits or _: at most 128 in all",
      ),
    z
      .string()
      .max(32_768)
      .regex(/^[^\0]*$/, "it must not hold a NUL"),
  )
  .refine(
    (all) => environmentChars(all) <= ENVIRONMENT_CHARS,
    `have at most ${ENVIRONMENT_CHARS} characters`,
  );

/** What its owner may say of how it runs. */
export const appSettingsSchema = z.object({
  /** Port that the app listens on, inside its container. */
  port: z.int().min(1).max(65_535).default(APP_PORT),
  replicas: z.int().min(1).max(REPLICAS).default(1),
  /** Bytes; null for the agent's own limit, which nothing exceeds. */
  memory_bytes: z
    .int()
    .min(16 * 2 ** 20)
    .max(2 ** 40)
    .nullable()
    .default(null),
  cpus: z.number().min(0.05).max(1_024).nullable().default(null),
  health: z
    .object({
      /** Path that must answer 2xx or 3xx; null: the port accepts connections. The image's HEALTHCHECK counts before both. */
      path: z.string().startsWith("/").max(1_024).nullable().default(null),
      seconds: z.int().min(1).max(3_600).default(HEALTH_SECONDS),
    })
    .prefault({}),
  dockerfile: z.string().min(1).max(512).default(DEFAULT_DOCKERFILE),
  /** Every step is run anew, and nothing is taken from versions before. */
  no_cache: z.boolean().default(false),
});
export type AppSettings = z.infer<typeof appSettingsSchema>;

export const appTargetSchema = z.object({
  recipe: z.literal("app"),
  /** The build's own id: a replica is never shared. */
  job: z.string().regex(/^[0-9a-f]{32}$/),
  project: projectSchema,
  generation: generationSchema,
  /** Counts from 0. */
  replica: z
    .int()
    .min(0)
    .max(REPLICAS - 1),
  /** For the labels of its container. */
  rule: z.string().max(2_048),
  /** What it is built from. */
  context: z.object({ size: z.int().min(0), sha256: sha256Schema }),
  /** Names context and Dockerfile: a host that keeps an image of it builds nothing. */
  fingerprint: sha256Schema,
  settings: appSettingsSchema,
  visibility: z.literal("unlisted"),
});
export type AppTarget = z.infer<typeof appTargetSchema>;

/** What the build's one credential holds, as JSON. Sealed at the edge, delivered to the attempt alone. */
export const appCredentialSchema = z.object({
  env: environmentSchema,
  /** Opens the app's socket for this replica, as long as it lives: `Authorization: Bearer`. Secret. */
  serve: z.string().regex(/^[0-9a-f]{64}$/),
});
export type AppCredential = z.infer<typeof appCredentialSchema>;

/** What ENVIRONMENT_CHARS bounds. */
export function environmentChars(all: Record<string, string>): number {
  return JSON.stringify(all).length;
}

export function appTargetKey({ job }: Pick<AppTarget, "job">): string {
  return `app/${job}`;
}

/** Tag under which a host keeps the image of a fingerprint. */
export function appImageTag(fingerprint: string): string {
  return fingerprint.slice(0, IMAGE_TAG_CHARS);
}

/** Where the app is shown. */
export function appArtifactPath({ project }: Pick<AppTarget, "project">): string {
  return `/projects/${encodeURIComponent(project)}`;
}

export function appLogParams({ project, generation, replica }: AppTarget): Record<string, string> {
  return {
    project,
    deployment: String(generation),
    ...(replica > 0 && { replica: String(replica) }),
  };
}
