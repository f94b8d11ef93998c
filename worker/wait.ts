/** Waiting for builds, in slices, so that no call hangs for minutes. Deadlines are milliseconds since the epoch. */
import type { Context } from "hono";
import { type BuildRecord, isTerminal } from "../shared/builds.ts";
import { LOG_WAIT_MS, WAIT_MAX_SECONDS } from "../shared/limits.ts";
import { Problem } from "../shared/problem.ts";
import type { AppEnv } from "./app-env.ts";
import type { BuildSummary } from "./core/contracts.ts";
import { retrying } from "./retry.ts";

/** The build once it has ended, or as it stands at `deadline`. */
export async function waitForEnd(
  env: Env,
  build: BuildSummary,
  deadline: number,
): Promise<BuildSummary> {
  let summary = build;
  while (!isTerminal(summary.state)) {
    const left = deadline - Date.now();
    if (left <= 0) return summary;
    const slice = Math.min(left, LOG_WAIT_MS);
    summary = (await retrying(() => env.BUILDS.getByName(build.build_id).wait(slice))) ?? summary;
  }
  return summary;
}

/** The record of a build that has ended, once the Catalog holds it; null when it does not by `deadline`. */
export async function waitForRecord(
  env: Env,
  build_id: string,
  deadline: number,
): Promise<BuildRecord | null> {
  for (;;) {
    const slice = Math.min(Math.max(deadline - Date.now(), 0), LOG_WAIT_MS);
    const answer = await retrying(() => env.BUILDS.getByName(build_id).settled(slice));
    if (answer?.settled) return answer.record;
    if (answer === null || Date.now() >= deadline) return null;
  }
}

/**
 * Seconds that a caller would wait: of `?wait=N`, else of `Prefer: wait=N` (RFC 7240), else `usual`; at most
 * WAIT_MAX_SECONDS. Throws Problem `bad_query`.
 */
export function waitOf(c: Context<AppEnv>, usual: number): number {
  const query = c.req.query("wait");
  if (query !== undefined && !/^\d{1,6}$/.test(query))
    throw new Problem("bad_query", "?wait= takes whole seconds, such as ?wait=60.");
  const preferred = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])/i.exec(
    c.req.header("prefer") ?? "",
  );
  return Math.min(Number(query ?? preferred?.[1] ?? usual), WAIT_MAX_SECONDS);
}
