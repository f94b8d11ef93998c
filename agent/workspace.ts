/**
 * Brings a commit of a git repository into an attempt's workspace volume, in a container of its own that has the
 * network and the credentials and runs no code of the repository (DESIGN.md rule 6, docker.md section 7).
 */
import { firstFile } from "./archive.ts";
import { type Mount, workspaceVolume } from "./docker/contracts.ts";
import { ownerLabels } from "./docker/labels.ts";
import { FETCH_EXIT, fetchScript, RESULT_FILE } from "./fetch-script.ts";
import {
  fetchNetwork,
  type GitHost,
  gitEnvironment,
  gitSentence,
  gitWords,
  publicNames,
} from "./git.ts";
import { type RecipeContext, RecipeFailure } from "./recipes/contracts.ts";
import { sentence } from "./text.ts";

/** Where the workspace volume is mounted, in every container of an attempt. */
export const WORKSPACE = "/build";
/** Owner-writable folders that the fetch leaves for the build, and that are no part of the checkout. */
export const HOME = `${WORKSPACE}/home`;
export const TEMPORARY = `${WORKSPACE}/tmp`;
export const OUTPUT = `${WORKSPACE}/out`;

export type Source = GitHost & {
  /** Path of the repository below `base`, from its slash on. */
  path: string;
  /** Full id, 40 or 64 hex digits. */
  commit: string;
  /** Null when the commit itself was asked for. */
  tag: string | null;
  /** Authorization values to try in turn. */
  credentials: readonly string[];
};

/** What a recipe does with the checkout while there is a network. */
export type Step = {
  image: string;
  /** Shell commands, see `fetchScript`. */
  script: string;
  env: Record<string, string>;
  mounts: Mount[];
};

export type Fetched = {
  /** Exit code of the recipe's step. */
  status: number;
  /** Last lines of what the step printed. */
  tail: string[];
  /** Seconds since the epoch at which the commit was made. */
  time: number;
  /** The tag points to another commit by now; ours was built under its name. */
  tag_moved: boolean;
  lfs: boolean;
  /** What the step reported. */
  facts: Record<string, string>;
  /** Repositories of which a credential was used, as `remote/owner/repo` (protocol rule 17). */
  repositories: string[];
};

