/** What every build by a Dockerfile does, whatever becomes of its image: context, base images, the engine's builder. */
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { digestFile } from "../archive.ts";
import {
  builtImage,
  type Chunk,
  DockerError,
  type ImageSpec,
  type RegistryLogin,
} from "../docker/contracts.ts";
import { showSize } from "../sizes.ts";
import { type RecipeContext, RecipeFailure } from "./contracts.ts";
import { writeContext } from "./image-context.ts";
import { readDockerfile, refusedTriggers } from "./image-dockerfile.ts";
import { type BaseName, isAllowed, parseBaseName } from "./image-names.ts";
import type { ImageRecipeSettings } from "./image-settings.ts";

/** Names that only the agent gives. */
export const OWN_REGISTRY = "railhead.local";

/** What of an operator's settings concerns every such build. */
export type StepSettings = Pick<ImageRecipeSettings, "builder" | "allow_from" | "context_bytes">;

export class ImageSteps {
  /** The context, as the engine gets it. */
  readonly tar: string;
  readonly #context: RecipeContext;
  readonly #settings: StepSettings;
  readonly #loginFor: (base: BaseName) => RegistryLogin | null;

  /** @param loginFor the credential for a base image, where there is one */
  constructor(
    context: RecipeContext,
    settings: StepSettings,
    loginFor: (base: BaseName) => RegistryLogin | null,
  ) {
    this.tar = join(context.folder, "context.tar");
    this.#context = context;
    this.#settings = settings;
    this.#loginFor = loginFor;
  }

  /** The context that the build was posted with, on this host's disk. @throws RecipeFailure */
  async posted({ size, sha256 }: { size: number; sha256: string }): Promise<string> {
    const { context_bytes } = this.#settings;
    const raw = join(this.#context.folder, "context.raw");
    if (size > context_bytes)
      throw new RecipeFailure(
        "context_error",
        `The context has ${showSize(size)}, more than the ${showSize(context_bytes)} that this agent takes (image.context).`,
      );
    await this.#context.fetchContext(raw, size);
    const digest = await digestFile(raw);
    if (digest.size !== size || digest.sha256 !== sha256) {
      await rm(raw);
      throw new RecipeFailure("storage", "The context came damaged to the agent: post it again.");
    }
    return raw;
  }

  /** Writes the context anew from the tar in the file `raw`, which goes. @returns images that the Dockerfile names */
  async checkFile(
    raw: string,
    dockerfile: string,
    args: Readonly<Record<string, string>>,
  ): Promise<string[]> {
    const images = await this.check(createReadStream(raw), 0, dockerfile, args);
    await rm(raw);
    return images;
  }

  /** Writes the context anew. @returns images that the Dockerfile names */
  async check(
    from: AsyncIterable<Uint8Array>,
    strip: number,
    dockerfile: string,
    args: Readonly<Record<string, string>>,
  ): Promise<string[]> {
    const { limits, signal } = this.#context;
    const options = { dockerfile, strip, max_bytes: limits.disk_bytes, signal };
    const text = await writeContext(from, this.tar, options);
    const reading = readDockerfile(text, args, this.#settings.builder);
    if (reading.kind === "refused") throw new RecipeFailure("dockerfile_refused", reading.reason);
    return reading.images;
  }

  /** @throws RecipeFailure for what policy forbids to build upon */
  allowed(reference: string): BaseName {
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
  async ready(base: BaseName): Promise<void> {
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

  /** Has the engine build, with its output in the log. @throws RecipeFailure */
  async build(spec: ImageSpec): Promise<void> {
    const { docker, owner, signal } = this.#context;
    const tar = createReadStream(this.tar);
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
    if ((await docker.images.inspect(builtImage(owner))) === null)
      throw new RecipeFailure("build_error", "The build made no image.");
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
