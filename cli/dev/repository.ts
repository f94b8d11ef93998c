/** Makes bare git repositories that are the same, bit for bit, on every machine and run. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { text } from "node:stream/consumers";

/** The content of a regular file, or something else that git can hold. */
export type RepositoryFile =
  | string
  | Uint8Array
  | { executable: string | Uint8Array }
  /** A symbolic link to this path. */
  | { link: string }
  /** A submodule at this commit. */
  | { submodule: string };

export type RepositoryCommit = {
  /** The whole tree of this commit, by path. */
  files: Readonly<Record<string, RepositoryFile>>;
  message?: string;
  /** A tag on this commit. */
  tag?: string;
  /** The tag is an object of its own, with a message and a date. */
  annotated?: boolean;
  /** `main` by default. A branch that is new starts from the commit before. */
  branch?: string;
};

/** Time of the first commit, seconds since the epoch: 2026-01-01T00:00:00Z. */
const FIRST_COMMIT_TIME = 1_767_225_600;
const COMMIT_INTERVAL = 3_600;
const PERSON = "Railhead <railhead@example.com>";

/**
 * Creates the bare repository `dir` (`…/owner/repo.git`) with `commits` in order, or adds them to one
 * that is there. Answers the ids of the new commits. Rejects with git's own words.
 */
export async function makeRepository(
  dir: string,
  commits: readonly RepositoryCommit[],
): Promise<string[]> {
  if (!existsSync(dir)) {
    await mkdir(dir, { recursive: true });
    await git(dir, ["init", "--quiet", "--bare", "--initial-branch=main"]);
  }
  const branches = new Set(
    lines(await git(dir, ["for-each-ref", "--format=%(refname)", "refs/heads"])),
  );
  const before = Number(await git(dir, ["rev-list", "--all", "--count"]));

  const script: (string | Uint8Array)[] = ["feature done\n"];
  const known = new Set<string>();
  commits.forEach((commit, index) => {
    const branch = `refs/heads/${commit.branch ?? "main"}`;
    const mark = index + 1;
    const person = `${PERSON} ${FIRST_COMMIT_TIME + (before + index) * COMMIT_INTERVAL} +0000`;
    script.push(`commit ${branch}\nmark :${mark}\ncommitter ${person}\n`);
    script.push(...data(commit.message ?? commit.tag ?? `Commit ${before + mark}`));
    if (!known.has(branch)) {
      if (branches.has(branch)) script.push(`from ${branch}^0\n`);
      else if (index > 0) script.push(`from :${index}\n`);
      known.add(branch);
    }
    script.push("deleteall\n");
    for (const [path, file] of Object.entries(commit.files)) script.push(...entry(path, file));
    if (commit.tag !== undefined && commit.annotated)
      script.push(`tag ${commit.tag}\nfrom :${mark}\ntagger ${person}\n`, ...data(commit.tag));
    else if (commit.tag !== undefined)
      script.push(`reset refs/tags/${commit.tag}\nfrom :${mark}\n\n`);
    script.push(`get-mark :${mark}\n`);
  });
  script.push("done\n");
  // Objects stay loose: the packs that fast-import writes depend on git's version.
  return lines(
    await git(dir, ["-c", "fastimport.unpackLimit=100000", "fast-import", "--quiet"], script),
  );
}

function entry(path: string, file: RepositoryFile): (string | Uint8Array)[] {
  if (typeof file === "string" || file instanceof Uint8Array)
    return [`M 100644 inline ${quote(path)}\n`, ...data(file)];
  if ("executable" in file) return [`M 100755 inline ${quote(path)}\n`, ...data(file.executable)];
  if ("link" in file) return [`M 120000 inline ${quote(path)}\n`, ...data(file.link)];
  return [`M 160000 ${file.submodule} ${quote(path)}\n`];
}

function data(content: string | Uint8Array): (string | Uint8Array)[] {
  return [`data ${Buffer.byteLength(content)}\n`, content, "\n"];
}

function quote(path: string): string {
  return `"${path.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function lines(output: string): string[] {
  return output.split("\n").filter((line) => line !== "");
}

/** Runs git in `dir`, untouched by the user's own settings; answers its stdout. */
async function git(
  dir: string,
  args: string[],
  stdin: readonly (string | Uint8Array)[] = [],
): Promise<string> {
  const child = spawn("git", args, {
    cwd: dir,
    env: {
      PATH: process.env.PATH,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_DIR: dir,
    },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  child.stdin.on("error", () => {}); // git's exit status and stderr say why it stopped reading
  child.stdin.end(Buffer.concat(stdin.map((part) => Buffer.from(part))));
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0) throw new Error(`git ${args.join(" ")} failed: ${errors.trim()}`);
  return output;
}
