/**
 * The `erlang` recipe: a package of one OTP application, built for one major version of Erlang/OTP, or the runtime
 * system (`erts`) of such a version (spec erlang.md). A package is named `namespace/name` at a `ref`.
 */
import * as z from "zod";
import { commitSchema } from "../hashes.ts";
import { goTargetSchema } from "./go.ts";

/** Builds that one may lead to: a package's dependencies, and theirs. */
export const FOLLOW_DEPTH = 8;
/** Builds that one attempt may ask for. */
export const FOLLOW_BUILDS = 64;

const segment = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$/);
/** An OTP application's name: an unquoted atom. */
export const appNameSchema = z.string().regex(/^[a-z][A-Za-z0-9_@]{0,126}$/);
/** What an OTP release calls itself: "27", and "R16B03" of old. */
export const erlSchema = z.string().regex(/^(?:\d{1,3}|R\d{1,2}[A-Z]?(?:\d{2})?)$/);
/** A tag, a branch, or a whole commit. */
export const refSchema = goTargetSchema.shape.version;

/** Where a package comes from: a repository on a git host, as users write it. */
const sourceShape = {
  remote: goTargetSchema.shape.remote,
  /** Owner, groups and repository. */
  path: goTargetSchema.shape.path,
  /** The two halves of coon's `full_name`: what the package is called, wherever it lies. */
  namespace: segment,
  name: segment,
};

export const erlangTargetSchema = z.object({
  recipe: z.literal("erlang"),
  asked: z.discriminatedUnion("kind", [
    z.object({
      kind: z.literal("package"),
      ...sourceShape,
      /** Null for the newest tag, or the default branch where there is none. */
      ref: refSchema.nullable(),
      /** Whether the committer is to be written to. No part of the key. */
      notify: z.boolean(),
      /** How many builds led to this one. No part of the key. */
      depth: z.int().min(0).max(FOLLOW_DEPTH),
    }),
    /** The `erts-*` folder of the version. */
    z.object({ kind: z.literal("erts") }),
  ]),
  /** OTP major; null for what the repository's own settings name first, or the agent's default. */
  erl: erlSchema.nullable(),
  visibility: z.literal("public"),
});
export type ErlangTarget = z.infer<typeof erlangTargetSchema>;
export type PackageAsked = Extract<ErlangTarget["asked"], { kind: "package" }>;

/** What only the attempt finds out. */
export const packageFactsSchema = z.object({
  /** The ref that was built: a tag, a branch or a commit. */
  version: refSchema,
  commit: commitSchema,
  erl_version: erlSchema,
  /** The OTP application; null while it is not known, as in a build that failed early. */
  app: appNameSchema.nullable(),
});
export type PackageFacts = z.infer<typeof packageFactsSchema>;

/** A build that another one leads to: a further Erlang version of the same package, or a dependency. */
export const followSchema = z.object({
  ...sourceShape,
  ref: refSchema,
  erl: erlSchema,
  /** `dependency`: nothing is built that is there already. */
  why: z.enum(["version", "dependency"]),
});
export type Follow = z.infer<typeof followSchema>;

/** How a package is shown. Members are null until they are known. */
export const packageSchema = z.object({
  namespace: z.string(),
  name: z.string(),
  version: z.string().nullable(),
  erl_version: z.string().nullable(),
  app: z.string().nullable(),
});
export type Package = z.infer<typeof packageSchema>;

/** One build at a time for all who ask the same. */
export function erlangTargetKey({ asked, erl }: ErlangTarget): string {
  if (asked.kind === "erts") return `erlang/erts/${encodeURIComponent(erl ?? "")}`;
  const { remote, path, namespace, name, ref } = asked;
  const words = [remote, ...path, namespace, name, ref ?? "", erl ?? ""];
  return `erlang/package/${words.map(encodeURIComponent).join("/")}`;
}

/** Each build of a package is a publication of its own: a rebuild leaves the old bytes alone. */
export function erlangPublicationKey(target: ErlangTarget, build: string): string {
  return target.asked.kind === "erts" ? erlangTargetKey(target) : packageKey(build);
}

/** Where the package that `build` made is published. */
export function packageKey(build: string): string {
  return `erlang/build/${build}`;
}

export function erlangArtifactPath({ asked, erl }: ErlangTarget, build: string): string {
  return asked.kind === "erts"
    ? `/download_erts/${encodeURIComponent(erl ?? "")}`
    : `/download/${build}`;
}

export function erlangFilePath(target: ErlangTarget, build: string, file: string): string {
  const { asked } = target;
  return asked.kind === "erts"
    ? erlangArtifactPath(target, build)
    : `/builds/${build}/files/${encodeURIComponent(file)}`;
}

/** `remote/owner/repo`, as people write it; null for a runtime system. */
export function erlangRepository({ asked }: Pick<ErlangTarget, "asked">): string | null {
  return asked.kind === "erts" ? null : [asked.remote, ...asked.path].join("/");
}

/** As far as they are known: what was asked for, then what the attempt found. */
export function packageOf(target: ErlangTarget, facts: PackageFacts | null): Package | null {
  const { asked, erl } = target;
  if (asked.kind === "erts") return null;
  const { namespace, name, ref } = asked;
  return {
    namespace,
    name,
    version: facts?.version ?? ref,
    erl_version: facts?.erl_version ?? erl,
    app: facts?.app ?? null,
  };
}

export function erlangLogParams({ asked, erl }: ErlangTarget): Record<string, string> {
  const version = erl === null ? {} : { erlang: erl };
  if (asked.kind === "erts") return { ...version };
  const { namespace, name, ref } = asked;
  return { package: `${namespace}/${name}`, ...(ref === null ? {} : { version: ref }), ...version };
}

/** The label that says which versions an agent has: "25,27". */
export const ERLANG_LABEL = "erlang";

/** Labels an agent must have for it. */
export function erlangNeeds({ erl }: Pick<ErlangTarget, "erl">): Record<string, string> {
  return erl === null ? {} : { [ERLANG_LABEL]: erl };
}
