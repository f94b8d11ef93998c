/**
 * The image as a file that `docker load` takes. It is saved by its id and named in the file: on the host it has no name
 * but the attempt's own, which is nobody's business.
 */
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import * as z from "zod";
import { ARTIFACT_BYTES } from "../../shared/limits.ts";
import { IMAGE_TARBALL, parseImageName } from "../../shared/recipes/image.ts";
import { writeGzip } from "../archive.ts";
import { builtImage } from "../docker/contracts.ts";
import { showSize } from "../sizes.ts";
import { type Made, type RecipeContext, RecipeFailure } from "./contracts.ts";
import type { BaseName } from "./image-names.ts";

/** Bytes of a list of what the tar holds. */
const INDEX_BYTES = 4 * 1024 * 1024;
const HUB_HOST = "docker.io";

/** Docker's own list (github.com/moby/docker-image-spec, v1.2). */
const manifestSchema = z
  .array(z.looseObject({ RepoTags: z.array(z.string()).nullish() }))
  .length(1);
/** OCI's list, which newer engines write beside it (opencontainers/image-spec, image-layout). */
const indexSchema = z.looseObject({
  manifests: z
    .array(z.looseObject({ annotations: z.record(z.string(), z.string()).optional() }))
    .length(1),
});

/** Writes it to the attempt's folder. @throws RecipeFailure artifact_too_large */
export async function saveTarball(context: RecipeContext, name: BaseName): Promise<Made> {
  const { docker, owner, folder, signal } = context;
  await context.say("writing tarball...");
  const built = await docker.images.inspect(builtImage(owner));
  if (built === null) throw new Error("the image is gone from the host");
  const file = join(folder, IMAGE_TARBALL);
  const saved = await docker.images.save(built.id);
  const archive = await writeGzip(named(saved, name.name), file, signal);
  if (archive.size > ARTIFACT_BYTES)
    throw new RecipeFailure(
      "artifact_too_large",
      `The image's tarball has ${showSize(archive.size)}, more than the ${showSize(ARTIFACT_BYTES)} that can be published.`,
    );
  return { name: IMAGE_TARBALL, file, ...archive, content_type: "application/gzip" };
}

/** The tar of an image that has no name in it, with one. */
export function named(saved: Readable, name: string): Readable {
  const pack = tar.pack();
  const renaming = rename(saved, pack, name);
  renaming.catch((error: Error) => pack.destroy(error));
  return Readable.from(pack);
}

async function rename(saved: Readable, pack: tar.Pack, name: string): Promise<void> {
  const extract = tar.extract();
  const reading = pipeline(saved, extract);
  reading.catch(() => {}); // whoever reads the entries meets the same error
  for await (const entry of extract) {
    const { header } = entry;
    const write = INDEXES[header.name];
    if (write === undefined || header.size === undefined || header.size > INDEX_BYTES) {
      await pipeline(entry, pack.entry(header));
      continue;
    }
    const text = JSON.stringify(write(JSON.parse((await buffer(entry)).toString()), name));
    pack.entry({ ...header, size: Buffer.byteLength(text), pax: null }, text);
  }
  await reading;
  pack.finalize();
}

/** How each list names the image. */
const INDEXES: Record<string, (list: unknown, name: string) => unknown> = {
  "manifest.json": (list, name) =>
    manifestSchema.parse(list).map((image) => ({ ...image, RepoTags: [name] })),
  "index.json": (list, name) => {
    const index = indexSchema.parse(list);
    const manifests = index.manifests.map((image) => ({
      ...image,
      annotations: {
        ...image.annotations,
        "io.containerd.image.name": fullName(name),
        "org.opencontainers.image.ref.name": parseImageName(name)?.tag ?? "latest",
      },
    }));
    return { ...index, manifests };
  },
};

/** With its registry, as containerd has names. */
function fullName(name: string): string {
  const parsed = parseImageName(name);
  if (parsed === null) return name;
  const { registry, repository, tag, reference } = parsed;
  return reference.startsWith(`${registry}/`) ? reference : `${HUB_HOST}/${repository}:${tag}`;
}
