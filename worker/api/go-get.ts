/** GET and HEAD of a Go path. A hit reads R2 alone; a miss asks the Target, and the git host where it must. */
import type { Context } from "hono";
import { Problem } from "../../shared/problem.ts";
import {
  type GoRequest,
  goArtifactPath,
  goFilePath,
  goPath,
  goRepository,
  isCommit,
} from "../../shared/recipes/go.ts";
import { isRange, isWholeVersion } from "../../shared/versions.ts";
import { canRead } from "../access.ts";
import type { AppEnv } from "../app.ts";
import { readConfig } from "../config.ts";
import type { BuildSummary } from "../core/contracts.ts";
import type { Manifest } from "../core/manifest.ts";
import { PRIVATE_CACHING, PUBLIC_CACHING, serveFile } from "../download.ts";
import { keptManifest } from "../manifests.ts";
import { LATEST, resolveVersion } from "../resolve.ts";
import { retrying } from "../retry.ts";
import { notBuilt, notPublished, redirect } from "./go-answers.ts";
import { credentialsOf, findManifest, goObjectName, remoteBase } from "./go-request.ts";

/** Answers 200, 206, 304 or 303 for what is published, 302 to the exact version, else throws Problem. */
export async function getGo(c: Context<AppEnv>, request: GoRequest): Promise<Response> {
  const { origin } = new URL(c.req.url);
  if (mayMove(request.version) === "always") return redirectToExact(c, request);

  const published = await keptManifest(c.env, goObjectName(request, "public"));
  if (published !== null) return servePublished(c, request, published);
  remoteBase(readConfig(c.env), request);

  const own = await findPrivate(c, request);
  if (own.manifest !== null) return servePublished(c, request, own.manifest);

  const build =
    (await current(c.env, request, "public")) ??
    (own.mayRead ? await current(c.env, request, "private") : null);
  if (build === null && mayMove(request.version) === "perhaps") {
    const response = await redirectToExact(c, request).catch(notFoundAsNull);
    if (response !== null) return response;
  }
  throw notPublished(origin, request, build);
}

/**
 * Whether a version may stand for another one: `latest` and `^1.2` always do; what looks like a tag may be
 * a branch or, like v1, a range; a commit or v1.2.3 never does.
 */
function mayMove(version: string): "always" | "perhaps" | "never" {
  if (isCommit(version) || isWholeVersion(version)) return "never";
  if (version === LATEST) return "always";
  return isRange(version) && /[~^<>=* ]/.test(version) ? "always" : "perhaps";
}

/** A file that R2 has lost is looked for once more, where a rebuild may have put it. */
async function servePublished(
  c: Context<AppEnv>,
  request: GoRequest,
  manifest: Manifest,
): Promise<Response> {
  const visibility = manifest.visibility === "private" ? "private" : "public";
  const response = await serve(c, request, manifest);
  if (response !== null) return response;
  const rebuilt = await findManifest(c.env, request, visibility);
  const again = rebuilt && (await serve(c, request, rebuilt));
  if (again !== null) return again;
  const { origin } = new URL(c.req.url);
  throw notPublished(origin, request, await current(c.env, request, visibility));
}

async function serve(
  c: Context<AppEnv>,
  request: GoRequest,
  manifest: Manifest,
): Promise<Response | null> {
  if (request.file !== null) return serveFile(c, manifest, request.file);
  const caching = manifest.visibility === "public" ? PUBLIC_CACHING : PRIVATE_CACHING;
  return redirect(303, goArtifactPath(request), caching);
}

/** The private publication, for those only who can read all of its repositories now. */
async function findPrivate(
  c: Context<AppEnv>,
  request: GoRequest,
): Promise<{ mayRead: boolean; manifest: Manifest | null }> {
  const { remote } = request;
  const repository = goRepository(request);
  const credential = await canRead(c.env, remote, [repository], credentialsOf(c, remote));
  if (credential === null) return { mayRead: false, manifest: null };
  const manifest = await findManifest(c.env, request, "private");
  if (manifest === null) return { mayRead: true, manifest };
  const all = [repository, ...manifest.repositories];
  const mayRead = (await canRead(c.env, remote, all, [credential])) !== null;
  return { mayRead, manifest: mayRead ? manifest : null };
}

async function current(
  env: Env,
  request: GoRequest,
  visibility: "public" | "private",
): Promise<BuildSummary | null> {
  return retrying(() => env.TARGETS.getByName(goObjectName(request, visibility)).current());
}

/** 302 to the version that is meant now; never kept, for it moves. */
async function redirectToExact(c: Context<AppEnv>, request: GoRequest): Promise<Response> {
  const base = remoteBase(readConfig(c.env), request);
  const resolved = await resolveVersion(base, request, credentialsOf(c, request.remote));
  if (resolved.version === request.version) throw notBuilt(new URL(c.req.url).origin, request);
  const exact = { ...request, version: resolved.version };
  const location = request.file === null ? goPath(exact) : goFilePath(exact, request.file);
  return redirect(302, location, { "cache-control": "no-store", vary: "authorization" });
}

/** What cannot be resolved is answered like what was never built. */
function notFoundAsNull(error: unknown): null {
  if (error instanceof Problem && (error.status === 404 || error.code === "remote_not_allowed"))
    return null;
  throw error;
}
