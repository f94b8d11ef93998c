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

  /** Decides on one new build of a caller while `waiting` others wait, and counts it when it may come in. */
  admit(caller: Caller, waiting: number): Admission {
    const { ratePerMinute, queueLimit } = this.#limits;
    if (waiting >= queueLimit)
      return { kind: "refused", code: "queue_full", retry_after_s: QUEUE_RETRY_SECONDS };
    const now = this.#clock.now();
    const row = this.#sql.exec<RateRow>("SELECT tokens, at FROM rates WHERE caller = ?", caller)[0];
    const tokens = row ? this.#refilled(row, now) : ratePerMinute;
    if (tokens < 1)
      return {
        kind: "refused",
        code: "rate_limited",
        retry_after_s: Math.ceil(((1 - tokens) / ratePerMinute) * 60),
      };
    // A bucket that nobody touched for a minute is full again: its row says nothing.
    this.#sql.exec("DELETE FROM rates WHERE at < ?", now - MINUTE_MS);
    this.#sql.exec(
      `INSERT INTO rates (caller, tokens, at) VALUES (?, ?, ?)
       ON CONFLICT (caller) DO UPDATE SET tokens = excluded.tokens, at = excluded.at`,
      caller,
      tokens - 1,
      now,
    );
    return { kind: "ok" };
  }

  #refilled({ tokens, at }: RateRow, now: number): number {
    const { ratePerMinute } = this.#limits;
    const elapsed = Math.max(0, now - at);
    return Math.min(ratePerMinute, tokens + (elapsed / MINUTE_MS) * ratePerMinute);
  }
}
