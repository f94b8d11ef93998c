/** The Go recipe over a real engine and a real git host, without the agent around it: a context that only remembers. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Owner } from "../../agent/docker/contracts.ts";
import { type Made, type Recipe, RecipeFailure } from "../../agent/recipes/contracts.ts";
import { goRecipe } from "../../agent/recipes/go.ts";
import type { GoRecipeSettings } from "../../agent/recipes/go-settings.ts";
import { type GitServer, type GitServerOptions, startGitServer } from "../../cli/dev/git-server.ts";
import { makeRepository, type RepositoryCommit } from "../../cli/dev/repository.ts";
import { type GoTarget, goTargetSchema } from "../../shared/recipes/go.ts";
import { type DockerWorld, dockerWorld } from "./docker.ts";
import { recipeContext, type Said } from "./recipe-context.ts";

const MIB = 1024 ** 2;

/** The git host's name in targets. */
export const REMOTE = "git.example";

/** A build that ended: with files, or with a failure. */
export type Ended = {
  owner: Owner;
  log: Said[];
  made: Made[];
  repositories: string[];
  failure: RecipeFailure | null;
  /** Milliseconds it took. */
  ms: number;
};

export type GoWorld = AsyncDisposable & {
  docker: DockerWorld;
  git: GitServer;
  recipe: Recipe<GoTarget>;
  settings: GoRecipeSettings;
  /** Creates `owner/repo` on the git host. @returns its commits */
  repository(path: string, commits: readonly RepositoryCommit[]): Promise<string[]>;
  /** Runs the recipe to its end; the containers and volumes stay until `clean`. */
  build(target: BuildRequest): Promise<Ended>;
  clean(ended: Ended): Promise<void>;
};

export type BuildRequest = {
  /** `owner/repo`. */
  path: string;
  version: string;
  commit: string;
  platform?: string;
  make?: string;
  visibility?: "public" | "private";
  advertised?: boolean;
  credentials?: readonly string[];
  /** The recipe of another agent configuration. */
  recipe?: Recipe<GoTarget>;
};

export async function goWorld(
  options: { git?: Omit<GitServerOptions, "root">; settings?: Partial<GoRecipeSettings> } = {},
): Promise<GoWorld> {
  const docker = await dockerWorld();
  const root = await mkdtemp(join(tmpdir(), "railhead-go-"));
  const git = await startGitServer({ root: join(root, "git"), ...options.git });
  const settings: GoRecipeSettings = {
    image: docker.image,
    remotes: { [REMOTE]: git.url },
    goproxy: "off",
    goprivate: "",
    gosumdb: "off",
    build_network: "none",
    cache: { repository_bytes: 1024 * MIB, total_bytes: 8192 * MIB },
    folder: join(root, "caches"),
    ...options.settings,
  };
  const recipe = goRecipe(settings);
  return {
    docker,
    git,
    recipe,
    settings,
    repository: (path, commits) => makeRepository(join(root, "git", `${path}.git`), commits),
    build: async (request) => {
      const owner = docker.owner();
      const folder = join(root, owner.build);
      await mkdir(folder);
      return run(request.recipe ?? recipe, docker, owner, folder, request);
    },
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

async function run(
  recipe: Recipe<GoTarget>,
  docker: DockerWorld,
  owner: Owner,
  folder: string,
  request: BuildRequest,
): Promise<Ended> {
  const [goos, goarch] = (request.platform ?? "linux/amd64").split("/");
  const target = goTargetSchema.parse({
    recipe: "go",
    remote: REMOTE,
    path: request.path.split("/"),
    goos,
    goarch,
    version: request.version,
    make: request.make ?? null,
    commit: request.commit,
    visibility: request.visibility ?? "public",
    advertised: request.advertised ?? true,
  });
  const { credentials = [] } = request;
  const { context, log } = recipeContext({ docker, owner, target, folder, credentials });
  const begun = performance.now();
  const answer = await recipe.make(context).then(
    (done) => ({ ...done, failure: null }),
    (error: unknown) => {
      if (!(error instanceof RecipeFailure)) throw error;
      return { made: [], repositories: [], failure: error };
    },
  );
  return { owner, log, ...answer, ms: performance.now() - begun };
}

/** Our own messages, in order. */
export function said({ log }: Ended): string[] {
  return log.flatMap(({ msg, stream }) => (stream === undefined ? [msg] : []));
}
