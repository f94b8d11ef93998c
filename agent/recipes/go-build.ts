/**
 * One Go build (spec go.md, "The build"): fetch, make or the default way, check, archive. A restarted agent runs it
 * again from the start; what the journal says is done is not done twice.
 */
import { join } from "node:path";
import { MESSAGES } from "../../shared/log.ts";
import { type GoTarget, goGitPath, goRepository } from "../../shared/recipes/go.ts";
import { type Network, workspaceVolume } from "../docker/contracts.ts";
import {
  checkoutFolder,
  type Fetched,
  fetchSource,
  HOME,
  type Source,
  TEMPORARY,
  WORKSPACE,
} from "../workspace.ts";
import { leftOut } from "./collect.ts";
import { type Made, type RecipeContext, RecipeFailure } from "./contracts.ts";
import type { GoCaches, OpenCaches } from "./go-caches.ts";
import { type Collected, collect, judge, publishable, strangers } from "./go-collect.ts";
import { buildFailure, moduleFailure } from "./go-failures.ts";
import { DEFAULT_SCRIPT, MAKE_SCRIPT, MODULES_SCRIPT } from "./go-scripts.ts";
import type { GoRecipeSettings } from "./go-settings.ts";

/** Private repositories that one build may come from: what a `result` frame carries. */
const GUARDING_REPOSITORIES = 64;

const NO_GO_FILE = "There is no Go file in the repository.";

type Way = "make" | "default";

/** What came of one container. `made` is empty unless it may be published. */
type Built = { verdict: "fits" | "plain" | "wrong" | "empty"; wrong: string; made: Made[] };

export class GoBuild {
  readonly #context: RecipeContext<GoTarget>;
  readonly #settings: GoRecipeSettings;
  readonly #caches: GoCaches;
  readonly #source: Source;

