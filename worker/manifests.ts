/**
 * Manifests of public targets that this isolate has just read, so that a popular download costs one
 * read of R2. A manifest changes only when a file of it was lost and built again: whoever misses a
 * file reads anew. What is not published is never kept.
 */
import { getManifest } from "./artifacts.ts";
import type { Manifest } from "./core/manifest.ts";

/** Milliseconds for which a manifest is kept: how late the removal of one is noticed. */
const KEPT_MS = 30_000;
/** Manifests kept, of some hundred bytes to a few thousand each. */
const KEPT_MANIFESTS = 1_000;

const kept = new Map<string, { manifest: Manifest; until: number }>();

/** What was published under this target key, perhaps as it was a moment ago; null when nothing was. */
export async function keptManifest(env: Env, targetKey: string): Promise<Manifest | null> {
  const known = kept.get(targetKey);
  if (known !== undefined && known.until > Date.now()) return known.manifest;
  return freshManifest(env, targetKey);
}

/** What is published under this target key now. */
export async function freshManifest(env: Env, targetKey: string): Promise<Manifest | null> {
  const found = await getManifest(env.ARTIFACTS, targetKey);
  kept.delete(targetKey);
  if (found === null) return null;
  const { manifest } = found;
  if (manifest.visibility === "public") {
    kept.set(targetKey, { manifest, until: Date.now() + KEPT_MS });
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT_MANIFESTS) break;
      kept.delete(oldest);
    }
  }
  return manifest;
}
