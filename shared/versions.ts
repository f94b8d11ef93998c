/** Which commit a version means, given what a repository has: tags first, then ranges over tags, then branches. */
import * as semver from "semver";
import { nearest } from "./nearest.ts";

/** A reference as git hosts list it. */
export type Ref = {
  ref: string;
  oid: string;
  /** The commit behind an annotated tag. */
  peeled?: string | undefined;
};

/** `version` is a tag, or the commit itself where a branch was asked for. */
export type Version = { version: string; commit: string };

const TAGS = "refs/tags/";
const HEADS = "refs/heads/";
/** Tags that an answer to an unknown version names. */
const NEAREST_TAGS = 5;
/** Tags that are compared with an unknown version: the newest as hosts list them. */
const COMPARED_TAGS = 2_000;
/** Something like v1, 1.2, 1.x, ^1.2 or >=1.0 <2.0: a partial version or an operator. */
const RANGE = /^(?:[~^<>=]|v?\d)/;

/** The tag of exactly this name. */
export function exactTag(version: string, tags: readonly Ref[]): Version | null {
  const tag = tags.find(({ ref }) => ref === `${TAGS}${version}`);
  return tag === undefined ? null : { version, commit: commitOf(tag) };
}

/** The highest release among the tags; the highest pre-release when there is no release. */
export function latestTag(tags: readonly Ref[]): Version | null {
  const versions = semverTags(tags);
  const releases = versions.filter(({ parsed }) => parsed.prerelease.length === 0);
  return highest(releases.length > 0 ? releases : versions);
}

/** Versions with the highest first; what is none in semver's eyes comes last, as it came. */
export function newestFirst(versions: readonly string[]): string[] {
  const ordered = semverTags(versions.map((name) => ({ ref: `${TAGS}${name}`, oid: "" })))
    .toSorted((a, b) => semver.compareBuild(b.parsed, a.parsed))
    .map(({ name }) => name);
  const known = new Set(ordered);
  return [...ordered, ...versions.filter((version) => !known.has(version))];
}

/** The highest tag within a range; null for what is no range, a whole version included. */
export function rangedTag(range: string, tags: readonly Ref[]): Version | null {
  if (!isRange(range)) return null;
  return highest(semverTags(tags).filter(({ parsed }) => semver.satisfies(parsed, range)));
}

/** Whether a version is a range and no whole version. */
export function isRange(version: string): boolean {
  if (!RANGE.test(version) || isWholeVersion(version)) return false;
  return semver.validRange(version) !== null;
}

/** `v1.2.3`, with or without `v`, pre-release and build: exact, whatever tags there are. */
export function isWholeVersion(version: string): boolean {
  return /^v?\d/.test(version) && semver.valid(version) !== null;
}

/** The tip of a branch. */
export function branchTip(branch: string, heads: readonly Ref[]): Version | null {
  const head = heads.find(({ ref }) => ref === `${HEADS}${branch}`);
  return head === undefined ? null : { version: head.oid, commit: head.oid };
}

/** Whether a commit is at the tip of one of these references (protocol rule 18). */
export function isAdvertised(commit: string, refs: readonly Ref[]): boolean {
  return refs.some((ref) => commitOf(ref) === commit);
}

/** The whole commits at the tips that an abbreviated one may mean. */
export function expandCommit(abbreviated: string, refs: readonly Ref[]): string[] {
  const commits = new Set(refs.map(commitOf).filter((commit) => commit.startsWith(abbreviated)));
  return [...commits];
}

/**
 * Tags that the caller may have meant, nearest first: versions by how far they are from the one that was asked for,
 * the newest of those equally far; then words, by their letters.
 */
export function nearestTags(version: string, tags: readonly Ref[]): string[] {
  const names = tags.slice(-COMPARED_TAGS).map(({ ref }) => ref.slice(TAGS.length));
  const words = nearest(version, names, NEAREST_TAGS);
  const wanted = semver.coerce(version);
  if (wanted === null) return words;
  const versions = semverTags(tags)
    .sort((a, b) => compareDistance(a.parsed, b.parsed, wanted))
    .map(({ name }) => name);
  return [...new Set([...versions, ...words])].slice(0, NEAREST_TAGS);
}

function compareDistance(a: semver.SemVer, b: semver.SemVer, wanted: semver.SemVer): number {
  for (const part of ["major", "minor", "patch"] as const) {
    const nearer = Math.abs(a[part] - wanted[part]) - Math.abs(b[part] - wanted[part]);
    if (nearer !== 0) return nearer;
  }
  return semver.compareBuild(b, a);
}

type SemverTag = { name: string; commit: string; parsed: semver.SemVer };

function semverTags(tags: readonly Ref[]): SemverTag[] {
  return tags.flatMap((tag) => {
    const name = tag.ref.slice(TAGS.length);
    // Many repositories write v1.2 for what semver calls v1.2.0.
    const parsed = semver.parse(name.replace(/^(v?\d+\.\d+)$/, "$1.0"));
    return parsed === null ? [] : [{ name, commit: commitOf(tag), parsed }];
  });
}

function highest(versions: readonly SemverTag[]): Version | null {
  const best = versions.toSorted((a, b) => semver.compareBuild(b.parsed, a.parsed))[0];
  return best === undefined ? null : { version: best.name, commit: best.commit };
}

function commitOf(ref: Ref): string {
  return ref.peeled ?? ref.oid;
}
