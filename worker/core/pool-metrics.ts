/** What a pool counts: ends by recipe and class, and how long things took. Stored, so that a restart loses nothing. */
import type { BuildState, EndClass } from "../../shared/builds.ts";
import type { Ended, PoolStats } from "./contracts.ts";
import type { Sql } from "./ports.ts";

type HistogramName = PoolStats["histograms"][number]["name"];

/** Upper bounds of the buckets, in seconds. */
const BUCKETS: Record<HistogramName, readonly number[]> = {
  dispatch_seconds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  queue_seconds: [0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 1800, 3600],
  run_seconds: [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600],
};

/** Builds that a mean of run times remembers: what happened long ago counts less and less. */
const MEAN_OVER = 50;

/** `le` of the row that holds what is above every bucket; SQLite has no infinity to write down. */
const ABOVE = 1e9;

export class PoolMetrics {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  observe(histogram: HistogramName, seconds: number): void {
    const le = BUCKETS[histogram].find((bound) => seconds <= bound) ?? ABOVE;
    this.#sql.exec(
      `INSERT INTO observations (histogram, le, count, sum) VALUES (?, ?, 1, ?)
       ON CONFLICT (histogram, le) DO UPDATE SET count = count + 1, sum = sum + excluded.sum`,
      histogram,
      le,
      seconds,
    );
  }

  countEnd(ended: Ended): void {
    this.#sql.exec(
      `INSERT INTO outcomes (recipe, outcome, class, count) VALUES (?, ?, ?, 1)
       ON CONFLICT (recipe, outcome, class) DO UPDATE SET count = count + 1`,
      ended.recipe,
      ended.outcome,
      ended.class ?? "",
    );
    if (ended.queued_ms !== null) this.observe("queue_seconds", ended.queued_ms / 1000);
    if (ended.running_ms === null) return;
    this.observe("run_seconds", ended.running_ms / 1000);
    this.#sql.exec(
      `INSERT INTO run_means (recipe, count, mean_ms) VALUES (?1, 1, ?2)
       ON CONFLICT (recipe) DO UPDATE SET count = MIN(count + 1, ?3),
         mean_ms = mean_ms + (?2 - mean_ms) / MIN(count + 1, ?3)`,
      ended.recipe,
      ended.running_ms,
      MEAN_OVER,
    );
  }

  /** Milliseconds that builds of a recipe ran on average lately; null before the first has ended. */
  meanRunMs(recipe: string): number | null {
    const rows = this.#sql.exec<{ mean_ms: number }>(
      "SELECT mean_ms FROM run_means WHERE recipe = ?",
      recipe,
    );
    return rows[0]?.mean_ms ?? null;
  }

  snapshot(): Pick<PoolStats, "ended" | "histograms"> {
    const ended = this.#sql
      .exec<{ recipe: string; outcome: string; class: string; count: number }>(
        "SELECT recipe, outcome, class, count FROM outcomes ORDER BY recipe, outcome, class",
      )
      .map((row) => ({
        recipe: row.recipe,
        outcome: row.outcome as BuildState,
        class: row.class === "" ? null : (row.class as EndClass),
        count: row.count,
      }));
    const names = Object.keys(BUCKETS) as HistogramName[];
    return { ended, histograms: names.map((name) => this.#histogram(name)) };
  }

  #histogram(name: HistogramName): PoolStats["histograms"][number] {
    const rows = this.#sql.exec<{ le: number; count: number; sum: number }>(
      "SELECT le, count, sum FROM observations WHERE histogram = ? ORDER BY le",
      name,
    );
    const upTo = (le: number) =>
      rows.reduce((count, row) => (row.le <= le ? count + row.count : count), 0);
    return {
      name,
      buckets: BUCKETS[name].map((le) => ({ le, count: upTo(le) })),
      sum: rows.reduce((sum, row) => sum + row.sum, 0),
      count: upTo(ABOVE),
    };
  }
}
