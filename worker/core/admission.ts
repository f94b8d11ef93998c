/**
 * Who may add a build to a queue: a token bucket for each caller, and the queue's length. Only builds
 * that are admitted count (spec conventions.md, "Go paths").
 */
import type { Caller } from "./contracts.ts";
import type { Clock, Sql } from "./ports.ts";

export type AdmissionLimits = {
  /** New builds a minute and caller; as many at once. */
  ratePerMinute: number;
  /** Builds that may wait. */
  queueLimit: number;
};

export type Admission =
  | { kind: "ok" }
  | { kind: "refused"; code: "rate_limited" | "queue_full"; retry_after_s: number };

const MINUTE_MS = 60_000;
/** Seconds to come back after when a queue is full: about when a short build has left it. */
const QUEUE_RETRY_SECONDS = 30;

type RateRow = { tokens: number; at: number };

export class AdmissionControl {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #limits: AdmissionLimits;

  constructor(sql: Sql, clock: Clock, limits: AdmissionLimits) {
    this.#sql = sql;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Whether one more build of a caller may come in while `waiting` others wait. Writes nothing. */
  check(caller: Caller, waiting: number): Admission {
    const { ratePerMinute, queueLimit } = this.#limits;
    if (waiting >= queueLimit)
      return { kind: "refused", code: "queue_full", retry_after_s: QUEUE_RETRY_SECONDS };
    const tokens = this.#tokens(caller, this.#clock.now());
    if (tokens < 1)
      return {
        kind: "refused",
        code: "rate_limited",
        retry_after_s: Math.ceil(((1 - tokens) / ratePerMinute) * 60),
      };
    return { kind: "ok" };
  }

  /** Counts a build that came in. */
  count(caller: Caller): void {
    const now = this.#clock.now();
    const tokens = this.#tokens(caller, now);
    // A bucket that nobody touched for a minute is full again: its row says nothing.
    this.#sql.exec("DELETE FROM rates WHERE at < ?", now - MINUTE_MS);
    this.#sql.exec(
      `INSERT INTO rates (caller, tokens, at) VALUES (?, ?, ?)
       ON CONFLICT (caller) DO UPDATE SET tokens = excluded.tokens, at = excluded.at`,
      caller,
      tokens - 1,
      now,
    );
  }

  #tokens(caller: Caller, now: number): number {
    const { ratePerMinute } = this.#limits;
    const row = this.#sql.exec<RateRow>("SELECT tokens, at FROM rates WHERE caller = ?", caller)[0];
    if (row === undefined) return ratePerMinute;
    const elapsed = Math.max(0, now - row.at);
    return Math.min(ratePerMinute, row.tokens + (elapsed / MINUTE_MS) * ratePerMinute);
  }
}
