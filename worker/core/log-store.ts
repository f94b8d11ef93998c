/**
 * The log of one build: rows of NDJSON, each entry at its append-only position (protocol rule 15). What a
 * reader sees is always a prefix of what is stored.
 */
import { LOG_BUILD_BYTES } from "../../shared/limits.ts";
import type { LogEntry } from "../../shared/log.ts";
import type { LogPage } from "./contracts.ts";
import type { Sql } from "./ports.ts";

/** Characters of one row: well below the platform's 2 MB a value, in whatever script the log is. */
const ROW_CHARS = 400_000;
/** Rows read at once while the log is copied: bounds what stands in memory. */
const COPY_ROWS = 16;

/** An entry before it has its position. */
export type NewEntry = Omit<LogEntry, "position">;

export class LogStore {
  readonly #sql: Sql;
  readonly #utf8 = new TextEncoder();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Position of the newest entry (0 when there is none), and bytes stored. */
  size(): { last: number; bytes: number } {
    const rows = this.#sql.exec<{ last: number; bytes: number }>(
      "SELECT last, bytes FROM log ORDER BY first DESC LIMIT 1",
    );
    return rows[0] ?? { last: 0, bytes: 0 };
  }

  /** Appends entries in the order given. */
  append(entries: readonly NewEntry[]): void {
    let position = this.size().last;
    let first = position + 1;
    let text = "";
    for (const entry of entries) {
      position++;
      const line = `${JSON.stringify({ position, ...entry })}\n`;
      if (text !== "" && text.length + line.length > ROW_CHARS) {
        this.#write(first, position - 1, text);
        first = position;
        text = "";
      }
      text += line;
    }
    if (text !== "") this.#write(first, position, text);
  }

  /**
   * Appends an agent's entries unless the build's log is at its cap: then one gap record says so, and what
   * follows is left out.
   */
  appendBounded(entries: readonly NewEntry[]): void {
    const newest = entries.at(-1);
    if (newest === undefined || this.size().bytes >= LOG_BUILD_BYTES) return;
    this.append(entries);
    if (this.size().bytes < LOG_BUILD_BYTES) return;
    const reason = `The log of this build is over ${LOG_BUILD_BYTES} bytes: what follows is left out.`;
    const { time, attempt } = newest;
    this.append([{ attempt, time, level: "warning", msg: reason, gap: { reason } }]);
  }

  /** Entries behind `after`, at least one where there is one, `maxBytes` bytes of JSON at most otherwise. */
  page(after: number, maxBytes: number): Pick<LogPage, "entries" | "position"> {
    const entries: LogEntry[] = [];
    let budget = maxBytes;
    let position = after;
    for (let row = this.#rowBehind(position); row !== null; row = this.#rowBehind(position)) {
      const lines = row.text.split("\n");
      for (let at = Math.max(position + 1, row.first); at <= row.last; at++) {
        const line = lines[at - row.first] as string;
        budget -= this.#utf8.encode(line).length + 1;
        if (budget < 0 && entries.length > 0) return { entries, position };
        entries.push(JSON.parse(line) as LogEntry);
        position = at;
      }
    }
    return { entries, position };
  }

  /** The position behind which the newest entries begin, as many as have `maxBytes` bytes of JSON at most. */
  beforeEnd(maxBytes: number): number {
    let position = this.size().last;
    for (let budget = maxBytes; position > 0; ) {
      const row = this.#rowBehind(position - 1) as { first: number; text: string };
      const lines = row.text.split("\n");
      for (; position >= row.first; position--) {
        budget -= this.#utf8.encode(lines[position - row.first]).length + 1;
        if (budget < 0) return position;
      }
    }
    return position;
  }

  /** The whole log as NDJSON, a few rows at a time. */
  *chunks(): Generator<string> {
    for (let after = 0; ; ) {
      const rows = this.#sql.exec<{ last: number; text: string }>(
        "SELECT last, text FROM log WHERE first > ? ORDER BY first LIMIT ?",
        after,
        COPY_ROWS,
      );
      const newest = rows.at(-1);
      if (newest === undefined) return;
      for (const { text } of rows) yield text;
      after = newest.last;
    }
  }

  /** Removes the rows, once their copy is confirmed. */
  clear(): void {
    this.#sql.exec("DELETE FROM log");
  }

  /** The row that holds position + 1: rows follow each other without a gap. */
  #rowBehind(position: number): { first: number; last: number; text: string } | null {
    const row = this.#sql.exec<{ first: number; last: number; text: string }>(
      "SELECT first, last, text FROM log WHERE first <= ? ORDER BY first DESC LIMIT 1",
      position + 1,
    )[0];
    return row !== undefined && row.last > position ? row : null;
  }

  #write(first: number, last: number, text: string): void {
    this.#sql.exec(
      "INSERT INTO log (first, last, bytes, text) VALUES (?, ?, ?, ?)",
      first,
      last,
      this.size().bytes + this.#utf8.encode(text).length,
      text,
    );
  }
}
