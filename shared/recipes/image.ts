/**
 * The `image` recipe: a Docker image built from a context and pushed to the registry that its name points to, or
 * kept as a tarball (spec images.md). Names are Docker's own: `[registry/]path[:tag]`.
 */
import * as z from "zod";
import { commitSchema, sha256Schema } from "../hashes.ts";
import { goVersionSchema } from "./go.ts";

/** Characters of a whole reference, registry and tag included. */
const REFERENCE_CHARS = 512;
/** What `docker load` takes, gzipped. */
export const IMAGE_TARBALL = "image.tar.gz";
/** The registry of names without one. */
export const DOCKER_HUB = "index.docker.io";
export const DEFAULT_DOCKERFILE = "Dockerfile";
const DEFAULT_TAG = "latest";
/** Characters of all build arguments, and of all labels, as JSON: they must fit the frame that assigns the build. */
const SETTINGS_CHARS = 32_768;

/** Label of agents that build with BuildKit. */
export const BUILDKIT_LABEL = { buildkit: "yes" };
export const NO_BUILDKIT =
  'Build secrets need an agent with BuildKit ([image] builder = "buildkit" in its settings): there is none.';
/** Characters of all build secrets, as JSON: tokens and keys. In base64 they must fit a header (16 KiB, as proxies have it). */
export const SECRETS_CHARS = 8_192;

/** Docker's grammar: a host, with a port where it has one. */
const REGISTRY =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::\d{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

export type ImageName = {
  /** Host with port; DOCKER_HUB for a name without one. */
  registry: string;
  /** Path below the registry, as the registry's API has it (`library/debian`). */
  repository: string;
  tag: string;
  /** As Docker wants it said: what was asked for, with its tag. */
  reference: string;
};

/**
 * Reads an image's name. The first path element is a registry when it holds a `.` or `:` or is `localhost`, and
 * something follows it. Null for what Docker would not take; digests name what is there already, so they are refused.
 */
export function parseImageName(text: string): ImageName | null {
  if (text.length > REFERENCE_CHARS || text.includes("@")) return null;
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(slash, 0));
  const hasRegistry = slash > 0 && (/[.:]/.test(first) || first === "localhost");
  if (hasRegistry && !REGISTRY.test(first)) return null;
  const rest = hasRegistry ? text.slice(slash + 1) : text;
  const colon = rest.indexOf(":");
  const path = colon === -1 ? rest : rest.slice(0, colon);
  const tag = colon === -1 ? DEFAULT_TAG : rest.slice(colon + 1);
  if (!TAG.test(tag) || path.length > 255) return null;
  if (!path.split("/").every((component) => COMPONENT.test(component))) return null;
  const official = !hasRegistry && !path.includes("/");
  return {
    registry: hasRegistry ? first : DOCKER_HUB,
    repository: official ? `library/${path}` : path,
    tag,
    reference: `${hasRegistry ? `${first}/` : ""}${path}:${tag}`,
  };
}

/** A build argument's or label's name. */
const key = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/, "is no name of a setting");
const value = z.string().max(4_096);
const reference = z
  .string()
  .max(REFERENCE_CHARS)
  .refine((text) => parseImageName(text) !== null, "is no name of an image");

/** By which a Dockerfile names a secret (`--mount=type=secret,id=…`). */
export const secretIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/, "is no id of a secret");

/** Where the context comes from. It never travels through an object: the edge keeps it in R2, or the agent fetches it. */
export const imageSourceSchema = z.discriminatedUnion("kind", [
  /** A tar (plain or gzip) that waits in the bucket, put there by the request. */
  z.object({ kind: z.literal("context"), size: z.int().min(0), sha256: sha256Schema }),
  /** A tar that the agent fetches itself, from a public address (http or https). */
  z.object({ kind: z.literal("url"), url: z.url().max(2_048) }),
  /** A commit of a repository on a git host that the agent allows. */
  z.object({
    kind: z.literal("git"),
    remote: z.string().max(128),
    path: z.array(z.string().max(128)).min(2).max(8),
    version: goVersionSchema,
    commit: commitSchema,
  }),
]);

const settings = z
  .record(key, value)
  .refine(
    (all) => JSON.stringify(all).length <= SETTINGS_CHARS,
    `have at most ${SETTINGS_CHARS} characters`,
  );

export const imageTargetSchema = z.object({
  recipe: z.literal("image"),
  /** The build's own id: images are never shared, so each build is a target of its own. */
  job: z.string().regex(/^[0-9a-f]{32}$/),
  /** What it is pushed as, with its tag. */
  image: reference,
  source: imageSourceSchema,
  /** False: only the tarball is wanted. */
  push: z.boolean(),
  /** Publish what `docker load` takes as IMAGE_TARBALL. */
  tarball: z.boolean(),
  /** Path of the Dockerfile in the context: relative, without `.` and `..`. */
  dockerfile: z
    .string()
    .max(512)
    .refine(
      (path) => path.split("/").every((segment) => !/^\.{0,2}$/.test(segment)),
      "is no path in the context",
    ),
  /** The stage to build, by name or number; null for the last. */
  stage: z
    .string()
    .max(128)
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, "is no name of a stage")
    .nullable(),
  args: settings,
  labels: settings,
  no_cache: z.boolean(),
  cache_from: z.array(reference).max(8),
  /** Ids of the secrets that came with it; their values are part of the credential. */
  secret_ids: z.array(secretIdSchema).max(32).optional(),
  /** Whoever knows the build's id may see it; it is in no list. */
  visibility: z.literal("unlisted"),
});
export type ImageTarget = z.infer<typeof imageTargetSchema>;
export type ImageSource = ImageTarget["source"];

/** What a build's one credential holds, as JSON. Sealed at the edge, delivered to the attempt alone. */
export const imageCredentialSchema = z.object({
  /** For the push, and for base images of the same registry. */
  registry: z.object({ username: z.string(), password: z.string() }).nullable(),
  /** Authorization value for the git host. */
  git: z.string().nullable(),
  /** What steps may read while they run. */
  secrets: z.array(z.object({ id: secretIdSchema, value: z.string() })).default([]),
});
export type ImageCredential = z.infer<typeof imageCredentialSchema>;

/** Labels that an agent must have to build it. */
export function imageNeeds({ secret_ids = [] }: ImageTarget): Record<string, string> {
  return secret_ids.length > 0 ? BUILDKIT_LABEL : {};
}

export function imageTargetKey({ job }: Pick<ImageTarget, "job">): string {
  return `image/${job}`;
}

/** Where the build is shown: an image lies in its registry, not here. */
export function imageArtifactPath({ job, tarball }: Pick<ImageTarget, "job" | "tarball">): string {
  return tarball ? imageFilePath({ job }, IMAGE_TARBALL) : `/builds/${job}`;
}

export function imageFilePath({ job }: Pick<ImageTarget, "job">, file: string): string {
  return `/builds/${job}/files/${encodeURIComponent(file)}`;
}

/** The repository that the source is a commit of; null for every other source. */
export function imageRepository({ source }: Pick<ImageTarget, "source">): string | null {
  return source.kind === "git" ? [source.remote, ...source.path].join("/") : null;
}

export function imageCommit({ source }: Pick<ImageTarget, "source">): string | null {
  return source.kind === "git" ? source.commit : null;
}

export function imageLogParams({ image, source }: ImageTarget): Record<string, string> {
  return { image, source: source.kind };
}
