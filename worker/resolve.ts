/** From what a request asks for to an exact version and commit, by asking the git host. */
import { Problem } from "../shared/problem.ts";
import { type GoTarget, goGitPath, goRepository, isCommit } from "../shared/recipes/go.ts";
import {
  branchTip,
  exactTag,
  expandCommit,
  isAdvertised,
  latestTag,
  nearestTags,
  type Ref,
  rangedTag,
  type Version,
} from "../shared/versions.ts";
import { listPublicRefs, listRefs, type RefPrefix, type RefsAnswer } from "./git.ts";

export type Resolved = Version & {
  visibility: "public" | "private";
  /** The commit is at the tip of a tag or branch (protocol rule 18). */
  advertised: boolean;
  /** The Authorization value that opened a private repository; null for a public one. */
  credential: string | null;
};

type Repository = Pick<Resolved, "visibility" | "credential"> & {
  tags: Ref[];
  heads(): Promise<Ref[]>;
  defaultBranch(): Promise<Ref[]>;
};

/** What of a repository is asked for. */
export type RepositoryRequest = Pick<GoTarget, "remote" | "path" | "version">;

/** The newest tag, or the default branch where there is none. */
export const LATEST = "latest";
/** The commit at the tip of the default branch, in git's own word. */
export const DEFAULT_BRANCH = "HEAD";
/** A commit, cut short: enough digits that nobody means anything else by it. */
const ABBREVIATED = /^[0-9a-f]{7,63}$/;

/**
 * Resolves a request at the git host below `base`: anonymously first, then with each of `credentials`.
 * Throws Problem: `no_such_repository`, `no_such_version` (with the nearest tags), `remote_unreachable`.
 */
export async function resolveVersion(
  base: string,
  request: RepositoryRequest,
  credentials: readonly string[],
): Promise<Resolved> {
  const url = `${base}${goGitPath(request)}`;
  const asked_at = Date.now();
  let repository = await open(url, request, credentials, 0);
  let version = await choose(request.version, repository);
  if (version === null && repository.visibility === "public") {
    // The listing may be some seconds old, and the tag newer than that.
    repository = await open(url, request, credentials, asked_at);
    version = await choose(request.version, repository);
  }
  if (version === null) throw await noSuchVersion(request, repository);
  const { visibility, credential } = repository;
  return { ...version, visibility, credential };
}

/** Names of the tags that everybody can see. Throws Problem `no_such_repository`, `remote_unreachable`. */
export async function publicTags(
  base: string,
  request: Pick<GoTarget, "remote" | "path">,
): Promise<string[]> {
  const { tags } = await open(
    `${base}${goGitPath(request)}`,
    { ...request, version: LATEST },
    [],
    0,
  );
  return tags.map(({ ref }) => ref.slice("refs/tags/".length));
}

async function open(
  url: string,
  request: RepositoryRequest,
  credentials: readonly string[],
  not_before: number,
): Promise<Repository> {
  const anonymous = (prefix: RefPrefix) => listPublicRefs(url, prefix, not_before);
  const tags = await anonymous("refs/tags/");
  if (tags.kind === "ok") return repository(request, null, tags.refs, anonymous);
  if (tags.kind === "unreachable") throw unreachable(request.remote, tags.why);
  for (const credential of credentials) {
    const authorized = (prefix: RefPrefix) => listRefs(url, prefix, credential);
    const answer = await authorized("refs/tags/");
    if (answer.kind === "ok") return repository(request, credential, answer.refs, authorized);
    if (answer.kind === "unreachable") throw unreachable(request.remote, answer.why);
  }
  throw new Problem(
    "no_such_repository",
    `${goRepository(request)} cannot be read at ${request.remote}. Check its name; ` +
      `if it is private, send a token of ${request.remote} that may read it in Authorization.`,
  );
}

function repository(
  request: RepositoryRequest,
  credential: string | null,
  tags: Ref[],
  list: (prefix: RefPrefix) => Promise<RefsAnswer>,
): Repository {
  const more = async (prefix: RefPrefix) => {
    const answer = await list(prefix);
    if (answer.kind === "ok") return answer.refs;
    throw unreachable(
      request.remote,
      answer.kind === "denied" ? "it changed its mind" : answer.why,
    );
  };
  return {
    visibility: credential === null ? "public" : "private",
    credential,
    tags,
    heads: () => more("refs/heads/"),
    defaultBranch: () => more("HEAD"),
  };
}

type Choice = Version & { advertised: boolean };

async function choose(asked: string, repository: Repository): Promise<Choice | null> {
  const { tags } = repository;
  const lower = asked.toLowerCase();
  if (isCommit(lower)) {
    const advertised = isAdvertised(lower, tags) || isAdvertised(lower, await repository.heads());
    return { version: lower, commit: lower, advertised };
  }
  if (asked === LATEST) return tip(latestTag(tags) ?? head(await repository.defaultBranch()));
  if (asked === DEFAULT_BRANCH) return tip(head(await repository.defaultBranch()));
  return tip(
    exactTag(asked, tags) ?? rangedTag(asked, tags) ?? branchTip(asked, await repository.heads()),
  );
}

function tip(version: Version | null): Choice | null {
  return version === null ? null : { ...version, advertised: true };
}

function head(refs: readonly Ref[]): Version | null {
  const ref = refs.find(({ ref }) => ref === DEFAULT_BRANCH);
  return ref === undefined ? null : { version: ref.oid, commit: ref.oid };
}

async function noSuchVersion(request: RepositoryRequest, repository: Repository): Promise<Problem> {
  const { version } = request;
  const name = goRepository(request);
  if (version === LATEST || version === DEFAULT_BRANCH)
    return new Problem("no_such_version", `${name} has no tag and no commit yet.`);
  if (ABBREVIATED.test(version)) {
    const commits = expandCommit(version, [...repository.tags, ...(await repository.heads())]);
    const hint = commits.length === 0 ? "" : ` At a tip there is ${commits.join(", ")}.`;
    return new Problem(
      "no_such_version",
      `${name} has no tag or branch ${version}. A commit needs all of its digits, for a short one may come to mean another.${hint}`,
      { members: { nearest: commits } },
    );
  }
  const near = nearestTags(version, repository.tags);
  const hint = near.length === 0 ? "It has no tags." : `Nearest tags: ${near.join(", ")}.`;
  return new Problem("no_such_version", `${name} has no tag or branch ${version}. ${hint}`, {
    members: { nearest: near },
  });
}

/** 502 that names the git host. `why` completes "the git host … ". */
export function unreachable(remote: string, why: string): Problem {
  return new Problem("remote_unreachable", `${remote} did not answer: ${why}. Try again later.`, {
    headers: { "retry-after": "10" },
  });
}
