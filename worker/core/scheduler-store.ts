/**
 * Rows of the scheduler: a job is a build that the pool keeps until the Build is done with it, a lease
 * is an attempt that an agent has or may have. At most one lease a build.
 */
import type { Job } from "./contracts.ts";
import type { Sql, SqlRow } from "./ports.ts";

/**
 * queued: waits for an agent. leased: has a lease. loose: neither, the Build will say what next.
 * unplaceable: the Build is being told. over: ended as far as the pool knows, not yet counted.
 */
export type JobState = "queued" | "leased" | "loose" | "unplaceable" | "over";

export type JobRow = {
  build: string;
  recipe: string;
  needs: Record<string, string>;
  queuedAt: number;
  expected: number;
  state: JobState;
  /** Agents that get it only when no other can take it now. */
  avoid: readonly string[];
  /** Agents whose policy refuses this build; each with its name and reason, for people. */
  refusals: Record<string, string>;
  /** Why no agent can take it; null unless it is unplaceable. */
  reason: string | null;
};

/** What decides which agents may take a build. */
export type JobKind = Pick<JobRow, "recipe" | "needs">;

/**
 * reserved: the Build is being asked. assigned: sent, not yet accepted. accepted: the agent has it.
 * losing: given up, until the Build has answered.
 */
export type LeaseState = "reserved" | "assigned" | "accepted" | "losing";

export type Lease = {
  build: string;
  attempt: number;
  agent: string;
  state: LeaseState;
  /** Why it is being cancelled; null when it is not. */
  cancel: string | null;
  /** Why it is being given up. */
  why: string | null;
  /** How often the Build was told in vain. */
  tries: number;
};

type StoredJob = {
  build: string;
  recipe: string;
  needs: string;
  queued_at: number;
  expected: number;
  state: string;
  avoid: string;
  refusals: string;
  reason: string | null;
};

type StoredLease = SqlRow & {
  build: string;
  attempt: number;
  agent: string;
  state: string;
  cancel: string | null;
  why: string | null;
  tries: number;
};

const PAGE = 100;

/** A new job as its row will be. */
export function toRow(job: Job): JobRow {
  return {
    build: job.build_id,
    recipe: job.recipe,
    needs: job.needs,
    avoid: job.avoid,
    queuedAt: job.queued_at,
    expected: job.expected,
    state: "queued",
    refusals: {},
    reason: null,
  };
}

