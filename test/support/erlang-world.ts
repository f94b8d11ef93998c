/** The Erlang recipe over a real engine and a real git host, without the agent around it: a context that only remembers. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Owner } from "../../agent/docker/contracts.ts";
import { type Made, type Recipe, RecipeFailure } from "../../agent/recipes/contracts.ts";
import { erlangRecipe } from "../../agent/recipes/erlang.ts";
import type { ErlangSettings } from "../../agent/recipes/erlang-contracts.ts";
import { type GitServer, startGitServer } from "../../cli/dev/git-server.ts";
import { makeRepository, type RepositoryCommit } from "../../cli/dev/repository.ts";
import type { Learnt } from "../../shared/protocol.ts";
import { type ErlangTarget, erlangTargetSchema } from "../../shared/recipes/erlang.ts";
import { type DockerWorld, dockerWorld } from "./docker.ts";
import { engine } from "./engine.ts";
import { recipeContext, type Said } from "./recipe-context.ts";

/** The git host's name in targets. */
export const REMOTE = "git.example";
/** OTP majors that can be had here, oldest first. */
export const OTP = ["25", "27"] as const;

const PREPARE = join(import.meta.dirname, "../../images/prepare.sh");

/** A build that ended: with files, or with a failure. */
export type Ended = {
  owner: Owner;
  log: Said[];
  learnt: Learnt;
  made: Made[];
  failure: RecipeFailure | null;
};

export type BuildRequest = {
  /** `owner/repo`. */
  path: string;
  ref?: string | null;
  erl?: string | null;
  notify?: boolean;
};

export type ErlangWorld = AsyncDisposable & {
  docker: DockerWorld;
  git: GitServer;
  recipe: Recipe<ErlangTarget>;
  settings: ErlangSettings;
  /** Creates `owner/repo` on the git host, or adds to it. @returns the new commits */
  repository(path: string, commits: readonly RepositoryCommit[]): Promise<string[]>;
  /** Runs the recipe to its end; the containers and volumes stay until `clean`. */
  build(request: BuildRequest): Promise<Ended>;
  erts(erl: string): Promise<Ended>;
  clean(ended: Ended): Promise<void>;
};

/** Builder images by OTP major; made when they are not there. */
export async function otpImages(): Promise<Record<string, string>> {
  const images: Record<string, string> = {};
  for (const major of OTP) {
    const { stdout } = await promisify(execFile)(PREPARE, ["erlang", major]);
    images[major] = stdout.trim().split("\n").at(-1) ?? "";
  }
  return images;
}

/** Another builder image: `from`, after a shell script as root. Disposed of when nothing uses it any more. */
export async function changedImage(
  from: string,
  script: string,
): Promise<AsyncDisposable & { name: string }> {
  const [repo, tag] = ["railhead-test/erlang", randomBytes(6).toString("hex")];
  const { Id } = await engine<{ Id: string }>("POST", "/containers/create", {
    ...{ Image: from, Cmd: ["sh", "-ec", script], User: "0" },
    HostConfig: { NetworkMode: "none" },
  });
  try {
    await engine("POST", `/containers/${Id}/start`);
    const { StatusCode } = await engine<{ StatusCode: number }>("POST", `/containers/${Id}/wait`);
    if (StatusCode !== 0) throw new Error(`${script}: status ${StatusCode}`);
    await engine("POST", `/commit?container=${Id}&repo=${repo}&tag=${tag}`, {});
  } finally {
    await engine("DELETE", `/containers/${Id}?force=1`);
  }
  const name = `${repo}:${tag}`;
  return {
    name,
    async [Symbol.asyncDispose]() {
      await engine("DELETE", `/images/${name}`);
    },
  };
}

export async function erlangWorld(over: Partial<ErlangSettings> = {}): Promise<ErlangWorld> {
  const docker = await dockerWorld();
  const root = await mkdtemp(join(tmpdir(), "railhead-erlang-"));
  const git = await startGitServer({ root: join(root, "git") });
  const settings: ErlangSettings = {
    images: await otpImages(),
    remotes: { [REMOTE]: git.url },
    // Nothing listens there: no test takes a package from Hex.
    hex: "http://127.0.0.1:1",
    ...over,
  };
  const recipe = erlangRecipe(settings);
  const run = async (asked: unknown, erl: string | null): Promise<Ended> => {
    const owner = docker.owner();
    const folder = join(root, owner.build);
    await mkdir(folder);
    const target = erlangTargetSchema.parse({ recipe: "erlang", asked, erl, visibility: "public" });
    const { context, log, learnt } = recipeContext({ docker, owner, target, folder });
    const ended = { owner, log, learnt };
    try {
      return { ...ended, made: (await recipe.make(context)).made, failure: null };
    } catch (error) {
      if (!(error instanceof RecipeFailure)) throw error;
      return { ...ended, made: [], failure: error };
    }
  };
  return {
    docker,
    git,
    recipe,
    settings,
    repository: (path, commits) => makeRepository(join(root, "git", `${path}.git`), commits),
    build({ path, ref = null, erl = null, notify = false }) {
      const [namespace, name] = path.split("/");
      const asked = { kind: "package", remote: REMOTE, path: path.split("/"), namespace, name };
      return run({ ...asked, ref, notify, depth: 0 }, erl);
    },
    erts: (erl) => run({ kind: "erts" }, erl),
    async clean({ owner }) {
      await docker.host.clean(owner);
      await rm(join(root, owner.build), { recursive: true, force: true });
    },
    async [Symbol.asyncDispose]() {
      await git.close();
      await docker[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}
