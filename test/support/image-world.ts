/** The image recipe over a real engine and a real registry, without the agent around it. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tar, { type Header } from "tar-stream";
import { digestFile } from "../../agent/archive.ts";
import type { Owner } from "../../agent/docker/contracts.ts";
import { type Outcome, RecipeFailure } from "../../agent/recipes/contracts.ts";
import { imageRecipe } from "../../agent/recipes/image.ts";
import type { ImageRecipeSettings } from "../../agent/recipes/image-settings.ts";
import {
  type ImageCredential,
  type ImageSource,
  type ImageTarget,
  imageTargetSchema,
} from "../../shared/recipes/image.ts";
import { makeBaseImage } from "./base-image.ts";
import { type DockerWorld, dockerWorld } from "./docker.ts";
import { imagesWith } from "./image-stack.ts";
import { PLAIN_IMAGE } from "./image-target.ts";
import { recipeContext, type Said } from "./recipe-context.ts";
import { type Registry, startRegistry } from "./registry.ts";

const MIB = 1024 ** 2;

/** Contents by name; a string is a text. */
export type Tree = Record<string, string | Buffer>;

export type ImageRequest = Partial<
  Omit<ImageTarget, "source" | "recipe" | "job" | "visibility">
> & {
  /** What is posted: a Dockerfile alone, files, or the bytes of an archive. */
  context?: string | Tree | Buffer;
  /** In its place. */
  source?: ImageSource;
  credential?: Partial<ImageCredential>;
  settings?: Partial<ImageRecipeSettings>;
  permit?: () => Promise<void>;
  /** What is brought in the place of the context. */
  posted?: string;
  /** What every step's image is labelled with; the build's id unless it must be another. */
  mark?: string;
};

/** A build that ended: well, or with a failure. */
export type ImageEnd = {
  owner: Owner;
  log: Said[];
  outcome: Outcome | null;
  failure: RecipeFailure | null;
  /** What the host still has of it, once it is cleaned. */
  left: string[];
};

export type ImageWorld = AsyncDisposable & {
  docker: DockerWorld;
  registry: Registry;
  /** A small base image that is on the host, with busybox. */
  base: string;
  /** A name in the registry that no other test has, with its tag. */
  name(): string;
  /** The credential of the registry. */
  login: ImageCredential["registry"];
  /** Runs the recipe to its end and cleans the host, as the agent does. */
  build(request: ImageRequest): Promise<ImageEnd>;
};

export async function imageWorld(): Promise<ImageWorld> {
  const docker = await dockerWorld();
  const registry = await startRegistry();
  const base = await makeBaseImage();
  const root = await mkdtemp(join(tmpdir(), "railhead-image-"));
  const login = { username: registry.username, password: registry.password };
  const name = () => `${registry.name}/tests/${randomBytes(6).toString("hex")}:1`;
  return {
    docker,
    registry,
    base: base.name,
    name,
    login,
    async build({
      context,
      source,
      posted: content,
      mark,
      credential,
      settings,
      permit,
      ...request
    }) {
      const owner = docker.owner();
      const folder = join(root, owner.build);
      await mkdir(folder);
      const posted = join(root, `${owner.build}.posted`);
      if (content !== undefined) await writeFile(posted, content);
      else if (source === undefined) await writePosted(posted, context ?? "", mark ?? owner.build);
      const target = imageTargetSchema.parse({
        ...PLAIN_IMAGE,
        job: owner.build,
        image: name(),
        source: source ?? { kind: "context", ...(await digestFile(posted)) },
        ...request,
      });
      const made = recipeContext<ImageTarget>({
        docker,
        owner,
        target,
        folder,
        posted,
        credentials: [JSON.stringify({ registry: login, git: null, secrets: [], ...credential })],
        ...(permit && { permit }),
      });
      const recipe = imageRecipe({
        builder: "classic",
        buildkit_network: "none",
        git_image: docker.image,
        remotes: {},
        allow_addresses: [],
        max_bytes: 4096 * MIB,
        context_bytes: 16 * MIB,
        allow_from: [],
        registries: [],
        cache_bytes: 1024 * MIB,
        ...settings,
      });
      const { log } = made;
      let outcome: Outcome | null = null;
      let failure: RecipeFailure | null = null;
      try {
        outcome = await recipe.make(made.context);
      } catch (error) {
        if (!(error instanceof RecipeFailure)) throw error;
        failure = error;
      } finally {
        await docker.host.clean(owner);
      }
      const left = [...(await imagesWith(owner.build)), ...(await imagesWith(target.image))];
      return { owner, log, outcome, failure, left };
    },
    async [Symbol.asyncDispose]() {
      await docker[Symbol.asyncDispose]();
      await base.remove();
      await registry.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function writePosted(
  file: string,
  context: string | Tree | Buffer,
  mark: string,
): Promise<void> {
  if (Buffer.isBuffer(context)) return writeFile(file, context);
  const tree = typeof context === "string" ? { Dockerfile: context } : context;
  const entries = Object.entries(tree).map(([name, content]) => {
    // So that the images of all steps can be told from those of others.
    const text =
      name === "Dockerfile"
        ? String(content).replace(/^FROM .*$/gm, `$&\nLABEL mark=${mark}`)
        : content;
    return [{ name }, text] as const;
  });
  await writeFile(file, await tarOf(entries));
}

/** A tar of entries as they are given, whatever they hold. */
export async function tarOf(
  entries: readonly (readonly [Partial<Header> & { name: string }, (string | Buffer)?])[],
): Promise<Buffer> {
  const pack = tar.pack();
  for (const [header, content] of entries) pack.entry(header as Header, content ?? "");
  pack.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of pack) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
