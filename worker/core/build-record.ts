/** How a build is shown. URLs are paths; the API makes them absolute. */
import type { BuildRecord, BuildState } from "../../shared/builds.ts";
import { packageOf } from "../../shared/recipes/erlang.ts";
import { artifactPath, filePath, targetCommit } from "../../shared/recipes/index.ts";
import type { AttemptRow, BuildRow } from "./build-rows.ts";
import type { BuildSummary, QueuePlace } from "./contracts.ts";

export function stateOf(row: BuildRow): BuildState {
  if (row.outcome !== null) return row.outcome;
  return row.stage === "running" || row.stage === "publishing" ? "running" : "queued";
}

/** `place` in the queue; null when it is not known or the build does not wait. */
export function summaryOf(row: BuildRow, place: QueuePlace | null): BuildSummary {
  const state = stateOf(row);
  const waits = state === "queued" ? place : null;
  return {
    build_id: row.id,
    state,
    class: row.class,
    reason: row.reason,
    position: waits?.position ?? null,
    queue: waits && { expected_wait_ms: waits.expected_wait_ms, why: waits.why },
    attempt: row.attempt,
    commit: row.facts?.commit ?? targetCommit(row.target),
  };
}

export function recordOf(
  row: BuildRow,
  attempt: AttemptRow | null,
  place: QueuePlace | null,
): BuildRecord {
  const { target } = row;
  return {
    ...summaryOf(row, place),
    recipe: target.recipe,
    target,
    agent: attempt?.name ?? null,
    phase: stateOf(row) === "running" ? (attempt?.phase ?? null) : null,
    digest: row.digest,
    package: target.recipe === "erlang" ? packageOf(target, row.facts) : null,
    follows: row.follows,
    visibility: target.visibility,
    queued_at: new Date(row.queued_at).toISOString(),
    started_at: timeOf(row.started_at),
    ended_at: timeOf(row.ended_at),
    timings: {
      queued_ms: between(row.queued_at, row.started_at ?? row.ended_at),
      running_ms: between(row.started_at, row.ended_at),
      phases: row.phases,
    },
    artifact: artifactPath(target, row.id),
    artifacts:
      row.outcome === "succeeded"
        ? row.artifacts.map((file) => ({ ...file, url: filePath(target, row.id, file.name) }))
        : [],
    log: `/builds/${row.id}/logs`,
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

function between(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : to - from;
}
