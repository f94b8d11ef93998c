/**
 * One image build (spec images.md): context, build, push or tarball. A restarted agent runs it again from the start;
 * what the journal says is done is not done twice.
 */
import { join } from "node:path";
import {
  type ImageCredential,
  type ImageTarget,
  imageCredentialSchema,
} from "../../shared/recipes/image.ts";
import { type Builder, DockerError, type RegistryLogin } from "../docker/contracts.ts";
import { checkoutFolder, fetchSource } from "../workspace.ts";
import { type Outcome, type RecipeContext, RecipeFailure } from "./contracts.ts";
import { isBuilderArgument, isProxyArgument } from "./image-dockerfile.ts";
import { downloadTar } from "./image-download.ts";
import { type BaseName, parseBaseName } from "./image-names.ts";
import { pushImage } from "./image-push.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";
import { ImageSteps, OWN_REGISTRY } from "./image-steps.ts";
import { saveTarball } from "./image-tarball.ts";

const NO_CREDENTIAL: ImageCredential = { registry: null, git: null, secrets: [] };

/** What the context told. */
type Prepared = {
  /** Images besides the context that the Dockerfile names. */
  images: string[];
  repositories: string[];
};

export class ImageBuild {
  readonly #context: RecipeContext<ImageTarget>;
  readonly #settings: ImageRecipeSettings;
  readonly #credential: ImageCredential;
  readonly #name: BaseName;
  readonly #steps: ImageSteps;

  constructor(context: RecipeContext<ImageTarget>, settings: ImageRecipeSettings) {
    this.#context = context;
    this.#settings = settings;
    const [credential] = context.credentials;
    this.#credential =
      credential === undefined
        ? NO_CREDENTIAL
        : imageCredentialSchema.parse(JSON.parse(credential));
    const name = parseBaseName(context.target.image);
    if (name === null) throw new Error(`${context.target.image} is no name of an image`);
    this.#name = name;
    this.#steps = new ImageSteps(context, settings, (base) => this.#loginFor(base));
  }

