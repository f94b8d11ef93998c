/** What there is of packages, as coon's clients ask for it: searches, lists of builds and versions. */
import type { Context } from "hono";
import type { BuildRecord } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import type { AppEnv } from "../app.ts";
import { coonAnswer } from "../coon.ts";
import { CATALOG_NAME, type PackageQuery } from "../core/contracts.ts";
import { sha256 } from "../secrets.ts";
import { readLookup, required, type Wanted } from "./erlang-request.ts";

/** Entries of one answer: these routes know no pages. */
export const LISTED_BUILDS = 500;
/** Hex digits of a version's id. */
const VERSION_ID_DIGITS = 32;

/** The newest build of each version of whatever is called so, failed ones too. */
export async function search(c: Context<AppEnv>): Promise<Response> {
  const version = { ref: c.req.query("version") || null, erl: c.req.query("erl_version") || null };
  const found = await findBuilds(c.env, {
    name: required(c, "name") || undefined,
    namespace: c.req.query("namespace") || undefined,
    versions: conditions([version]),
    newest: true,
  });
  return coonAnswer(found.map(entryOf));
}

export async function lastBuilds(c: Context<AppEnv>): Promise<Response> {
  const n = required(c, "n");
  if (!/^\d{1,9}$/.test(n)) throw new Problem("bad_query", `"n" is a number of builds.`);
  const limit = Math.min(Number(n), LISTED_BUILDS);
  const query = { versions: [], success: true, newest: true };
  return coonAnswer((await findBuilds(c.env, query, limit)).map(entryOf));
}

/** Every build of a package, failed ones too unless `?success=true`. */
export async function listBuilds(c: Context<AppEnv>): Promise<Response> {
  const { namespace, name, versions } = await readLookup(c);
  const found = await findBuilds(c.env, {
    namespace,
    name,
    versions: conditions(versions),
    success: outcome(c.req.query("success")),
    newest: false,
  });
  const builds = found.map((record) => ({
    build_id: record.build_id,
    result: isSuccess(record),
    message: isSuccess(record) ? "" : (record.reason ?? record.state),
    artifact_path: isSuccess(record) ? record.artifact : null,
    created_date: endOf(record),
  }));
  return coonAnswer(builds);
}

/** The versions of a package that can be had. */
export async function listVersions(c: Context<AppEnv>): Promise<Response> {
  const { namespace, name, versions } = await readLookup(c);
  const found = await findBuilds(c.env, {
    namespace,
    name,
    versions: conditions(versions),
    success: true,
    newest: true,
  });
  const answers = found.map(async ({ package: made }) => {
    const ref = made?.version ?? null;
    const erl_version = made?.erl_version ?? null;
    const digest = await sha256(JSON.stringify([namespace, name, ref, erl_version]));
    const id = digest.slice(0, VERSION_ID_DIGITS);
    return { version_id: id, versionId: id, ref, erl_version };
  });
  return coonAnswer(await Promise.all(answers));
}

/** The id of the newest package of one version; null when there is none. */
export async function newestPackage(
  env: Env,
  query: Pick<PackageQuery, "namespace" | "name">,
  version: Wanted,
): Promise<BuildRecord | null> {
  const wanted = { ...query, versions: conditions([version]), success: true, newest: true };
  return (await findBuilds(env, wanted, 1))[0] ?? null;
}

function findBuilds(
  env: Env,
  query: Omit<PackageQuery, "strangers" | "limit">,
  limit = LISTED_BUILDS,
): Promise<BuildRecord[]> {
  const catalog = env.CATALOG.getByName(CATALOG_NAME);
  return catalog.packages({ ...query, strangers: false, limit });
}

function conditions(versions: readonly Wanted[]): PackageQuery["versions"] {
  return versions.map(({ ref, erl }) => ({
    ...(ref === null ? {} : { ref }),
    ...(erl === null ? {} : { erl }),
  }));
}

function outcome(text: string | undefined): boolean | undefined {
  if (!text) return undefined;
  if (text === "true" || text === "false") return text === "true";
  throw new Problem("bad_query", `"success" is true or false.`);
}

function entryOf(record: BuildRecord) {
  const { build_id, package: made } = record;
  const success = isSuccess(record);
  return {
    build_id,
    namespace: made?.namespace,
    name: made?.name,
    success,
    path: success ? record.artifact : `/build_log?build_id=${build_id}`,
    // As coon wrote it, but for its twelve hours.
    build_date: new Date(endOf(record)).toISOString().slice(0, 16).replace("T", " "),
    version: made?.version ?? null,
    erl_version: made?.erl_version ?? null,
  };
}

function isSuccess({ state }: BuildRecord): boolean {
  return state === "succeeded";
}

/** Milliseconds since the epoch. */
function endOf({ ended_at, queued_at }: BuildRecord): number {
  return Date.parse(ended_at ?? queued_at);
}
