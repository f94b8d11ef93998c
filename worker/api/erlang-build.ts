/** Requests of coon's clients that build: at once, waiting for the end, or once more. */
import type { Context } from "hono";
import type { BuildRecord } from "../../shared/builds.ts";
import { WAIT_MAX_SECONDS } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import type { AppEnv } from "../app.ts";
import { requireBuilder } from "../callers.ts";
import { readConfig } from "../config.ts";
import { coonAnswer, coonRefusal } from "../coon.ts";
import type { BuildSummary, Caller } from "../core/contracts.ts";
import { claimName, type PackageWish, parseCloneUrl, requestPackage } from "../erlang.ts";
import { logTail } from "../log-tail.ts";
import { retrying } from "../retry.ts";
import { waitForRecord, waitOf } from "../wait.ts";
import { type BuildOrder, readBuildId, readOrder } from "./erlang-request.ts";

/** Lines of a failed build's stderr that an answer repeats. */
const STDERR_LINES = 20;
const NEWEST = { ref: null, erl: null };

export async function buildAsync(c: Context<AppEnv>): Promise<Response> {
  const { order, builds } = await start(c);
  return coonAnswer(told(order.echo, builds));
}

/** The same, answered when the Catalog holds how each of them ended, and each further Erlang version that came of it. */
export async function buildSync(c: Context<AppEnv>): Promise<Response> {
  const seconds = waitOf(c, WAIT_MAX_SECONDS);
  const deadline = Date.now() + seconds * 1_000;
  const { builds } = await start(c);
  const ids = new Set(builds.map(({ build_id }) => build_id));
  const records = await recordsOf(c.env, [...ids], deadline);
  if (records === null)
    return coonRefusal(unfinished(new URL(c.req.url).origin, seconds, [...ids]));
  const failed = records.filter(({ state }) => state !== "succeeded");
  if (failed.length === 0) return coonAnswer(true);
  const lines = await Promise.all(failed.map((record) => failureOf(c.env, record)));
  return coonRefusal(lines.join("\n"));
}

/** Builds the package of a build again. */
export async function rebuild(c: Context<AppEnv>): Promise<Response> {
  const caller = await requireBuilder(c);
  const id = await readBuildId(c);
  const view = id === null ? null : await retrying(() => c.env.BUILDS.getByName(id).view());
  const { target, package: made } = view?.record ?? {};
  if (target?.recipe !== "erlang" || target.asked.kind !== "package")
    throw new Problem("bad_body", "No such build!");
  const { asked } = target;
  const { remote, path, namespace, name, notify } = asked;
  const ref = made?.version ?? asked.ref;
  const erl = made?.erl_version ?? target.erl;
  const clone_url = `https://${[remote, ...path].join("/")}`;
  await claimName(c.env, { ...asked, url: clone_url, verified: false });
  const wish = { remote, path, namespace, name, notify, ref, erl, depth: 0 };
  const build = await requestPackage(c.env, wish, caller);
  const known = Object.entries({ ref, erl_version: erl }).filter(([, value]) => value !== null);
  const versions = [Object.fromEntries(known)];
  return coonAnswer(told({ full_name: `${namespace}/${name}`, clone_url, versions }, [build]));
}

function told(request: Record<string, unknown>, builds: readonly BuildSummary[]) {
  return { ...request, build_ids: builds.map(({ build_id }) => build_id) };
}

/** Claims the name and asks for a build of each version. The repository is not contacted. */
async function start(c: Context<AppEnv>): Promise<{ order: BuildOrder; builds: BuildSummary[] }> {
  const caller = await requireBuilder(c);
  const order = await readOrder(c);
  const { namespace, name, clone_url: url, notify } = order;
  const repository = parseCloneUrl(readConfig(c.env), url);
  await claimName(c.env, { ...repository, namespace, name, url, verified: false });
  const versions = order.versions.length > 0 ? order.versions : [NEWEST];
  const wishes = versions.map((version) => ({
    ...repository,
    ...version,
    namespace,
    name,
    notify,
    depth: 0,
  }));
  return { order, builds: await requestAll(c.env, wishes, caller) };
}

/** One after the other, so that a refusal can say what was begun before it. */
async function requestAll(
  env: Env,
  wishes: readonly PackageWish[],
  caller: Caller,
): Promise<BuildSummary[]> {
  const builds: BuildSummary[] = [];
  for (const wish of wishes)
    try {
      builds.push(await requestPackage(env, wish, caller));
    } catch (error) {
      if (!(error instanceof Problem) || builds.length === 0) throw error;
      const begun = builds.map(({ build_id }) => build_id).join(", ");
      const { code, message, headers } = error;
      throw new Problem(code, `${message} Begun already: ${begun}.`, { headers });
    }
  return builds;
}

/** How builds of packages and of their further Erlang versions ended; null when not all have by `deadline`. */
async function recordsOf(
  env: Env,
  ids: readonly string[],
  deadline: number,
): Promise<BuildRecord[] | null> {
  const waited = await Promise.all(ids.map((id) => waitForRecord(env, id, deadline)));
  const records = waited.filter((record) => record !== null);
  if (records.length < ids.length) return null;
  const further = records
    .flatMap(({ follows }) => follows)
    .flatMap(({ why, build_id }) => (why === "version" && build_id !== null ? [build_id] : []));
  if (further.length === 0) return records;
  const more = await recordsOf(env, further, deadline);
  return more && [...records, ...more];
}

/** In coon's words, what the tools of the build said last, and the build's own reason where that says more. */
async function failureOf(env: Env, record: BuildRecord): Promise<string> {
  const { entries } = await logTail(env, record);
  const said = entries
    .filter(({ stream }) => stream === "stderr")
    .slice(-STDERR_LINES)
    .map(({ msg }) => msg);
  const reason = record.reason ?? record.state;
  // A reason may be a line of the log, cut short and with a full stop.
  const isSaid = said.some((line) => line.includes(reason.replace(/[.…]$/, "")));
  return `build failed: ${[...said, ...(isSaid ? [] : [reason])].join("\n")}`;
}

function unfinished(origin: string, seconds: number, ids: readonly string[]): string {
  const urls = ids.map((id) => `${origin}/builds/${id}`).join(", ");
  return `Not built yet after ${seconds} s. It goes on: see ${urls}, or ask POST /builds later.`;
}
