/**
 * Messages between objects (protocol rule 8): a row written with the state change that causes it, sent at
 * once and again with growing pauses until the other side has confirmed it. Receivers are idempotent.
 */
import type { Clock, Random, Sql } from "./ports.ts";

export type Message = { verb: string; key: string; body: unknown };

/** Sends one message. Resolves when the receiver has confirmed it; a throw means "again later". */
export type Deliver = (message: Message) => Promise<void>;

/** A message that goes later, without any fault. */
export class Postponed extends Error {
  override name = "Postponed";
}

/** Milliseconds before the first repetition; doubled for each further one. */
const FIRST_PAUSE_MS = 2_000;
/** Milliseconds of the longest pause: how late a healed fault is noticed. */
const LONGEST_PAUSE_MS = 60_000;
/** Messages of one delivery round: bounds what an object that was cut off for long sends at once. */
const ROUND = 32;

/** The outbox's table: one entry for the migrations of each object that has an outbox. */
export const OUTBOX_TABLE = `CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  verb TEXT NOT NULL,
  key TEXT NOT NULL,
  body TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  UNIQUE (verb, key)
) STRICT`;

type Row = { id: number; verb: string; key: string; body: string; attempts: number };

export class Outbox {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #deliver: Deliver;

  constructor(ports: { sql: Sql; clock: Clock; random: Random }, deliver: Deliver) {
    this.#sql = ports.sql;
    this.#clock = ports.clock;
    this.#random = ports.random;
    this.#deliver = deliver;
  }

  /** Writes a message; call it in the transaction of the state change. A newer one of the same verb and key takes the older's place. */
  put(verb: string, key: string, body: unknown): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO outbox (verb, key, body, attempts, next_at) VALUES (?, ?, ?, 0, ?)",
      verb,
      key,
      JSON.stringify(body ?? null),
      this.#clock.now() + FIRST_PAUSE_MS,
    );
  }

  /** Whether a message is not confirmed yet. */
  holds(verb: string, key: string): boolean {
    const rows = this.#sql.exec("SELECT 1 FROM outbox WHERE verb = ? AND key = ?", verb, key);
    return rows.length > 0;
  }

  /** Forgets a message that has lost its point. */
  drop(verb: string, key: string): void {
    this.#sql.exec("DELETE FROM outbox WHERE verb = ? AND key = ?", verb, key);
  }

  /** When the next repetition is due (ms since the epoch), or null when everything is confirmed. */
  nextAt(): number | null {
    return (
      this.#sql.exec<{ at: number | null }>("SELECT min(next_at) AS at FROM outbox")[0]?.at ?? null
    );
  }

  /** Sends what is new or due. Never throws; what fails stays for the alarm. */
  async send(): Promise<void> {
    const rows = this.#sql.exec<Row>(
      "SELECT id, verb, key, body, attempts FROM outbox WHERE attempts = 0 OR next_at <= ? ORDER BY id LIMIT ?",
      this.#clock.now(),
      ROUND,
    );
    // Claimed before the first await, so that an alarm in the middle does not send them a second time.
    for (const row of rows)
      this.#sql.exec(
        "UPDATE outbox SET attempts = attempts + 1, next_at = ? WHERE id = ?",
        this.#clock.now() + this.#pause(row.attempts),
        row.id,
      );
    await Promise.all(rows.map((row) => this.#sendOne(row)));
  }

  async #sendOne(row: Row): Promise<void> {
    try {
      await this.#deliver({ verb: row.verb, key: row.key, body: JSON.parse(row.body) });
    } catch {
      return;
    }
    // By id: a newer message of the same key was not the one that is confirmed here.
    this.#sql.exec("DELETE FROM outbox WHERE id = ?", row.id);
  }

  /** Exponential with jitter over its upper half, so that a thousand builds do not come back in one beat. */
  #pause(attempts: number): number {
    const full = Math.min(FIRST_PAUSE_MS * 2 ** attempts, LONGEST_PAUSE_MS);
    const fraction = Number.parseInt(this.#random.hex(4), 16) / 2 ** 32;
    return Math.round(full * (0.5 + fraction / 2));
  }
}
