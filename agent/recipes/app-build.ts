/**
 * One replica of a web app (spec apps.md, "Deploy"): its image, its container beside what serves, its health, the switch.
 * Whatever fails leaves what serves alone. A restarted agent goes on where it was.
 */

import {
  type AppCredential,
  type AppTarget,
  appCredentialSchema,
} from "../../shared/recipes/app.ts";
import { parseRule } from "../../shared/rules/index.ts";
import { traefikLabels } from "../../shared/rules/labels.ts";
import { type AppRunner, type Candidate, Refused } from "../apps/contracts.ts";
import { Unwell, untilHealthy } from "../apps/health.ts";
import { traefikName } from "../apps/traefik-name.ts";
import { builtImage, type Chunk, DockerError } from "../docker/contracts.ts";
import { showSize } from "../sizes.ts";
import { type Outcome, type RecipeContext, RecipeFailure } from "./contracts.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";
import { ImageSteps } from "./image-steps.ts";

/** Lines of a failed app that are shown. */
const TAIL_LINES = 20;
/** Lines of it in the reason, and their characters. */
const REASON_LINES = 5;
const REASON_CHARS = 1_000;

/** What the operator decides about web apps. The agent's configuration maps to it. */
export type AppRecipeSettings = Pick<
  ImageRecipeSettings,
  "allow_from" | "context_bytes" | "max_bytes" | "cache_bytes"
> & {
  /** Of one container: nobody gets more. */
  limits: Candidate["limits"];
  network: string | null;
  traefik_network: string | null;
};

/** What the context told; null images: there is an image of it already. */
type Prepared = { images: string[] | null };

export class AppBuild {
  readonly #context: RecipeContext<AppTarget>;
  readonly #settings: AppRecipeSettings;
  readonly #apps: AppRunner;
  readonly #credential: AppCredential;
  readonly #steps: ImageSteps;

  constructor(context: RecipeContext<AppTarget>, settings: AppRecipeSettings, apps: AppRunner) {
    this.#context = context;
    this.#settings = settings;
    this.#apps = apps;
    this.#credential = appCredentialSchema.parse(JSON.parse(context.credentials[0] ?? "null"));
    // No base image has a login.
    this.#steps = new ImageSteps(context, { ...settings, builder: "classic" }, () => null);
  }

  async make(): Promise<Outcome> {
    const { owner, target } = this.#context;
    using _claim = this.#apps.claim(target);
    const { images } = await this.#context.phase("context", () => this.#prepare());
    const image = await this.#context.phase("build", () => this.#image(images));
    const candidate = this.#candidate(image);
    try {
      await this.#context.phase("start", () => this.#start(candidate));
      await this.#context.phase("health", () => this.#wait(candidate));
      await this.#context.phase("switch", () => this.#switch(candidate));
    } catch (error) {
      await this.#apps.abandon(owner);
      throw error;
    }
    return { made: [], repositories: [] };
  }

  // ---- image ----------------------------------------------------------------------------------------

  async #prepare(): Promise<Prepared> {
    const { target, docker } = this.#context;
    if ((await docker.apps.keptImage(target.project, target.fingerprint)) !== null) {
      await this.#context.say("the image is on this host already: nothing to build");
      return { images: null };
    }
    await this.#context.say("fetching context...");
    const raw = await this.#steps.posted(target.context);
    return { images: await this.#steps.checkFile(raw, target.settings.dockerfile, {}) };
  }

