/** What both ways of a Go path begin with: the parsed path, the caller's git credential, the publication. */
import type { Context } from "hono";
import { Problem } from "../../shared/problem.ts";
import {
  type GoRequest,
  type GoTarget,
  goTargetKey,
  isGoPathError,
  parseGoPath,
} from "../../shared/recipes/go.ts";
import type { AppEnv } from "../app.ts";
import { artifactStore } from "../artifacts.ts";
import type { Config } from "../config.ts";
import { isIntact, type Manifest } from "../core/manifest.ts";
import { gitCredentials } from "../credentials.ts";
import { freshManifest } from "../manifests.ts";
import { isOwnToken } from "../tokens.ts";

type Visibility = GoTarget["visibility"];

/** The request that a URL is. Throws Problem `bad_path`, `unknown_platform`, or `not_found` for no Go path. */
export function goRequest(c: Context<AppEnv>): GoRequest {
  const url = new URL(c.req.url);
  const request = parseGoPath(url.pathname, url.searchParams.get("target"));
  if (request === null)
    throw new Problem("not_found", "There is nothing at this path. See /openapi.json.");
  if (isGoPathError(request))
    throw new Problem(request.code, request.message, {
      members: request.code === "unknown_platform" ? { valid: request.valid } : {},
    });
  return request;
}

/** The base URL of the request's git host. Throws Problem `remote_not_allowed`. */
export function remoteBase(config: Config, { remote }: Pick<GoRequest, "remote">): string {
  const base = config.remotes.get(remote);
  if (base !== undefined) return base;
  const allowed = [...config.remotes.keys()];
  throw new Problem(
    "remote_not_allowed",
    `Nothing is built from ${remote} here. Allowed: ${allowed.join(", ")}.`,
    { members: { allowed } },
  );
}

/** The Authorization values to try at the request's git host; none of Railhead's own tokens. */
export function credentialsOf(c: Context<AppEnv>, remote: string): string[] {
  const isOwn = (value: string) => isOwnToken(c.env, value);
  return gitCredentials(c.req.header("authorization"), remote, isOwn);
}

/** The name of the request's Target object. */
export function goObjectName(request: GoRequest, visibility: Visibility): string {
  return goTargetKey({ ...request, visibility });
}

/** What is published for exactly this version now; null when nothing is. */
export function findManifest(
  env: Env,
  request: GoRequest,
  visibility: Visibility,
): Promise<Manifest | null> {
  return freshManifest(env, goObjectName(request, visibility));
}

/** Whether R2 still has every file of a publication. */
export function isComplete(env: Env, manifest: Manifest): Promise<boolean> {
  return isIntact(artifactStore(env.ARTIFACTS), manifest);
}
