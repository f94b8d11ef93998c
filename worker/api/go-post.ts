/** POST of a Go path: resolve, then one build for all who ask. */
import type { Context } from "hono";
import { isTerminal } from "../../shared/builds.ts";
import { type GoRequest, goArtifactPath } from "../../shared/recipes/go.ts";
import { type AppEnv, wrongMethod } from "../app.ts";
import { requireBuilder } from "../callers.ts";
import { readConfig } from "../config.ts";
import type { BuildSummary, Caller } from "../core/contracts.ts";
import { requestGo } from "../go.ts";
import { type Resolved, resolveVersion } from "../resolve.ts";
import { waitForEnd, waitOf } from "../wait.ts";
import { accepted, alreadyExists, buildFailed, redirect, refusedForNow } from "./go-answers.ts";
import { credentialsOf, findManifest, isComplete, remoteBase } from "./go-request.ts";

/** For who let curl follow our 303: it sends what -X says to the file as well. */
const CURL_HINT =
  "`curl -X POST` with -L repeats the POST after a redirect: leave -L away, or send -d '' instead of -X POST.";

/** Answers 202, or 303 after waiting; throws Problem for every other end. */
export async function postGo(c: Context<AppEnv>, request: GoRequest): Promise<Response> {
  if (request.file !== null) throw wrongMethod(c.req.method, ["GET", "HEAD"], CURL_HINT);
  const wait_ms = waitOf(c, 0) * 1_000;
  const config = readConfig(c.env);
  const base = remoteBase(config, request);
  const caller = await requireBuilder(c);
  await refuseWhatExists(c, request, "public");

  const resolved = await resolveVersion(base, request, credentialsOf(c, request.remote));
  const exact = { ...request, version: resolved.version };
  if (resolved.visibility === "private" || resolved.version !== request.version)
    await refuseWhatExists(c, exact, resolved.visibility);

  const build = await ask(c, exact, resolved, caller);
  const { origin } = new URL(c.req.url);
  const ended = await waitForEnd(c.env, build, Date.now() + wait_ms);
  if (ended.state === "succeeded" && wait_ms > 0)
    return redirect(303, goArtifactPath(exact), { "cache-control": "no-store" });
  if (isTerminal(ended.state) && wait_ms > 0) throw buildFailed(origin, exact, ended);
  return accepted(origin, exact, ended, resolved);
}

async function refuseWhatExists(
  c: Context<AppEnv>,
  request: GoRequest,
  visibility: "public" | "private",
): Promise<void> {
  const manifest = await findManifest(c.env, request, visibility);
  if (manifest !== null && (await isComplete(c.env, manifest)))
    throw alreadyExists(new URL(c.req.url).origin, request);
}

async function ask(
  c: Context<AppEnv>,
  request: GoRequest,
  resolved: Resolved,
  caller: Caller,
): Promise<BuildSummary> {
  const answer = await requestGo(c.env, request, resolved, caller);
  if (answer.kind === "published") throw alreadyExists(new URL(c.req.url).origin, request);
  if (answer.kind === "refused") throw refusedForNow(answer);
  return answer.build;
}