  /** @returns id of an image that stays on the host */
  async #image(references: readonly string[] | null): Promise<string> {
    const { target, docker, owner, limits } = this.#context;
    const { project, fingerprint, settings } = target;
    if (references !== null) {
      const bases = references.map((reference) => this.#steps.allowed(reference));
      const names = bases.map(({ name }) => name);
      await docker.images.holding(names, () =>
        docker.apps.lending(project, async (layers) => {
          for (const base of bases) await this.#steps.ready(base);
          await this.#context.say("building image...");
          await this.#steps.build({
            owner,
            builder: { kind: "classic" },
            dockerfile: settings.dockerfile,
            stage: null,
            args: {},
            labels: {},
            cache_from: settings.no_cache ? [] : layers,
            login: null,
            limits,
            max_bytes: this.#settings.max_bytes,
          });
        }),
      );
      const stages = await docker.images.stages(owner);
      return docker.apps.keepImage(builtImage(owner), project, fingerprint, stages);
    }
    const kept = await docker.apps.keptImage(project, fingerprint);
    if (kept === null)
      throw new RecipeFailure("agent_error", "The image left the host meanwhile. Deploy again.");
    return kept;
  }

  // ---- container ------------------------------------------------------------------------------------

  #candidate(image: string): Candidate {
    const { owner, target } = this.#context;
    const { project, generation, replica, settings, fingerprint } = target;
    const { limits, network, traefik_network } = this.#settings;
    return {
      build: owner.build,
      attempt: owner.attempt,
      project,
      generation,
      replica,
      image,
      env: this.#credential.env,
      limits: {
        memory_bytes: Math.min(limits.memory_bytes, settings.memory_bytes ?? limits.memory_bytes),
        cpus: Math.min(limits.cpus, settings.cpus ?? limits.cpus),
        pids: limits.pids,
      },
      labels: {
        ...traefikLabels(traefikName(project), parseRule(target.rule), settings.port),
        ...(traefik_network !== null && { "traefik.docker.network": traefik_network }),
      },
      network,
      traefik_network,
      port: settings.port,
      health: settings.health,
      fingerprint,
      serve: this.#credential.serve,
    };
  }

  async #start(candidate: Candidate): Promise<null> {
    const { signal } = this.#context;
    await this.#context.say("starting...");
    try {
      await this.#apps.start(candidate);
    } catch (error) {
      signal.throwIfAborted();
      // What the engine says of this container is its owner's affair; that it cannot be reached is not.
      if (!(error instanceof DockerError) || !(error.said !== null || error.kind === "invalid"))
        throw error;
      throw new RecipeFailure(
        "start_error",
        `The container could not be started: ${error.said ?? error.message}.`,
      );
    }
    return null;
  }

  async #wait(candidate: Candidate): Promise<null> {
    const { docker, signal } = this.#context;
    const begun = performance.now();
    try {
      await untilHealthy(candidate, () => docker.apps.inspect(candidate.build), signal);
    } catch (error) {
      if (!(error instanceof Unwell)) throw error;
      throw this.#failure(error, candidate, await this.#lastLines(candidate));
    }
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    await this.#context.say(`healthy after ${seconds} s`);
    return null;
  }

  async #switch({ build }: Candidate): Promise<null> {
    const { signal } = this.#context;
    await this.#context.permit();
    // All replicas go live together, and behind the deploy before: one that is ready must not be in the way of the others.
    this.#context.yieldSlot();
    try {
      await this.#apps.goLive(build, signal);
    } catch (error) {
      if (error instanceof Refused) throw new RecipeFailure("cancelled", error.message);
      throw error;
    }
    await this.#context.say("live");
    return null;
  }

  #failure({ ended, message: seen }: Unwell, candidate: Candidate, tail: string[]): RecipeFailure {
    const { health, limits } = candidate;
    const last = tail.slice(-REASON_LINES).join("\n").slice(-REASON_CHARS);
    const lines = last === "" ? "It printed nothing." : `Its last lines:\n${last}`;
    if (ended?.oom)
      return new RecipeFailure(
        "out_of_memory",
        `The app was killed before it was healthy, for memory as it seems: it has ${showSize(limits.memory_bytes)}. Let it use less, or give it more (memory). ${lines}`,
      );
    if (ended !== null)
      return new RecipeFailure(
        "start_error",
        `The app ended${ended.exit_code === null ? "" : ` with status ${ended.exit_code}`} before it was healthy. ${lines}`,
      );
    return new RecipeFailure(
      "unhealthy",
      `The app was not healthy within ${health.seconds} s: ${seen}. ${lines}`,
    );
  }

  /** What it printed last, which goes into the log too. */
  async #lastLines({ build }: Candidate): Promise<string[]> {
    const { docker, signal } = this.#context;
    const wanted = { since: null, tail: TAIL_LINES, follow: false };
    const lines = docker.apps.logs(build, wanted, signal);
    return this.#context.follow(
      (async function* (): AsyncGenerator<Chunk> {
        for await (const { stream, data } of lines) yield { stream, data };
      })(),
    );
  }
}
