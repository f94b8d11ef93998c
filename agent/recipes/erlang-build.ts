/**
 * One build of an Erlang package (spec erlang.md, "The build"): resolve, fetch, choose the OTP release, compile, pack.
 * A restarted agent runs it again from the start; what the journal says is done is not done twice.
 */
import { join } from "node:path";
import { MESSAGES } from "../../shared/log.ts";
import type { ErlangTarget, PackageAsked, PackageFacts } from "../../shared/recipes/erlang.ts";
import { workspaceVolume } from "../docker/contracts.ts";
import { WORKSPACE } from "../workspace.ts";
import { leftOut } from "./collect.ts";
import { type Made, type Outcome, type RecipeContext, RecipeFailure } from "./contracts.ts";
import { type Application, buildScript } from "./erlang-compile.ts";
import type {
  BuildSystem,
  ErlangSettings,
  FetchedPackage,
  PackageConfig,
  ResolvedRef,
} from "./erlang-contracts.ts";
import { buildFailure } from "./erlang-failures.ts";
import { type Choice, chooseOtp, followed, majors } from "./erlang-otp.ts";
import { collect, pack } from "./erlang-package.ts";
import { resolveRef } from "./erlang-refs.ts";
import { buildEnvironment } from "./erlang-scripts.ts";
import { fetchPackage } from "./erlang-source.ts";

export class ErlangBuild {
  readonly #context: RecipeContext<ErlangTarget>;
  readonly #settings: ErlangSettings;
  readonly #asked: PackageAsked;

  constructor(context: RecipeContext<ErlangTarget>, settings: ErlangSettings, asked: PackageAsked) {
    this.#context = context;
    this.#settings = settings;
    this.#asked = asked;
  }

  async make(): Promise<Outcome> {
    const { target } = this.#context;
    const resolved = await resolveRef(this.#context, this.#settings, this.#asked);
    if (target.erl !== null) await this.#learnPackage(resolved, target.erl);
    const known = (config: PackageConfig | null) => this.#announce(resolved, config);
    const fetched = await fetchPackage(this.#context, this.#settings, this.#asked, resolved, known);
    const { erl } = this.#choice(fetched.config);
    const { system } = fetched;
    if (system === null)
      throw new RecipeFailure(
        "no_build_system",
        `Unknown build system in project ${this.#fullName}. It has no coonfig.json, enot_config.json or rebar.config, nor an erlang.mk with its Makefile.`,
      );
    const made = await this.#compile({ ...fetched, system }, resolved, erl);
    return { made: [made], repositories: [] };
  }

  get #fullName(): string {
    return `${this.#asked.namespace}/${this.#asked.name}`;
  }

  #learnPackage({ version, commit }: ResolvedRef, erl: string, app: string | null = null) {
    const facts: PackageFacts = { version, commit, erl_version: erl, app };
    return this.#context.learn({ package: facts });
  }

  #choice(config: PackageConfig | null): Choice {
    return chooseOtp(this.#context.target.erl, config?.erlang ?? [], this.#settings.images);
  }

  /** Tells what is built, and what else is to be, before anything of it can fail. */
  async #announce(resolved: ResolvedRef, config: PackageConfig | null): Promise<void> {
    const choice = this.#choice(config);
    await this.#learnPackage(resolved, choice.erl);
    const follow = followed(this.#asked, resolved, choice, config?.deps ?? []);
    await this.#context.learn({ follow });
    if (choice.here) return;
    throw new RecipeFailure(
      "agent_refused",
      `The package is for Erlang/OTP ${[choice.erl, ...choice.others].join(", ")}, and this agent has ${majors(this.#settings.images).join(", ")}. Ask for one of these, or add an agent that has another.`,
    );
  }

  async #compile(
    fetched: FetchedPackage & { system: BuildSystem },
    resolved: ResolvedRef,
    erl: string,
  ): Promise<Made> {
    const { docker, owner, limits, folder, signal } = this.#context;
    const image = this.#settings.images[erl] ?? "";
    if ((await docker.imageId(image)) === null)
      throw new RecipeFailure(
        "agent_error",
        `The builder image ${image} is not on the agent's host.`,
      );
    await this.#context.say(`building package for Erlang/OTP ${erl}...`);
    const script = buildScript(fetched, this.#application(fetched, resolved), this.#asked);
    await this.#context.say(MESSAGES.creatingContainer);
    await this.#context.say(MESSAGES.startingContainer);
    const { exit, handle, tail } = await this.#context.run({
      phase: "build",
      image,
      command: ["sh", "-c", script],
      env: buildEnvironment(`${fetched.folder}/deps`, fetched.time, limits.cpus),
      working_dir: fetched.folder,
      mounts: [{ volume: workspaceVolume(owner), target: WORKSPACE, read_only: false }],
      network: { kind: "none" },
      limits,
      stdin: null,
    });
    if (exit.code !== 0) throw buildFailure(exit.code, tail);
    const packed = await this.#context.phase("build-archive", async () => {
      await this.#context.say("archiving package...");
      const collected = await collect(handle, join(folder, "output"), signal);
      const left = leftOut(collected.dropped);
      if (left !== null) await this.#context.say(left, { level: "warning" });
      const options = { folder, fetched, asked: this.#asked, resolved, signal };
      const done = await pack(collected, options);
      await this.#context.say(MESSAGES.archived);
      return done;
    });
    await this.#learnPackage(resolved, erl, packed.app);
    return packed.made;
  }

  #application(
    { folder, system, config }: FetchedPackage & { system: BuildSystem },
    { version, kind }: ResolvedRef,
  ): Application {
    const { name } = this.#asked;
    return {
      name: config?.name ?? name,
      folder,
      system,
      config,
      version,
      about: {
        fullname: this.#fullName,
        git_vsn: version,
        ...(kind === "tag" && { git_tag: version }),
        ...(kind === "branch" && { git_branch: version }),
      },
    };
  }
}