export class SchedulerStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  job(build: string): JobRow | undefined {
    return this.#jobs("build = ?", build)[0];
  }

  addJob(job: Job): void {
    this.#sql.exec(
      `INSERT INTO jobs (build, recipe, needs, avoid, queued_at, expected, state) VALUES (?, ?, ?, ?, ?, ?, 'queued')`,
      job.build_id,
      job.recipe,
      JSON.stringify(job.needs),
      JSON.stringify(job.avoid),
      job.queued_at,
      job.expected,
    );
  }

  /** Puts a build (back) in line, where its age puts it. */
  queue(build: string, expected: number): void {
    this.#sql.exec("DELETE FROM leases WHERE build = ?", build);
    this.#sql.exec(
      "UPDATE jobs SET state = 'queued', expected = ?, wake_at = NULL WHERE build = ?",
      expected,
      build,
    );
  }

  /** Takes a build out of the line and drops its lease, to be looked at again at `wakeAt` (ms). */
  park(build: string, state: "loose" | "over", wakeAt: number): void {
    this.#sql.exec("DELETE FROM leases WHERE build = ?", build);
    this.#sql.exec("UPDATE jobs SET state = ?, wake_at = ? WHERE build = ?", state, wakeAt, build);
  }

  /** Takes a waiting build out of the line for good; its Build is told the reason again at `wakeAt` (ms). */
  turnAway(build: string, reason: string, wakeAt: number): void {
    this.#sql.exec(
      "UPDATE jobs SET state = 'unplaceable', reason = ?, wake_at = ? WHERE build = ?",
      reason,
      wakeAt,
      build,
    );
  }

  forget(build: string): void {
    this.#sql.exec("DELETE FROM leases WHERE build = ?", build);
    this.#sql.exec("DELETE FROM jobs WHERE build = ?", build);
  }

  refuse(job: JobRow, agent: string, reason: string): void {
    const refusals = { ...job.refusals, [agent]: reason };
    this.#sql.exec(
      "UPDATE jobs SET refusals = ? WHERE build = ?",
      JSON.stringify(refusals),
      job.build,
    );
  }

  /** Waiting builds, oldest first, read page by page: rows may leave the line meanwhile. */
  *inLine(): Generator<JobRow> {
    let last: { queuedAt: number; build: string } = { queuedAt: -1, build: "" };
    for (;;) {
      const page = this.#jobs(
        `state = 'queued' AND (queued_at, build) > (?, ?) ORDER BY queued_at, build LIMIT ${PAGE}`,
        last.queuedAt,
        last.build,
      );
      yield* page;
      const end = page.at(-1);
      if (end === undefined || page.length < PAGE) return;
      last = end;
    }
  }

  /** Whether an agent refused any waiting build: only such a one can turn out unplaceable. */
  anyRefused(): boolean {
    return (
      this.#count("SELECT COUNT(*) AS n FROM jobs WHERE state = 'queued' AND refusals <> '{}'") > 0
    );
  }

  /** Of the waiting builds that not every agent of their recipe may take. */
  kindsInLine(): JobKind[] {
    return this.#sql
      .exec<{ recipe: string; needs: string }>(
        "SELECT DISTINCT recipe, needs FROM jobs WHERE state = 'queued' AND needs <> '{}'",
      )
      .map(({ recipe, needs }) => ({ recipe, needs: JSON.parse(needs) }));
  }

  /** Every waiting build of one kind. */
  inLineOf({ recipe, needs }: JobKind): JobRow[] {
    return this.#jobs(
      "state = 'queued' AND recipe = ? AND needs = ?",
      recipe,
      JSON.stringify(needs),
    );
  }

  queuedCount(): number {
    return this.#count("SELECT COUNT(*) AS n FROM jobs WHERE state = 'queued'");
  }

  /** How many wait before this one. */
  ahead(job: JobRow): number {
    return this.#count(
      "SELECT COUNT(*) AS n FROM jobs WHERE state = 'queued' AND (queued_at, build) < (?, ?)",
      job.queuedAt,
      job.build,
    );
  }

  jobsDue(now: number): JobRow[] {
    return this.#jobs("wake_at <= ? ORDER BY wake_at", now);
  }

  lease(build: string): Lease | undefined {
    return this.#leases("build = ?", build)[0];
  }

  leasesOf(agent: string): Lease[] {
    return this.#leases("agent = ? ORDER BY build", agent);
  }

  leasesDue(now: number): Lease[] {
    return this.#leases("wake_at <= ? ORDER BY wake_at", now);
  }

  /** Slots in use, of each agent with leases: also of one whose leases all yielded theirs. */
  slotsUsed(): Map<string, number> {
    const rows = this.#sql.exec<{ agent: string; n: number }>(
      "SELECT agent, SUM(yielded = 0) AS n FROM leases GROUP BY agent",
    );
    return new Map(rows.map(({ agent, n }) => [agent, n]));
  }

  /** Records a lease; a `reserved` one has its slot before the Build is asked. */
  addLease(
    job: { build: string; attempt: number },
    agent: string,
    state: LeaseState,
    wakeAt: number,
  ): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO leases (build, attempt, agent, state, wake_at) VALUES (?, ?, ?, ?, ?)",
      job.build,
      job.attempt,
      agent,
      state,
      wakeAt,
    );
    this.#sql.exec(
      "UPDATE jobs SET state = 'leased', expected = ?, wake_at = NULL WHERE build = ?",
      job.attempt,
      job.build,
    );
  }

  yieldSlot(build: string): void {
    this.#sql.exec("UPDATE leases SET yielded = 1 WHERE build = ?", build);
  }

  advance(build: string, state: LeaseState, wakeAt: number): void {
    this.#sql.exec(
      "UPDATE leases SET state = ?, wake_at = ? WHERE build = ?",
      state,
      wakeAt,
      build,
    );
  }

  cancelLease(build: string, reason: string): void {
    this.#sql.exec("UPDATE leases SET cancel = ? WHERE build = ?", reason, build);
  }

  /** Puts off the look at what an agent was sent but has not accepted. */
  awaitReturn(agent: string, wakeAt: number): void {
    this.#sql.exec(
      "UPDATE leases SET wake_at = ? WHERE agent = ? AND state IN ('reserved', 'assigned')",
      wakeAt,
      agent,
    );
  }

  /** Gives a lease up; the Build is told again at `wakeAt` (ms) unless it has answered. */
  giveUp(build: string, why: string, wakeAt: number): void {
    this.#sql.exec(
      "UPDATE leases SET state = 'losing', why = ?, tries = tries + 1, wake_at = ? WHERE build = ?",
      why,
      wakeAt,
      build,
    );
  }

  /** The earliest time (ms) at which a row wants to be looked at; null when none does. */
  nextWake(): number | null {
    const row = this.#sql.exec<{ at: number | null }>(
      `SELECT MIN(at) AS at FROM (SELECT MIN(wake_at) AS at FROM jobs WHERE wake_at IS NOT NULL
         UNION ALL SELECT MIN(wake_at) FROM leases)`,
    )[0];
    return row?.at ?? null;
  }

  #jobs(where: string, ...bindings: (string | number)[]): JobRow[] {
    return this.#sql
      .exec<StoredJob>(
        `SELECT build, recipe, needs, avoid, queued_at, expected, state, refusals, reason FROM jobs WHERE ${where}`,
        ...bindings,
      )
      .map((row) => ({
        build: row.build,
        recipe: row.recipe,
        needs: JSON.parse(row.needs),
        avoid: JSON.parse(row.avoid),
        queuedAt: row.queued_at,
        expected: row.expected,
        state: row.state as JobState,
        refusals: JSON.parse(row.refusals),
        reason: row.reason,
      }));
  }

  #leases(where: string, ...bindings: (string | number)[]): Lease[] {
    return this.#sql
      .exec<StoredLease>(
        `SELECT build, attempt, agent, state, cancel, why, tries FROM leases WHERE ${where}`,
        ...bindings,
      )
      .map((row) => ({ ...row, state: row.state as LeaseState }));
  }

  #count(query: string, ...bindings: (string | number)[]): number {
    return this.#sql.exec<{ n: number }>(query, ...bindings)[0]?.n ?? 0;
  }
}
