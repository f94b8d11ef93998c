/** The files of coon's face: packages, runtime systems, logs. What is not there is a literal body with status 200. */
import type { Context } from "hono";
import { isTerminal, parseBuildId } from "../../shared/builds.ts";
import { WAIT_MAX_SECONDS } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { erlSchema, packageKey } from "../../shared/recipes/erlang.ts";
import type { AppEnv } from "../app.ts";
import { requireBuilder } from "../callers.ts";
import { coonRefusal, coonText, NO_BUILD_FOR_ID, NO_SUCH_BUILD, NO_SUCH_ERLANG } from "../coon.ts";
import type { Caller } from "../core/contracts.ts";
import type { Manifest } from "../core/manifest.ts";
import { serveFile } from "../download.ts";
import { ertsKey, otpPools, requestErts } from "../erlang.ts";
import { LOG_CONTENT_TYPES } from "../log-format.ts";
import { logSource } from "../log-source.ts";
import { streamLog } from "../log-stream.ts";
import { freshManifest, keptManifest } from "../manifests.ts";
import { retrying } from "../retry.ts";
import { authenticate, callerOf } from "../tokens.ts";
import { waitForEnd, waitOf } from "../wait.ts";
import { newestPackage } from "./erlang-find.ts";
import { readLookup } from "./erlang-request.ts";

/** What a package's file is called, whatever stands before it. */
const PACKAGE_FILE = /\.[ce]p$/;
/** Seconds after which a build that was not waited for to its end is worth asking for again. */
const RETRY_SECONDS = 30;
const ANY = { ref: null, erl: null };

/** GET or HEAD of the package that a build made. */
export async function download(c: Context<AppEnv>, text: string): Promise<Response> {
  const id = parseBuildId(text);
  const response = id && (await servePackage(c, id));
  return response || coonText(NO_BUILD_FOR_ID);
}

/** The newest package of the first version that there is one of. */
export async function get(c: Context<AppEnv>): Promise<Response> {
  const { namespace, name, versions } = await readLookup(c);
  for (const version of versions.length > 0 ? versions : [ANY]) {
    const found = await newestPackage(c.env, { namespace, name }, version);
    const response = found && (await servePackage(c, found.build_id));
    if (!response) continue;
    // There may be a newer one the next time.
    response.headers.set("cache-control", "no-store");
    return response;
  }
  return coonText(NO_SUCH_BUILD);
}

async function servePackage(c: Context<AppEnv>, build: string): Promise<Response | null> {
  const manifest = await keptManifest(c.env, packageKey(build));
  const file = manifest?.files.find(({ name }) => PACKAGE_FILE.test(name));
  return manifest && file ? serveFile(c, manifest, file.name) : null;
}

/** The log of a package's build, as far as it is. */
export async function buildLog(c: Context<AppEnv>, text: string): Promise<Response> {
  const id = parseBuildId(text);
  const view = id === null ? null : await retrying(() => c.env.BUILDS.getByName(id).view());
  if (view?.record.recipe !== "erlang") return coonText(NO_BUILD_FOR_ID);
  const { build_id, visibility } = view.record;
  const all = { build_id, after: 0, follow: false, ends_at: null };
  return new Response(streamLog(logSource(c.env, build_id, visibility), "plain", all), {
    headers: { "content-type": LOG_CONTENT_TYPES.plain, "cache-control": "no-store" },
  });
}

/** GET or HEAD of a version's runtime system. The first GET has it made, and waits. */
export async function downloadErts(c: Context<AppEnv>, otp: string): Promise<Response> {
  if (!erlSchema.safeParse(otp).success) return coonText(NO_SUCH_ERLANG);
  const published = await serveErts(c, otp);
  if (published !== null) return published;
  const [pool] = c.req.method === "HEAD" ? [] : ((await otpPools(c.env)).get(otp) ?? []);
  if (pool === undefined) return coonText(NO_SUCH_ERLANG);
  const deadline = Date.now() + waitOf(c, WAIT_MAX_SECONDS) * 1_000;
  const build = await requestErts(c.env, otp, pool, await ertsCaller(c, otp));
  const ended = build && (await waitForEnd(c.env, build, deadline));
  if (ended !== null && !isTerminal(ended.state))
    throw new Problem("not_ready", `Erlang ${otp} is still being packed. Ask again later.`, {
      headers: { "retry-after": String(RETRY_SECONDS) },
    });
  if (ended !== null && ended.state !== "succeeded")
    return coonRefusal(`build failed: ${ended.reason ?? ended.state}`);
  return (await serveErts(c, otp)) ?? coonText(NO_SUCH_ERLANG);
}

/** Whoever asks first may have it made, once: there are as many as agents have versions. Again, only who may build. */
async function ertsCaller(c: Context<AppEnv>, otp: string): Promise<Caller> {
  const last = await retrying(() => c.env.TARGETS.getByName(ertsKey(otp)).current());
  const failed = last !== null && isTerminal(last.state) && last.state !== "succeeded";
  return failed ? requireBuilder(c) : callerOf(c, await authenticate(c));
}

/** A file that R2 has lost is looked for once more, where a rebuild may have put it. */
async function serveErts(c: Context<AppEnv>, otp: string): Promise<Response | null> {
  for (const find of [keptManifest, freshManifest]) {
    const manifest: Manifest | null = await find(c.env, ertsKey(otp));
    const [file] = manifest?.files ?? [];
    const response = manifest && file ? await serveFile(c, manifest, file.name) : null;
    if (response !== null) return response;
  }
  return null;
}