  constructor(context: RecipeContext<GoTarget>, settings: GoRecipeSettings, caches: GoCaches) {
    const { target } = context;
    this.#context = context;
    this.#settings = settings;
    this.#caches = caches;
    this.#source = {
      remote: target.remote,
      base: settings.remotes[target.remote] ?? "",
      path: goGitPath(target),
      commit: target.commit,
      tag: target.version === target.commit ? null : target.version,
      // What is built from a public source must never need anybody's credential.
      credentials: target.visibility === "private" ? context.credentials : [],
    };
  }

  readonly #say: RecipeContext["say"] = (msg, extra) => this.#context.say(msg, extra);

  async make(): Promise<{ made: Made[]; repositories: string[] }> {
    const { owner, target } = this.#context;
    try {
      return await this.#make();
    } catch (error) {
      if (error instanceof RecipeFailure && error.class === "disk_full")
        await this.#caches.spoil(owner.agent, target);
      throw error;
    }
  }

  async #make(): Promise<{ made: Made[]; repositories: string[] }> {
    const { docker, owner, target } = this.#context;
    await this.#say(MESSAGES.checking);
    await this.#say(MESSAGES.cloning);
    const image = await docker.imageId(this.#settings.image);
    if (image === null)
      throw new RecipeFailure(
        "agent_error",
        `The builder image ${this.#settings.image} is not on the agent's host.`,
      );
    const caches = await this.#caches.open(docker, owner.agent, target, image);
    const fetched = await this.#fetch(caches);
    await this.#say(MESSAGES.building);
    if (fetched.status !== 0) throw moduleFailure(fetched.tail);
    const { goos, goarch } = target;
    const trimpath = fetched.facts.makefile === undefined;
    this.#caches.want(owner.agent, { image, goos, goarch, trimpath }, target);
    return {
      made: await this.#build(fetched, caches),
      repositories: fetched.repositories,
    };
  }

  async #fetch(caches: OpenCaches): Promise<Fetched> {
    const { target } = this.#context;
    const fetched = await this.#context
      .phase("fetch", () => fetchSource(this.#context, this.#source, this.#step(caches)))
      .catch(async (error: unknown) => {
        if (error instanceof RecipeFailure)
          await this.#say(MESSAGES.cloneError(error.message), { level: "error" });
        throw error;
      });
    await this.#say(MESSAGES.cloned, { fields: { commit: target.commit } });
    const warn = (msg: string) => this.#say(msg, { level: "warning" });
    if (fetched.tag_moved)
      await warn(`The tag ${target.version} was moved meanwhile: ${target.commit} is built.`);
    if (fetched.lfs)
      await warn("The repository keeps files in Git LFS: the build sees pointers to them only.");
    if (fetched.repositories.length > GUARDING_REPOSITORIES)
      throw new RecipeFailure(
        "clone_error",
        `The build needs ${fetched.repositories.length} private repositories, more than the ${GUARDING_REPOSITORIES} that can be checked on each download.`,
      );
    return fetched;
  }

  #step(caches: OpenCaches): Parameters<typeof fetchSource>[2] {
    const { goproxy, goprivate, gosumdb, image } = this.#settings;
    const { target } = this.#context;
    return {
      image,
      script: MODULES_SCRIPT,
      mounts: caches.fetch,
      env: {
        GOPATH: WORKSPACE,
        GOMODCACHE: caches.modules,
        // Not the build's: what a build left must not steer a container that has a network and a credential.
        GOCACHE: `${TEMPORARY}/compiled`,
        GOTOOLCHAIN: "local",
        GOPROXY: goproxy,
        GOPRIVATE: goprivate,
        GOSUMDB: gosumdb,
        GOOS: target.goos,
        GOARCH: target.goarch,
        CGO_ENABLED: "0",
        RAILHEAD_COMPILED: caches.compiled,
        RAILHEAD_MODULE: goRepository(target),
      },
    };
  }

  async #build(fetched: Fetched, caches: OpenCaches): Promise<Made[]> {
    if (fetched.facts.makefile === undefined) {
      if (fetched.facts.mode === "none") throw new RecipeFailure("no_main_package", NO_GO_FILE);
      await this.#say(MESSAGES.addingMakefile);
      return this.#accept(await this.#run("default", "build", fetched, caches));
    }
    const first = await this.#run("make", "build", fetched, caches);
    if (first.verdict === "fits") return first.made;
    if (fetched.facts.mode === "none") return this.#withoutMain(first, NO_GO_FILE);
    await this.#say(`make succeeded, but ${this.#shortfall(first)}. Building the default way.`, {
      level: "warning",
    });
    await this.#say(MESSAGES.addingMakefile);
    let second: Built;
    try {
      second = await this.#run("default", "default", fetched, caches);
    } catch (error) {
      if (error instanceof RecipeFailure && error.class === "no_main_package")
        return this.#withoutMain(first, error.message);
      throw error;
    }
    return this.#accept(second);
  }

  /** One container, and what it left: archived at once where it may be published. */
  async #run(way: Way, phase: string, fetched: Fetched, caches: OpenCaches): Promise<Built> {
    const { owner, target, limits, folder, signal } = this.#context;
    await this.#say(MESSAGES.creatingContainer);
    await this.#say(MESSAGES.startingContainer);
    const { exit, handle, tail } = await this.#context.run({
      phase,
      image: this.#settings.image,
      command: this.#command(way, fetched),
      env: this.#environment(way, fetched, caches),
      working_dir: checkoutFolder(this.#source),
      mounts: [
        { volume: workspaceVolume(owner), target: WORKSPACE, read_only: false },
        ...caches.build,
      ],
      network: this.#network(way),
      limits,
      stdin: null,
    });
    if (exit.code !== 0) throw buildFailure(exit.code, tail, way);
    return this.#context.phase(`${phase}-archive`, async () => {
      const collected = await collect(handle, join(folder, `${phase}-output`), signal);
      const verdict = judge(collected, target);
      const wrong = strangers(collected, target);
      if (verdict === "wrong" || verdict === "empty") return { verdict, wrong, made: [] };
      if (verdict === "fits") await this.#say(MESSAGES.archiving);
      await this.#report(collected, wrong);
      const file = join(folder, `${phase}.tar.gz`);
      const made = await publishable(collected, target, file, fetched.time, signal);
      if (verdict === "fits") await this.#say(MESSAGES.archived);
      return { verdict, wrong, made };
    });
  }

  async #report({ dropped }: Collected, wrong: string): Promise<void> {
    const warn = (msg: string) => this.#say(msg, { level: "warning" });
    const left = leftOut(dropped);
    if (left !== null) await warn(left);
    if (wrong !== "") await warn(`Not for this platform, but in the archive: ${wrong}.`);
  }

  #command(way: Way, { time }: Fetched): string[] {
    const { target } = this.#context;
    if (way === "make")
      return ["sh", "-c", MAKE_SCRIPT, "make", ...(target.make === null ? [] : [target.make])];
    const date = new Date(time * 1000).toISOString().replace(".000Z", "Z");
    return ["sh", "-c", DEFAULT_SCRIPT, "build", target.version, target.commit, date];
  }

  #environment(way: Way, fetched: Fetched, caches: OpenCaches): Record<string, string> {
    const { target } = this.#context;
    const { goproxy, goprivate, gosumdb } = this.#settings;
    const modules =
      this.#network(way).kind === "none"
        ? // Nothing can be fetched, and what is in the cache was checked when it came there.
          { GOMODCACHE: caches.modules, GOPROXY: "off", GOSUMDB: "off" }
        : {
            // The cache of the fetch is not the makefile's to write: it is its first proxy instead.
            GOMODCACHE: `${WORKSPACE}/modules-made`,
            GOPROXY: `file://${caches.modules}/cache/download,${goproxy}`,
            GOPRIVATE: goprivate,
            GOSUMDB: gosumdb,
          };
    return {
      HOME,
      TMPDIR: TEMPORARY,
      GOPATH: WORKSPACE,
      GOCACHE: caches.compiled,
      GOTOOLCHAIN: "local",
      ...modules,
      ...(fetched.facts.mode === "gopath" ? { GO111MODULE: "off" } : {}),
      GOOS: target.goos,
      GOARCH: target.goarch,
      CGO_ENABLED: "0",
      SOURCE_DATE_EPOCH: String(fetched.time),
    };
  }

  #network(way: Way): Network {
    return { kind: way === "make" ? this.#settings.build_network : "none" };
  }

  async #accept(built: Built): Promise<Made[]> {
    if (built.verdict === "fits") return built.made;
    if (built.verdict === "wrong") throw this.#wrongTarget(built);
    return this.#nothing("The build left no program.");
  }

  /** The makefile's own files count where there is nothing else that could be built. */
  async #withoutMain(first: Built, why: string): Promise<Made[]> {
    if (first.verdict === "wrong") throw this.#wrongTarget(first);
    if (first.verdict === "empty") return this.#nothing(`make made no new files. ${why}`);
    await this.#say(MESSAGES.archiving);
    await this.#say(MESSAGES.archived);
    return first.made;
  }

  async #nothing(why: string): Promise<never> {
    await this.#say(MESSAGES.archiving);
    await this.#say(MESSAGES.archiveError("can't find binary"), { level: "error" });
    throw new RecipeFailure("nothing_made", `can't find artifacts: ${why}`);
  }

  #wrongTarget({ wrong }: Built): RecipeFailure {
    const { goos, goarch } = this.#context.target;
    return new RecipeFailure(
      "wrong_target",
      `Nothing that was built is for ${goos}/${goarch}: ${wrong}. The makefile must honour GOOS and GOARCH.`,
    );
  }

  #shortfall({ verdict, wrong }: Built): string {
    const { goos, goarch } = this.#context.target;
    if (verdict === "empty") return "it made no new files";
    if (verdict === "plain") return "it made no program";
    return `it made nothing for ${goos}/${goarch}: ${wrong}`;
  }
}
