/**
 * One image build (spec images.md): context, build, push or tarball. A restarted agent runs it again from the start;
 * what the journal says is done is not done twice.
 */
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ARTIFACT_BYTES } from "../../shared/limits.ts";
import {
  IMAGE_TARBALL,
  type ImageCredential,
  type ImageTarget,
  imageCredentialSchema,
} from "../../shared/recipes/image.ts";
import { digestFile, writeGzip } from "../archive.ts";
import {
  builtImage,
  type Chunk,
  DockerError,
  type ImageSpec,
  type RegistryLogin,
} from "../docker/contracts.ts";
import { showSize } from "../sizes.ts";
import { checkoutFolder, fetchSource } from "../workspace.ts";
import { type Made, type Outcome, type RecipeContext, RecipeFailure } from "./contracts.ts";
import { writeContext } from "./image-context.ts";
import { isProxyArgument, readDockerfile, refusedTriggers } from "./image-dockerfile.ts";
import { downloadTar } from "./image-download.ts";
import { type BaseName, isAllowed, parseBaseName } from "./image-names.ts";
import { pushImage } from "./image-push.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";

/** Names that only the agent gives, while it builds. */
const OWN_REGISTRY = "railhead.local";
const NO_CREDENTIAL: ImageCredential = { registry: null, git: null };

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
    const proxy = Object.keys(target.args).find(isProxyArgument);
    if (proxy !== undefined)
      throw new RecipeFailure(
        "dockerfile_refused",
        `The build argument ${proxy} is refused: the agent's owner decides about proxies.`,
      );
    if (this.#name.registry === OWN_REGISTRY)
      throw new RecipeFailure("push_error", `${OWN_REGISTRY} is no registry: choose another name.`);
    const prepared = await this.#context.phase("context", () => this.#prepare());
    await this.#context.phase("build", () => this.#build(prepared.images));
    const shipped = await this.#context.phase(target.push ? "push" : "save", () =>
      docker.images.naming(owner, this.#name.name, () => this.#ship()).catch(nameTaken),
    );
    const { made, digest } = shipped;
    return {
      made,
      repositories: prepared.repositories,
      ...(digest !== null && { digest }),
    };
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
    const reading = readDockerfile(text, target.args);
    if (reading.kind === "refused") throw new RecipeFailure("dockerfile_refused", reading.reason);
    return reading.images;
  }

  // ---- build ----------------------------------------------------------------------------------------

  async #build(references: readonly string[]): Promise<null> {
    const { target, docker, owner } = this.#context;
    const bases = references.map((reference) => this.#allowed(reference));
    const wanted = target.no_cache ? [] : target.cache_from;
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
    const reason = refusedTriggers((await images.inspect(base.name))?.on_build ?? []);
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
    const spec = { owner, dockerfile, stage, args, labels, cache_from, login, limits, max_bytes };
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
    }
    if (failure !== null) throw failure;
  }

  // ---- push and tarball -----------------------------------------------------------------------------

  /** While the image bears its name on the host. */
  async #ship(): Promise<{ made: Made[]; digest: string | null }> {
    const { target, signal } = this.#context;
    signal.throwIfAborted();
    const made = target.tarball ? [await this.#save()] : [];
    if (!target.push) return { made, digest: null };
    await this.#context.say(`pushing ${this.#name.name}...`);
    const digest = await pushImage(this.#context, this.#name, this.#loginFor(this.#name));
    await this.#context.say(`pushed ${this.#name.repository}@${digest}`);
    return { made, digest };
  }

  async #save(): Promise<Made> {
    const { docker, folder, signal } = this.#context;
    await this.#context.say("saving image...");
    const file = join(folder, IMAGE_TARBALL);
    const archive = await writeGzip(await docker.images.save(this.#name.name), file, signal);
    if (archive.size > ARTIFACT_BYTES)
      throw new RecipeFailure(
        "artifact_too_large",
        `The image's tarball has ${showSize(archive.size)}, more than the ${showSize(ARTIFACT_BYTES)} that can be published.`,
      );
    return { name: IMAGE_TARBALL, file, ...archive, content_type: "application/gzip" };
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