/** Bytes of the fetch container's facts. */
const RESULT_BYTES = 256 * 1024;
/** Characters of a line about a full disk that a reason quotes. */
const FULL_CHARS = 400;
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
/** What git allows in a tag, less what it reads as a pattern. */
const TAG = /^[^\s~^:?*[\\-][^\s~^:?*[\\]*$/;

/** Folder of the checkout: also where GOPATH tools of old look for it. */
export function checkoutFolder(source: Pick<Source, "remote" | "path">): string {
  return `${WORKSPACE}/src/${source.remote}${source.path.replace(/\.git$/, "")}`;
}

/**
 * Fills the workspace volume. What an earlier try of the phase left in it is removed first.
 * @throws RecipeFailure no_such_version, clone_error; what `context.run` throws
 */
export async function fetchSource(
  context: Pick<RecipeContext, "docker" | "owner" | "limits" | "rename" | "run">,
  source: Source,
  step: Step,
): Promise<Fetched> {
  if (!COMMIT.test(source.commit) || (source.tag !== null && !TAG.test(source.tag)))
    throw new RecipeFailure("no_such_version", "The version is no tag or commit that git takes.");
  const { docker, owner, limits } = context;
  const volume = workspaceVolume(owner);
  await docker.createVolume({
    name: volume,
    labels: ownerLabels(owner),
    bytes: limits.disk_bytes,
  });
  context.rename(publicNames([source]));
  const { credentials } = source;
  const { exit, handle, tail } = await context.run({
    phase: "fetch",
    image: step.image,
    command: ["sh", "-c", fetchScript(step.script)],
    env: { ...sourceEnvironment(source), ...step.env },
    working_dir: WORKSPACE,
    mounts: [{ volume, target: WORKSPACE, read_only: false }, ...step.mounts],
    network: fetchNetwork(source.base),
    limits,
    stdin: credentials.map((credential) => `${credential}\n`).join(""),
  });
  if (Object.values<number>(FETCH_EXIT).includes(exit.code))
    throw cloneFailure(exit.code, tail, source);
  const facts = parseFacts(
    await firstFile(await handle.get(RESULT_FILE, RESULT_BYTES), RESULT_BYTES),
  );
  if (facts.time === undefined)
    throw new RecipeFailure(
      "agent_error",
      `The fetch container ended with status ${exit.code}: ${tail.at(-1) ?? "it said nothing"}`,
    );
  const { time, moved, lfs, authorized, ...rest } = facts;
  return {
    status: exit.code,
    tail,
    time: Number(time),
    tag_moved: moved !== undefined,
    lfs: lfs !== undefined,
    facts: rest,
    repositories: repositoriesOf(authorized ?? "", source),
  };
}

function sourceEnvironment(source: Source): Record<string, string> {
  return {
    ...gitEnvironment([source], fetchNetwork(source.base)),
    HOME,
    TMPDIR: TEMPORARY,
    RAILHEAD_DIR: checkoutFolder(source),
    RAILHEAD_BASE: source.base,
    RAILHEAD_URL: `${source.base}${source.path}`,
    // What a makefile sees: the name that users know, not where this operator's host lies.
    RAILHEAD_ORIGIN: `https://${source.remote}${source.path}`,
    RAILHEAD_COMMIT: source.commit,
    RAILHEAD_TAG: source.tag ?? "",
    RAILHEAD_FORMAT: source.commit.length === 64 ? "sha256" : "sha1",
  };
}

/** Later values of a key are appended on lines of their own. */
export function parseFacts(text: Buffer): Record<string, string> {
  const facts: Record<string, string> = {};
  for (const line of text.toString("utf8").split("\n")) {
    const at = line.indexOf("=");
    if (at === -1) continue;
    const key = line.slice(0, at);
    const value = line.slice(at + 1);
    facts[key] = Object.hasOwn(facts, key) ? `${facts[key]}\n${value}` : value;
  }
  return facts;
}

/** Of URLs, the ones that the credential could reach, as users write repositories. */
function repositoriesOf(urls: string, { remote, base }: Source): string[] {
  const found = urls.split("\n").flatMap((url) => {
    const prefix = [`${base}/`, `https://${remote}/`].find((start) => url.startsWith(start));
    if (prefix === undefined) return [];
    const path = url
      .slice(prefix.length)
      .replace(/\/+$/, "")
      .replace(/\.git$/, "");
    return [`${remote}/${path}`];
  });
  return [...new Set(found)].sort();
}

/** How programs say that there is no room, or less than a file needs. */
export const DISK_FULL =
  /no space left on device|disk quota exceeded|file too large|file size limit exceeded/i;

function cloneFailure(code: number, tail: string[], source: Source): RecipeFailure {
  if (code === FETCH_EXIT.no_such_commit)
    return new RecipeFailure(
      "no_such_version",
      `The commit ${source.commit} is not in the repository any more: ${sentence(gitWords(tail))}`,
    );
  const full = fullDisk(tail);
  if (full !== null) return full;
  const what = code === FETCH_EXIT.submodule ? "A submodule could not be fetched: " : "";
  return new RecipeFailure("clone_error", `${what}${gitSentence(tail)}`);
}

/** When the sources that are fetched are too many for the workspace. */
export function fullDisk(tail: readonly string[]): RecipeFailure | null {
  const full = tail.find((line) => DISK_FULL.test(line));
  if (full === undefined) return null;
  return new RecipeFailure(
    "disk_full",
    `${full.slice(0, FULL_CHARS)}. The repository needs more disk than the agent gives.`,
  );
}
