/**
 * The `go` recipe: `/{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}[/{file}]` (spec go.md and
 * conventions.md, "Go paths"). The one parser of such paths, the target it makes, the names of its files.
 */
import * as z from "zod";
import { REPOSITORY_SEGMENTS, SEGMENT_CHARS } from "../limits.ts";
import { isGoPlatform } from "./go-platforms.ts";

/** A host, with a dot: what tells a Go path from every other route. */
const REMOTE =
  /^(?=.{3,128}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;
/** An owner, group or repository name: what git hosts allow, never `.`, `..` or an option. */
const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$/;
/** A tag, branch or commit: git's rules, narrowed to what is safe in every argv and key. */
const VERSION = /^[A-Za-z0-9^~<>=](?:[A-Za-z0-9._+/^~<>= *-]*[A-Za-z0-9*])?$/;
/** A `make` target. */
const MAKE_TARGET = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
const FILE = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,191}$/;

export const goVersionSchema = z
  .string()
  .max(SEGMENT_CHARS)
  .regex(VERSION)
  .refine((v) => !v.includes("..") && !v.includes("//") && !v.endsWith(".lock"));

/** Exactly what is to be made. `version` is a tag, or the commit itself. */
export const goTargetSchema = z.object({
  recipe: z.literal("go"),
  remote: z.string().regex(REMOTE),
  /** Owner, groups and repository: two or more segments. */
  path: z.array(z.string().max(SEGMENT_CHARS).regex(NAME)).min(2).max(REPOSITORY_SEGMENTS),
  goos: z.string().max(16),
  goarch: z.string().max(16),
  version: goVersionSchema,
  /** The `make` target asked for with `?target=`; null for the makefile's first. */
  make: z.string().regex(MAKE_TARGET).nullable(),
  commit: z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/),
  visibility: z.enum(["public", "private"]),
  /** The commit is at the tip of an advertised tag or branch: only then its caches are shared (rule 18). */
  advertised: z.boolean(),
});
export type GoTarget = z.infer<typeof goTargetSchema>;

/** What a path asks for, before a version is resolved to a commit. */
export type GoRequest = Pick<
  GoTarget,
  "remote" | "path" | "goos" | "goarch" | "version" | "make"
> & { file: string | null };

export type GoPathError = {
  code: "bad_path" | "unknown_platform";
  message: string;
};

/**
 * Parses the path of a request URL, as it was sent (percent-encoded).
 * Null when it is no Go path at all: its first segment holds no dot.
 */
export function parseGoPath(
  pathname: string,
  make: string | null = null,
): GoRequest | GoPathError | null {
  const raw = pathname.split("/").slice(1);
  if (!raw[0]?.includes(".")) return null;
  const segments: string[] = [];
  for (const segment of raw) {
    const text = decode(segment);
    if (text === null || text === "" || text.length > SEGMENT_CHARS + 64)
      return bad(
        `The path segment "${segment.slice(0, 80)}" is empty, too long or not valid percent-encoding.`,
      );
    segments.push(text);
  }
  if (segments.length < 6)
    return bad("A Go path is /{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}.");

  const remote = (segments[0] as string).toLowerCase();
  if (!REMOTE.test(remote)) return bad("The first segment must be a git host such as github.com.");
  const at = platformIndex(segments);
  if (at === -1)
    return {
      code: "unknown_platform",
      message: `No GOOS/GOARCH pair that Go can build for was found in "${segments.slice(3, 6).join("/")}".`,
    };

  const path = segments.slice(1, at);
  const [goos, goarch, version, file, ...rest] = segments.slice(at);
  if (version === undefined) return bad("The version is missing after GOOS/GOARCH.");
  if (rest.length > 0)
    return bad("There are segments after the file name. Write a / inside a version as %2F.");
  if (path.length > REPOSITORY_SEGMENTS)
    return bad(`A repository has at most ${REPOSITORY_SEGMENTS} path segments.`);
  const odd = path.find((name) => name.length > SEGMENT_CHARS || !NAME.test(name));
  if (odd !== undefined)
    return bad(`"${odd.slice(0, 80)}" cannot be the name of an owner or repository.`);
  if (path.at(-1)?.endsWith(".git")) return bad("Leave the .git away from the repository's name.");
  if (!goVersionSchema.safeParse(version).success)
    return bad(`"${version.slice(0, 80)}" cannot be a tag, branch, commit or version range.`);
  if (make !== null && !MAKE_TARGET.test(make))
    return bad(
      "?target= takes the name of one make target: letters, digits, dot, dash, underscore.",
    );
  if (file !== undefined && !FILE.test(file))
    return bad("The file name holds characters that no artifact has.");
  return {
    remote,
    path,
    goos: goos as string,
    goarch: goarch as string,
    version,
    make,
    file: file ?? null,
  };
}

/** The leftmost valid pair with two or more segments between it and the remote; -1 when there is none. */
function platformIndex(segments: string[]): number {
  for (let i = 3; i + 1 < segments.length; i++)
    if (isGoPlatform(segments[i] as string, segments[i + 1] as string)) return i;
  return -1;
}

function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

function bad(message: string): GoPathError {
  return { code: "bad_path", message };
}

export function isGoPathError(value: GoRequest | GoPathError): value is GoPathError {
  return "code" in value;
}

type GoName = Pick<GoTarget, "remote" | "path" | "goos" | "goarch" | "version" | "make">;

/** `visibility` is part of the key: what is private never shares an object or an R2 key with what is public. */
export function goTargetKey(target: GoName & Pick<GoTarget, "visibility">): string {
  const make = target.make === null ? "" : `/make:${target.make}`;
  return `go/${target.visibility}/${goSegments(target).join("/")}${make}`;
}

/** The URL path of a target without a file, percent-encoded, with `?target=` where one was asked for. */
export function goPath(target: GoName): string {
  return `/${goSegments(target).join("/")}${query(target)}`;
}

/** The URL path of the archive. */
export function goArtifactPath(target: GoName): string {
  return goFilePath(target, goArchiveName(target));
}

export function goFilePath(target: GoName, file: string): string {
  return `/${goSegments(target).join("/")}/${encodeURIComponent(file)}${query(target)}`;
}

function query(target: GoName): string {
  return target.make === null ? "" : `?target=${encodeURIComponent(target.make)}`;
}

function goSegments(target: GoName): string[] {
  return [target.remote, ...target.path, target.goos, target.goarch, target.version].map(
    encodeURIComponent,
  );
}

function repositoryName(target: Pick<GoTarget, "path">): string {
  return target.path.at(-1) as string;
}

/** `<repo>_<GOOS>_<GOARCH>.tar.gz` */
export function goArchiveName(target: Pick<GoTarget, "path" | "goos" | "goarch">): string {
  return `${repositoryName(target)}_${target.goos}_${target.goarch}.tar.gz`;
}

/** `<repo>`, on windows `<repo>.exe`, for wasm `<repo>.wasm`: the bare executable. */
export function goExecutableName(target: Pick<GoTarget, "path" | "goos" | "goarch">): string {
  const suffix = target.goos === "windows" ? ".exe" : target.goarch === "wasm" ? ".wasm" : "";
  return `${repositoryName(target)}${suffix}`;
}

export const CHECKSUMS_FILE = "checksums.txt";

/** `remote/owner/repo`, as people write it. */
export function goRepository(target: Pick<GoTarget, "remote" | "path">): string {
  return [target.remote, ...target.path].join("/");
}
