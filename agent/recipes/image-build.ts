/**
 * One image build (spec images.md): context, build, push or tarball. A restarted agent runs it again from the start;
 * what the journal says is done is not done twice.
 */
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type ImageCredential,
  type ImageTarget,
  imageCredentialSchema,
} from "../../shared/recipes/image.ts";
import { digestFile } from "../archive.ts";
import {
  type Builder,
  builtImage,
  type Chunk,
  DockerError,
  type ImageSpec,
  type RegistryLogin,
} from "../docker/contracts.ts";
import { showSize } from "../sizes.ts";
import { checkoutFolder, fetchSource } from "../workspace.ts";
import { type Outcome, type RecipeContext, RecipeFailure } from "./contracts.ts";
import { writeContext } from "./image-context.ts";
import {
  isBuilderArgument,
  isProxyArgument,
  readDockerfile,
  refusedTriggers,
} from "./image-dockerfile.ts";
import { downloadTar } from "./image-download.ts";
import { type BaseName, isAllowed, parseBaseName } from "./image-names.ts";
import { pushImage } from "./image-push.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";
import { saveTarball } from "./image-tarball.ts";

/** Names that only the agent gives, while it builds. */
const OWN_REGISTRY = "railhead.local";
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
  }

  get #tar(): string {
    return join(this.#context.folder, "context.tar");
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
    const raw = join(folder, "context.raw");
    if (source.kind === "url") {
      await downloadTar(source.url, raw, { max_bytes: context_bytes, allow_addresses, signal });
    } else {
      if (source.size > context_bytes)
        throw new RecipeFailure(
          "context_error",
          `The context has ${showSize(source.size)}, more than the ${showSize(context_bytes)} that this agent takes (image.context).`,
        );
      await this.#context.fetchContext(raw, source.size);
      const { size, sha256 } = await digestFile(raw);
      if (size !== source.size || sha256 !== source.sha256) {
        await rm(raw);
        throw new RecipeFailure("storage", "The context came damaged to the agent: post it again.");
      }
    }
    const images = await this.#check(createReadStream(raw), 0);
    await rm(raw);
    return { images, repositories: [] };
  }

  async #prepareGit(source: Extract<ImageTarget["source"], { kind: "git" }>): Promise<Prepared> {
    const { remotes, git_image } = this.#settings;
    const { docker, owner, limits } = this.#context;
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
    const images = await this.#check(checkout, 1);
    return { images, repositories };
  }

  /** @returns images that the Dockerfile names */
  async #check(from: AsyncIterable<Uint8Array>, strip: number): Promise<string[]> {
    const { target, limits, signal } = this.#context;
    const text = await writeContext(from, this.#tar, {
      dockerfile: target.dockerfile,
      strip,
      max_bytes: limits.disk_bytes,
      signal,
    });
    const reading = readDockerfile(text, target.args, this.#settings.builder);
    if (reading.kind === "refused") throw new RecipeFailure("dockerfile_refused", reading.reason);
    return reading.images;
  }

  // ---- build ----------------------------------------------------------------------------------------

  async #build(references: readonly string[]): Promise<null> {
    const { target, docker, owner } = this.#context;
    const bases = references.map((reference) => this.#allowed(reference));
    const taken = target.no_cache ? [] : target.cache_from;
    const wanted = this.#settings.builder === "buildkit" ? [] : taken;
    if (wanted.length < taken.length)
      await this.#context.say("No layers are taken from other images: BuildKit builds all anew.", {
        level: "warning",
      });
    const caches = wanted.map((reference) => this.#allowed(reference));
    const names = [...bases, ...caches].map(({ name }) => name);
    await docker.images.holding(names, async () => {
      for (const base of bases) await this.#ready(base);
      const cache_from: string[] = [];
      for (const cache of caches) if (await this.#readyCache(cache)) cache_from.push(cache.name);
      await this.#run(cache_from);
    });
    if ((await docker.images.inspect(builtImage(owner))) === null)
      throw new RecipeFailure("build_error", "The build made no image.");
    return null;
  }

  /** @throws RecipeFailure for what policy forbids to build upon */
  #allowed(reference: string): BaseName {
    const base = parseBaseName(reference);
    if (base === null)
      throw new RecipeFailure("dockerfile_refused", `${reference} is no name of an image.`);
    const { allow_from } = this.#settings;
    if (base.registry === OWN_REGISTRY || !isAllowed(base, allow_from))
      throw new RecipeFailure(
        "dockerfile_refused",
        `This agent does not build upon ${reference}${allow_from.length === 0 ? "" : `: its owner allows ${allow_from.join(", ")}`}.`,
      );
    return base;
  }

  /** Brings a base image to the host, unless it is there and for everybody. */
  async #ready(base: BaseName): Promise<void> {
    const { docker, signal } = this.#context;
    const { images } = docker;
    const here = await images.inspect(base.name);
    // What is found by its id alone has another name, or none: somebody else's.
    if (!here?.names.includes(base.name) || images.isGuarded(base.name)) {
      await this.#context.say(`pulling ${base.name}...`);
      try {
        await images.pull(base.name, this.#loginFor(base), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof DockerError) || error.said === null) throw error;
        throw new RecipeFailure("build_error", error.said);
      }
    }
    const triggers = (await images.inspect(base.name))?.on_build ?? [];
    const reason = refusedTriggers(triggers, this.#settings.builder);
    if (reason !== null)
      throw new RecipeFailure("dockerfile_refused", `The base image ${base.name}: ${reason}`);
  }

  /** False, with a word in the log, when there is nothing to take layers from. */
  async #readyCache(cache: BaseName): Promise<boolean> {
    try {
      await this.#ready(cache);
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
    const { target, docker, owner, limits, signal } = this.#context;
    const { dockerfile, stage, args, labels } = target;
    const login = this.#loginFor(this.#name);
    await this.#context.say("building image...");
    const { max_bytes } = this.#settings;
    const spec: ImageSpec = {
      owner,
      builder: this.#builder(),
      dockerfile,
      stage,
      args,
      labels,
      cache_from,
      login,
      limits,
      max_bytes,
    };
    const tar = createReadStream(this.#tar);
    let failure: RecipeFailure | null = null;
    try {
      await this.#context.follow(
        (async function* (): AsyncGenerator<Chunk> {
          for await (const event of docker.images.build(spec, tar, signal))
            if (event.kind === "output") yield event.chunk;
            else if (event.kind === "failed")
              failure = new RecipeFailure("build_error", event.message);
            else if (event.kind === "outgrown") failure = outgrown(event.what, spec);
        })(),
      );
    } finally {
      tar.destroy();
      // What cannot be done now, an idle agent does.
      if (spec.builder.kind === "buildkit")
        await docker.images.pruneCache(this.#settings.cache_bytes).catch(() => {});
    }
    if (failure !== null) throw failure;
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

function outgrown(
  what: "step" | "image",
  { limits, max_bytes }: Pick<ImageSpec, "limits" | "max_bytes">,
): RecipeFailure {
  if (what === "step")
    return new RecipeFailure(
      "disk_full",
      `A step wrote more than ${showSize(limits.disk_bytes)}, this agent's limit. Make it write less, or ask the agent's owner for more (limits.disk).`,
    );
  return new RecipeFailure(
    "image_too_large",
    `The image has more than ${showSize(max_bytes)}, this agent's limit. Make it smaller, or ask the agent's owner for more (image.max).`,
  );
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
