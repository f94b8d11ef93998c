/**
 * Brings a commit of a git repository into an attempt's workspace volume, in a container of its own that has the
 * network and the credentials and runs no code of the repository (DESIGN.md rule 6, docker.md section 7).
 */
import { isLoopback } from "../shared/remotes.ts";
import { firstFile } from "./archive.ts";
import { type Mount, type Network, workspaceVolume } from "./docker/contracts.ts";
import { ownerLabels } from "./docker/labels.ts";
import { FETCH_EXIT, fetchScript, RESULT_FILE } from "./fetch-script.ts";
import { type RecipeContext, RecipeFailure } from "./recipes/contracts.ts";

/** Where the workspace volume is mounted, in every container of an attempt. */
export const WORKSPACE = "/build";
/** Owner-writable folders that the fetch leaves for the build, and that are no part of the checkout. */
export const HOME = `${WORKSPACE}/home`;
export const TEMPORARY = `${WORKSPACE}/tmp`;
export const OUTPUT = `${WORKSPACE}/out`;

export type Source = {
  /** The git host's name as users write it, and where this agent's operator says that it is. */
  remote: string;
  base: string;
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
/** Characters of git's words that a reason quotes. */
const QUOTE_CHARS = 400;
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
/** What git allows in a tag, less what it reads as a pattern. */
const TAG = /^[^\s~^:?*[\\-][^\s~^:?*[\\]*$/;

/** Folder of the checkout: also where GOPATH tools of old look for it. */
export function checkoutFolder(source: Pick<Source, "remote" | "path">): string {
  return `${WORKSPACE}/src/${source.remote}${source.path.replace(/\.git$/, "")}`;
}

/** The fetch container's network: the host's own only to reach a loopback base that the operator named. */
export function fetchNetwork(base: string): Network {
  return isLoopback(base) ? { kind: "host" } : { kind: "outbound" };
}

/**
 * Fills the workspace volume. What an earlier try of the phase left in it is removed first.
 * @throws RecipeFailure no_such_version, clone_error; what `context.run` throws
 */
export async function fetchSource(
  context: Pick<RecipeContext, "docker" | "owner" | "limits" | "run">,
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
  const { credentials } = source;
  const { exit, handle, tail } = await context.run({
    phase: "fetch",
    image: step.image,
    command: ["sh", "-c", fetchScript(step.script)],
    env: { ...gitEnvironment(source), ...step.env },
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

function gitEnvironment(source: Source): Record<string, string> {
  return {
    LC_ALL: "C",
    HOME,
    TMPDIR: TEMPORARY,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/tmp/gitconfig",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: "https:http",
    GIT_LFS_SKIP_SMUDGE: "1",
    RAILHEAD_GITCONFIG: gitConfig(source),
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

/** Settings of every git that runs in the fetch container, submodules' and `go`'s included. No secrets. */
function gitConfig({ remote, base }: Source): string {
  const lines = [
    "[protocol]",
    "version = 2",
    "[http]",
    // git would send the credential on to where it is sent.
    "followRedirects = false",
    // Bytes a second, and seconds below that, after which a transfer counts as dead.
    "lowSpeedLimit = 1000",
    "lowSpeedTime = 60",
    "[core]",
    "hooksPath = /dev/null",
    "[advice]",
    "detachedHead = false",
    "[gc]",
    "auto = 0",
  ];
  if (base !== `https://${remote}`)
    lines.push(`[url "${base}/"]`, `insteadOf = https://${remote}/`);
  // On the host's network, a submodule's address must not reach other services of the host.
  if (isLoopback(base))
    lines.push("[http]", "proxy = http://127.0.0.1:1", `[http "${base}/"]`, 'proxy = ""');
  return `${lines.join("\n")}\n`;
}

/** Later values of a key are appended on lines of their own. */
function parseFacts(text: Buffer): Record<string, string> {
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

const ADVICE: [RegExp, string][] = [
  [
    /Authentication failed|could not read Username|returned error: 40[13]/,
    "Check that the token may read the repository and is still valid.",
  ],
  [/returned error: 30\d/, "The git host redirects: ask for the repository by its present name."],
  [/not found|returned error: 404/i, "Check the repository's name."],
  [
    /Could not resolve|Failed to connect|timed out|Connection re|returned error: 5\d\d/i,
    "The git host could not be reached from the agent: try again later.",
  ],
];

function cloneFailure(code: number, tail: string[], source: Source): RecipeFailure {
  const said = tail.filter((line) => /^(?:fatal|error|remote): /.test(line));
  const words = (said.at(-1) ?? tail.at(-1) ?? "git said nothing")
    .replaceAll(source.base, `https://${source.remote}`)
    .slice(0, QUOTE_CHARS);
  if (code === FETCH_EXIT.no_such_commit)
    return new RecipeFailure(
      "no_such_version",
      `The commit ${source.commit} is not in the repository any more: ${words}.`,
    );
  const full = tail.find((line) => DISK_FULL.test(line));
  if (full !== undefined)
    return new RecipeFailure(
      "disk_full",
      `${full.slice(0, QUOTE_CHARS)}. The repository needs more disk than the agent gives.`,
    );
  const what = code === FETCH_EXIT.submodule ? "A submodule could not be fetched: " : "";
  const advice = ADVICE.find(([pattern]) => pattern.test(words))?.[1];
  return new RecipeFailure("clone_error", `${what}${words}${advice ? ` ${advice}` : ""}`);
}