  async make(): Promise<Outcome> {
    const { target, docker, owner } = this.#context;
    this.#checkArguments();
    if (this.#name.registry === OWN_REGISTRY)
      throw new RecipeFailure("push_error", `${OWN_REGISTRY} is no registry: choose another name.`);
    // Told before the work, rather than after it.
    if (target.push) await docker.images.checkName(this.#name.name).catch(nameTaken);
    const prepared = await this.#context.phase("context", () => this.#prepare());
    await this.#context.phase("build", () => this.#build(prepared.images));
    const made = target.tarball
      ? [await this.#context.phase("save", () => saveTarball(this.#context, this.#name))]
      : [];
    if (!target.push) return { made, repositories: prepared.repositories };
    const digest = await this.#context.phase("push", () =>
      docker.images.naming(owner, this.#name.name, () => this.#push()).catch(nameTaken),
    );
    return { made, repositories: prepared.repositories, digest };
  }

  #checkArguments(): void {
    const { args } = this.#context.target;
    const steering =
      this.#settings.builder === "buildkit"
        ? (name: string) => isProxyArgument(name) || isBuilderArgument(name)
        : isProxyArgument;
    const refused = Object.keys(args).find(steering);
    if (refused !== undefined)
      throw new RecipeFailure(
        "dockerfile_refused",
        `The build argument ${refused} is refused: the agent's owner decides about proxies and builders.`,
      );
  }

  // ---- context --------------------------------------------------------------------------------------

  async #prepare(): Promise<Prepared> {
    const { target, folder, signal } = this.#context;
    const { context_bytes, allow_addresses } = this.#settings;
    const { source } = target;
    await this.#context.say("fetching context...");
    if (source.kind === "git") return this.#prepareGit(source);
    let raw: string;
    if (source.kind === "url") {
      raw = join(folder, "context.raw");
      await downloadTar(source.url, raw, { max_bytes: context_bytes, allow_addresses, signal });
    } else raw = await this.#steps.posted(source);
    const images = await this.#steps.checkFile(raw, target.dockerfile, target.args);
    return { images, repositories: [] };
  }

  async #prepareGit(source: Extract<ImageTarget["source"], { kind: "git" }>): Promise<Prepared> {
    const { remotes, git_image } = this.#settings;
    const { docker, owner, limits, target } = this.#context;
    const { remote, commit, version } = source;
    const from = {
      remote,
      base: remotes[remote] ?? "",
      path: `/${source.path.join("/")}.git`,
      commit,
      tag: version === commit ? null : version,
      credentials: this.#credential.git === null ? [] : [this.#credential.git],
    };
    // A context has no history: what it was cloned with stays out.
    const step = { image: git_image, script: "rm -rf .git", env: {}, mounts: [] };
    const { repositories } = await fetchSource(this.#context, from, step);
    const container = await docker.adopt(owner, "fetch");
    if (container === null) throw new Error("the fetch container is gone");
    const checkout = await container.get(checkoutFolder(from), limits.disk_bytes);
    const images = await this.#steps.check(checkout, 1, target.dockerfile, target.args);
    return { images, repositories };
  }

  // ---- build ----------------------------------------------------------------------------------------

  async #build(references: readonly string[]): Promise<null> {
    const { target, docker } = this.#context;
    const bases = references.map((reference) => this.#steps.allowed(reference));
    const taken = target.no_cache ? [] : target.cache_from;
    const wanted = this.#settings.builder === "buildkit" ? [] : taken;
    if (wanted.length < taken.length)
      await this.#context.say("No layers are taken from other images: BuildKit builds all anew.", {
        level: "warning",
      });
    const caches = wanted.map((reference) => this.#steps.allowed(reference));
    const names = [...bases, ...caches].map(({ name }) => name);
    await docker.images.holding(names, async () => {
      for (const base of bases) await this.#steps.ready(base);
      const cache_from: string[] = [];
      for (const cache of caches) if (await this.#readyCache(cache)) cache_from.push(cache.name);
      await this.#run(cache_from);
    });
    return null;
  }

  /** False, with a word in the log, when there is nothing to take layers from. */
  async #readyCache(cache: BaseName): Promise<boolean> {
    try {
      await this.#steps.ready(cache);
      return true;
    } catch (error) {
      if (!(error instanceof RecipeFailure)) throw error;
      await this.#context.say(`No layers are taken from ${cache.name}: ${error.message}`, {
        level: "warning",
      });
      return false;
    }
  }

  async #run(cache_from: string[]): Promise<void> {
    const { target, docker, owner, limits } = this.#context;
    const { dockerfile, stage, args, labels } = target;
    const login = this.#loginFor(this.#name);
    await this.#context.say("building image...");
    const { max_bytes } = this.#settings;
    const builder = this.#builder();
    try {
      await this.#steps.build({
        owner,
        builder,
        dockerfile,
        stage,
        args,
        labels,
        cache_from,
        login,
        limits,
        max_bytes,
      });
    } finally {
      // What cannot be done now, an idle agent does.
      if (builder.kind === "buildkit")
        await docker.images.pruneCache(this.#settings.cache_bytes).catch(() => {});
    }
  }

  #builder(): Builder {
    const { builder, buildkit_network } = this.#settings;
    if (builder === "classic") return { kind: "classic" };
    return { kind: "buildkit", network: buildkit_network, secrets: this.#credential.secrets };
  }

  // ---- push -----------------------------------------------------------------------------------------

  /** While the image bears its name on the host. @returns its digest */
  async #push(): Promise<string> {
    const { signal } = this.#context;
    signal.throwIfAborted();
    await this.#context.say(`pushing ${this.#name.name}...`);
    const digest = await pushImage(this.#context, this.#name, this.#loginFor(this.#name));
    await this.#context.say(`pushed ${this.#name.repository}@${digest}`);
    return digest;
  }

  /** The credential is for the registry that is pushed to, and for no other. */
  #loginFor({ registry }: BaseName): RegistryLogin | null {
    const login = this.#credential.registry;
    return login !== null && registry === this.#name.registry ? { registry, ...login } : null;
  }
}

/** The name is the host's own: a fault of the request, not of the engine. */
function nameTaken(error: unknown): never {
  if (error instanceof DockerError && error.kind === "conflict")
    throw new RecipeFailure(
      "push_error",
      `${error.message}. Choose another name, or ask the agent's owner.`,
    );
  throw error;
}
