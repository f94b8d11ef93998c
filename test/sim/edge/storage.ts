/**
 * The storage of one object as the platform has it: SQLite whose writes are confirmed a moment later, all
 * together, and an output gate that holds what the object sends until what it wrote before is confirmed.
 * What was not is gone after a crash, with all that waited for it.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Sql, SqlRow, SqlValue } from "../../../worker/core/ports.ts";
import type { Kernel } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";

/** Milliseconds until a write is confirmed. */
const CONFIRM_MS = { least: 0.3, most: 6 };

const READS = /^\s*(?:SELECT|PRAGMA)\b/i;

type Prepared = { statement: StatementSync; reads: boolean };

export class Storage implements Sql {
  /** What the object asked to be woken for (ms since the epoch). */
  alarm: number | null = null;
  readonly #kernel: Kernel;
  readonly #random: SeededRandom;
  readonly #name: string;
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, Prepared>();
  /** Whether the confirmation works; false makes it fail and the object with it. */
  readonly #confirms: () => boolean;
  readonly #confirmed: (alarmMoved: boolean) => void;
  #alarmBefore: number | null = null;
  #dirty = false;
  #depth = 0;
  #waiting: (() => void)[] = [];
  #uncall: (() => void) | null = null;

  constructor(
    kernel: Kernel,
    random: SeededRandom,
    name: string,
    events: { confirms: () => boolean; confirmed: (alarmMoved: boolean) => void },
  ) {
    this.#kernel = kernel;
    this.#random = random;
    this.#name = name;
    this.#confirms = events.confirms;
    this.#confirmed = events.confirmed;
  }

  get dirty(): boolean {
    return this.#dirty;
  }

  exec<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Row[] {
    let prepared = this.#statements.get(query);
    if (prepared === undefined) {
      prepared = { statement: this.#database.prepare(query), reads: READS.test(query) };
      this.#statements.set(query, prepared);
    }
    if (!prepared.reads) this.#write();
    return prepared.statement.all(...(bindings as (string | number | null)[])) as Row[];
  }

  transaction<T>(body: () => T): T {
    this.#write();
    const savepoint = `nested_${this.#depth++}`;
    this.exec(`SAVEPOINT ${savepoint}`);
    try {
      const result = body();
      this.exec(`RELEASE ${savepoint}`);
      return result;
    } catch (error) {
      this.exec(`ROLLBACK TO ${savepoint}`);
      this.exec(`RELEASE ${savepoint}`);
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /** A look from outside, which neither writes nor counts. */
  peek<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Row[] {
    return this.exec(query, ...bindings);
  }

  setAlarm(at: number | null): void {
    if (at === this.alarm) return;
    this.#write();
    this.alarm = at;
  }

  /** The platform has begun to ring: what is armed from here on is another alarm. */
  alarmFired(): void {
    if (!this.#dirty || this.alarm === this.#alarmBefore) this.alarm = null;
    this.#alarmBefore = null;
  }

  /** Runs `send` once all that was written so far is confirmed; never, if that gets lost. */
  gate(send: () => void): void {
    if (this.#dirty) this.#waiting.push(send);
    else send();
  }

  /** Forgets what was not confirmed, and what waited for it. */
  lose(): void {
    if (!this.#dirty) return;
    this.#uncall?.();
    this.exec("ROLLBACK");
    this.#dirty = false;
    this.alarm = this.#alarmBefore;
    this.#waiting = [];
  }

  close(): void {
    this.#database.close();
  }

  #write(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#alarmBefore = this.alarm;
    this.#database.exec("BEGIN");
    const ms = this.#random.between(CONFIRM_MS.least, CONFIRM_MS.most);
    this.#uncall = this.#kernel.after(ms, `${this.#name} is stored`, () => this.#confirm());
  }

  #confirm(): void {
    if (!this.#confirms()) return;
    this.#database.exec("COMMIT");
    this.#dirty = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#confirmed(this.alarm !== this.#alarmBefore);
    for (const send of waiting) send();
  }
}
