/** Web apps over a real engine, and an edge that does as it is told: the recipe and the app host, without the agent around. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppHost } from "../../agent/apps/host.ts";
import { digestFile } from "../../agent/archive.ts";
import { dial } from "../../agent/dial.ts";
import { disk } from "../../agent/disk.ts";
import type { Owner } from "../../agent/docker/contracts.ts";
import { createLogger } from "../../agent/logger.ts";
import { clock } from "../../agent/machine.ts";
import { appRecipe } from "../../agent/recipes/app.ts";
import type { AppRecipeSettings } from "../../agent/recipes/app-build.ts";
import { type Outcome, RecipeFailure } from "../../agent/recipes/contracts.ts";
import { type AppTarget, appTargetSchema } from "../../shared/recipes/app.ts";
import { type AppEdge, appEdge } from "./app-edge.ts";
import { makeBaseImage } from "./base-image.ts";
import { type DockerWorld, dockerWorld } from "./docker.ts";
import { tarOf } from "./image-world.ts";
import { recipeContext, type Said } from "./recipe-context.ts";

const MIB = 1024 ** 2;

export type Deploy = {
  /** Behind its FROM. */
  dockerfile: string;
  project?: string;
  rule?: string;
  settings?: Record<string, unknown>;
  env?: Record<string, string>;
  owner?: Owner;
  signal?: AbortSignal;
  permit?: () => Promise<void>;
};

/** A deploy that ended: well, or with a failure. */
export type Deployed = {
  owner: Owner;
  build: string;
  log: Said[];
  outcome: Outcome | null;
  failure: Error | null;
  serve: string;
};

export type AppWorld = AsyncDisposable & {
  docker: DockerWorld;
  edge: AppEdge;
  /** Name of the image that every Dockerfile begins with. */
  base: string;
  /** Home of the agent. */
  folder: string;
  /** The agent's process, as far as apps go. */
  host: AppHost;
  /** Ends that process without a word, and begins another in its place. */
  restart(): Promise<void>;
  /** Runs the recipe to its end and cleans the host, as the agent does. */
  deploy(deploy: Deploy): Promise<Deployed>;
};

/** `socket`: of the engine, as the agent sees it. */
export async function appWorld(socket?: string): Promise<AppWorld> {
  const docker = await dockerWorld(socket === undefined ? {} : { socket });
  const base = await makeBaseImage();
  const edge = await appEdge();
  const root = await mkdtemp(join(tmpdir(), "railhead-apps-"));
  const settings: AppRecipeSettings = {
    allow_from: [],
    context_bytes: 16 * MIB,
    max_bytes: 1024 * MIB,
    cache_bytes: 1024 * MIB,
    limits: { memory_bytes: 64 * MIB, cpus: 1, pids: 64 },
    network: null,
    traefik_network: null,
  };
  const begin = async () => {
    const never = () => Promise.reject(new Error("nothing else is asked of the edge"));
    const host = new AppHost({
      ports: {
        clock,
        disk,
        net: { dial, call: never, download: () => assertNever() },
        random: { hex: (bytes) => randomBytes(bytes).toString("hex"), fraction: () => 0.1 },
      },
      home: root,
      identity: { agent: docker.agent, name: "host-1", url: edge.url },
      apps: docker.host.apps,
      log: createLogger({ json: false, write: () => {} }),
    });
    await host.load();
    return host;
  };
  const world: AppWorld = {
    docker,
    edge,
    base: base.name,
    folder: root,
    host: await begin(),
    async restart() {
      world.host.stop();
      world.host = await begin();
    },
    async deploy({ dockerfile, project = "shop", rule, settings: wanted, env = {}, ...rest }) {
      const owner = rest.owner ?? docker.owner();
      const folder = join(root, `${owner.build}-${owner.attempt}`);
      await mkdir(folder);
      const posted = join(root, `${owner.build}.posted`);
      const text = `FROM ${base.name}\n${dockerfile}\n`;
      await writeFile(posted, await tarOf([[{ name: "Dockerfile", mtime: new Date(0) }, text]]));
      const context = await digestFile(posted);
      const target = appTargetSchema.parse({
        recipe: "app",
        job: owner.build,
        project,
        generation: 1,
        replica: 0,
        rule: rule ?? "Host:shop.example",
        context,
        fingerprint: createHash("sha256").update(context.sha256).digest("hex"),
        settings: wanted ?? {},
        visibility: "unlisted",
      });
      const serve = randomBytes(32).toString("hex");
      const { context: made, log } = recipeContext<AppTarget>({
        docker,
        owner,
        target,
        folder,
        posted,
        credentials: [JSON.stringify({ env, serve })],
        ...(rest.signal && { signal: rest.signal }),
        ...(rest.permit && { permit: rest.permit }),
      });
      let outcome: Outcome | null = null;
      let failure: Error | null = null;
      try {
        outcome = await appRecipe(settings, world.host).make(made);
      } catch (error) {
        if (!(error instanceof RecipeFailure || rest.signal?.aborted)) throw error;
        failure = error as Error;
      } finally {
        await docker.host.clean(owner);
      }
      return { owner, build: owner.build, log, outcome, failure, serve };
    },
    async [Symbol.asyncDispose]() {
      world.host.stop();
      await docker[Symbol.asyncDispose]();
      await base.remove();
      await edge[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
  return world;
}

function assertNever(): never {
  throw new Error("nothing is downloaded here");
}
