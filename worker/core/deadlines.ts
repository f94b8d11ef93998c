/**
 * An object has one alarm and several things that fall due: this table holds them by name, and the alarm is
 * always the earliest of them and of the outbox. Because the rows outlive a fired or lost alarm, the
 * constructor only has to call `rearm` (protocol rule 8).
 */
import type { Outbox } from "./outbox.ts";
import type { Alarm, Clock, Sql } from "./ports.ts";

/** The deadlines' table: one entry for the migrations of each object that has deadlines. */
export const DEADLINES_TABLE = `CREATE TABLE deadlines (
  name TEXT PRIMARY KEY,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID`;

/** Milliseconds after which a deadline whose handling failed is tried again. */
const RETRY_MS = 5_000;

export class Deadlines {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #outbox: Outbox;

  constructor(ports: { sql: Sql; clock: Clock; alarm: Alarm }, outbox: Outbox) {
    this.#sql = ports.sql;
    this.#clock = ports.clock;
    this.#alarm = ports.alarm;
    this.#outbox = outbox;
  }

  /** Sets or moves the deadline `name` to `at` (ms since the epoch). Call `rearm` once the state change is written. */
  set(name: string, at: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO deadlines (name, at) VALUES (?, ?)", name, at);
  }

  clear(name: string): void {
    this.#sql.exec("DELETE FROM deadlines WHERE name = ?", name);
  }

  clearAll(): void {
    this.#sql.exec("DELETE FROM deadlines");
  }

  at(name: string): number | null {
    return (
      this.#sql.exec<{ at: number }>("SELECT at FROM deadlines WHERE name = ?", name)[0]?.at ?? null
    );
  }

  /** Arms the object's alarm for whatever comes first; disarms it when nothing is left to do. */
  rearm(): void {
    const first = this.#sql.exec<{ at: number | null }>("SELECT min(at) AS at FROM deadlines")[0]
      ?.at;
    const times = [first ?? null, this.#outbox.nextAt()].filter((at) => at !== null);
    this.#alarm.set(times.length === 0 ? null : Math.min(...times));
  }

  /**
   * Hands each deadline that has passed to `expire`. One that is neither cleared nor moved by it, or for which
   * it throws, comes back after a pause.
   */
  async run(expire: (name: string) => void | Promise<void>): Promise<void> {
    const now = this.#clock.now();
    const due = this.#sql.exec<{ name: string }>(
      "SELECT name FROM deadlines WHERE at <= ? ORDER BY at, name",
      now,
    );
    for (const { name } of due) {
      // What came before it may have moved it.
      if (!this.#isDue(name, now)) continue;
      try {
        await expire(name);
      } catch {
        // Its row is still there: it comes back after the pause below.
      }
      if (this.#isDue(name, now)) this.set(name, this.#clock.now() + RETRY_MS);
    }
  }

  #isDue(name: string, now: number): boolean {
    const at = this.at(name);
    return at !== null && at <= now;
  }
}
