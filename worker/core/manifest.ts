/**
 * Where things lie in the bucket, and the manifest: one small object at the target's own key that names the
 * files of one publication (protocol rule 5). What is not public lies under prefixes of its own.
 */
import * as z from "zod";
import {
  attemptSchema,
  buildIdSchema,
  VISIBILITIES,
  type Visibility,
} from "../../shared/builds.ts";
import { commitSchema, sha256Schema } from "../../shared/hashes.ts";
import { targetSchema } from "../../shared/recipes/index.ts";

export const manifestSchema = z.object({
  v: z.literal(1),
  build_id: buildIdSchema,
  attempt: attemptSchema,
  target: targetSchema,
  commit: commitSchema.nullable(),
  visibility: z.enum(VISIBILITIES),
  /** `remote/owner/repo` of every repository that its fetch used a credential for (rule 17). */
  repositories: z.array(z.string()),
  /** RFC 3339, UTC: when it was decided to publish. */
  created_at: z.string(),
  files: z.array(
    z.object({
      name: z.string(),
      key: z.string(),
      /** Bytes. */
      size: z.int(),
      sha256: sha256Schema,
      /** R2's, without quotes. */
      etag: z.string(),
      content_type: z.string(),
    }),
  ),
});
export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestFile = Manifest["files"][number];

export function manifestKey(targetKey: string): string {
  return `manifests/${targetKey}`;
}

/** No two uploads share a key: `nonce` is the upload's own. */
export function fileKey(
  visibility: Visibility,
  build: string,
  attempt: number,
  nonce: string,
  name: string,
): string {
  return `${prefix(visibility)}builds/${build}/${attempt}/${nonce}/${name}`;
}

/** Where a build context waits for its attempts. No two requests share a key: `nonce` is the request's own. */
export function contextKey(build: string, nonce: string): string {
  return `contexts/${build}/${nonce}`;
}

/** The same for a web app's, which outlives its build: apart, so that a rule about old contexts spares it. */
export function appContextKey(build: string, nonce: string): string {
  return `apps/${build}/${nonce}`;
}

export function logKey(visibility: Visibility, build: string): string {
  return `${prefix(visibility)}logs/${build}.ndjson`;
}

/**
 * The build whose publication at `targetKey` can be downloaded, every file of it; null when there is none, or
 * a file of it went missing: then the target may be built again.
 */
export async function publishedBuild(
  store: { manifest(key: string): Promise<{ manifest: Manifest } | null> } & FileHeads,
  targetKey: string,
): Promise<string | null> {
  const found = await store.manifest(manifestKey(targetKey));
  return found && (await isIntact(store, found.manifest)) ? found.manifest.build_id : null;
}

type FileHeads = { head(key: string): Promise<{ etag: string } | null> };

/** Whether every file that the manifest names is there. */
export async function isIntact(store: FileHeads, manifest: Manifest): Promise<boolean> {
  const heads = await Promise.all(manifest.files.map(({ key }) => store.head(key)));
  return heads.every((head) => head !== null);
}

function prefix(visibility: Visibility): string {
  return visibility === "public" ? "" : `${visibility}/`;
}
