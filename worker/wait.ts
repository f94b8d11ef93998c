/** Waiting for builds, in slices, so that no call hangs for minutes. Deadlines are milliseconds since the epoch. */
import { type BuildRecord, isTerminal } from "../shared/builds.ts";
import { LOG_WAIT_MS } from "../shared/limits.ts";
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
