/**
 * The `go` recipe: `/{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}[/{file}]` (spec go.md and
 * conventions.md, "Go paths"). The one parser of such paths, the target it makes, the names of its files.
 */
import * as z from "zod";
import { FILE_NAME_CHARS, GO_PATH_CHARS, REPOSITORY_SEGMENTS, SEGMENT_CHARS } from "../limits.ts";
import { nearest } from "../nearest.ts";
import { GO_PLATFORMS, isGoPlatform } from "./go-platforms.ts";

/** A host, with a dot: what tells a Go path from every other route. */
const REMOTE =
  /^(?=.{3,128}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;
/** An owner, group or repository name: what git hosts allow, never `.`, `..` or an option. */
const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$/;
/** A tag, branch or commit: git's rules, narrowed to what is safe in every argv and key. */
const VERSION = /^[A-Za-z0-9^~<>=](?:[A-Za-z0-9._+/^~<>= *-]*[A-Za-z0-9*])?$/;
/** A `make` target. */
const MAKE_TARGET = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
const FILE = /^[A-Za-z0-9_][A-Za-z0-9._+-]*$/;
/** A commit, whole: SHA-1 or SHA-256. */
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
/** Segments of the shortest path: remote, owner, repository, GOOS, GOARCH, version. */
const MIN_SEGMENTS = 6;
/** Pairs that an answer to an unknown one suggests. */
const SUGGESTED_PLATFORMS = 5;

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
  commit: z.string().regex(COMMIT),
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

export type GoPathError =
  | { code: "bad_path"; message: string }
  /** `valid`: every pair there is, likely ones first. */
  | { code: "unknown_platform"; message: string; valid: string[] };

/**
 * Parses the path of a request URL, as it was sent (percent-encoded).
 * Null when it is no Go path at all: it is one segment, or its first segment holds no dot. Empty segments before
 * that one are an error of a Go path, not another path.
 */
export function parseGoPath(
  pathname: string,
  make: string | null = null,
): GoRequest | GoPathError | null {
  const raw = pathname.split("/").slice(1);
  const first = raw.findIndex((segment) => segment !== "");
  if (raw.length - first < 2 || !raw[first]?.includes(".")) return null;
  if (raw.at(-1) === "") return bad("The path ends in a slash: leave it away.");
  if (raw.includes("")) return bad("The path holds two slashes in a row: leave one away.");
  const segments: string[] = [];
  for (const segment of raw) {
    const text = decode(segment);
    if (text === null || text.length > FILE_NAME_CHARS)
      return bad(`The path segment "${shown(segment)}" is too long or not valid percent-encoding.`);
    segments.push(text);
  }
  const remote = (segments[0] as string).toLowerCase();
  if (!REMOTE.test(remote)) return bad("The first segment must be a git host such as github.com.");
  if (segments.length < MIN_SEGMENTS)
    return bad("A Go path is /{remote}/{owner}/{repo}/{GOOS}/{GOARCH}/{version}.");
  const at = platformIndex(segments);
  if (at === -1) return unknownPlatform(segments);

  const path = segments.slice(1, at);
  const [goos, goarch, version, file = null, ...rest] = segments.slice(at) as [
    string,
    string,
    ...string[],
  ];
  if (version === undefined) return bad("The version is missing after GOOS/GOARCH.");
  if (rest.length > 0)
    return bad("There are segments after the file name. Write a / inside a version as %2F.");
  if (path.length > REPOSITORY_SEGMENTS)
    return bad(`A repository has at most ${REPOSITORY_SEGMENTS} path segments.`);
  const odd = path.find((name) => name.length > SEGMENT_CHARS || !NAME.test(name));
  if (odd !== undefined)
    return bad(`"${shown(odd)}" cannot be the name of an owner or repository.`);
  if (path.at(-1)?.endsWith(".git")) return bad("Leave the .git away from the repository's name.");
  if (!goVersionSchema.safeParse(version).success)
    return bad(`"${shown(version)}" cannot be a tag, branch, commit or version range.`);
  if (make !== null && !MAKE_TARGET.test(make))
    return bad(
      "?target= takes the name of one make target: letters, digits, dot, dash, underscore.",
    );
  if (file !== null && !FILE.test(file))
    return bad("The file name holds characters that no artifact has.");
  const request = { remote, path, goos, goarch, version, make, file };
  if (goSegments(request).join("/").length > GO_PATH_CHARS)
    return bad(`Repository and version have at most ${GO_PATH_CHARS} characters together.`);
  return request;
}

/** The leftmost valid pair with two or more segments between it and the remote; -1 when there is none. */
function platformIndex(segments: string[]): number {
  for (let i = 3; i + 1 < segments.length; i++)
    if (isGoPlatform(segments[i] as string, segments[i + 1] as string)) return i;
  return -1;
}

/** The pair that was meant is the one nearest to a valid one. */
function unknownPlatform(segments: string[]): GoPathError {
  const pairs = segments.slice(3, -1).map((goos, i) => `${goos}/${segments[i + 4]}`);
  const meant = pairs.find((pair) => isHalfKnown(pair)) ?? (pairs[0] as string);
  const valid = nearest(meant, GO_PLATFORMS, GO_PLATFORMS.length);
  return {
    code: "unknown_platform",
    message:
      `"${shown(meant)}" is no GOOS/GOARCH pair that Go builds for. ` +
      `Near it: ${valid.slice(0, SUGGESTED_PLATFORMS).join(", ")}. ` +
      "All of them: go tool dist list, or this answer with Accept: application/json.",
    valid,
  };
}

function isHalfKnown(pair: string): boolean {
  const [goos, goarch] = pair.toLowerCase().split("/");
  return GO_PLATFORMS.some((known) => {
    const [knownGoos, knownGoarch] = known.split("/");
    return goos === knownGoos || goarch === knownGoarch;
  });
}

function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** What a caller sent, fit to be printed on a terminal. */
function shown(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]/g, "?");
  return printable.length > 80 ? `${printable.slice(0, 80)}...` : printable;
}

function bad(message: string): GoPathError {
  return { code: "bad_path", message };
}

export function isGoPathError(value: GoRequest | GoPathError): value is GoPathError {
  return "code" in value;
}

/** A whole commit names one thing for ever; an abbreviated one may come to name two. */
export function isCommit(version: string): boolean {
  return COMMIT.test(version);
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

/** The path below a git host's base URL at which every known host serves the repository, without a redirect. */
export function goGitPath(target: Pick<GoTarget, "path">): string {
  return `/${target.path.join("/")}.git`;
}

/** `params` of the log's first line: torokko's names first, then ours. */
export function goLogParams(target: GoTarget): Record<string, string> {
  return {
    remote: target.remote,
    owner: target.path.slice(0, -1).join("/"),
    repo: repositoryName(target),
    GOOS: target.goos,
    GOARCH: target.goarch,
    version: target.version,
    ...(target.make === null ? {} : { target: target.make }),
    commit: target.commit,
  };
}
