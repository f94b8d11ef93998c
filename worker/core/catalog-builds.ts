/** The index of builds: every state of a build that it is told, every list of builds that somebody asks for. */
import {
  type BuildRecord,
  type BuildState,
  isTerminal,
  VISIBILITIES,
} from "../../shared/builds.ts";
import { placeOf } from "../../shared/recipes/index.ts";
import type { ListQuery } from "./contracts.ts";
import type { Sql, SqlValue } from "./ports.ts";

/** What a list may be narrowed by, what leaves the fewest builds first: its index is the one that is walked. */
const FILTERS = [
  "name",
  "repository",
  "namespace",
  "version",
  "variant",
  "state",
  "recipe",
] as const;
/** Builds among which words find: the newest. Bounds what one request costs whose words are everywhere. */
const WORD_MATCHES = 2_000;
/** Words of one query that count. */
const WORDS = 8;

/** What decides which of two builds is the newer one. */
export type Position = { at: string; build: string };
type Row = Position & { record: string };

export class BuildIndex {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Takes the newest state of a build. What comes late is ignored: an end is never taken back. */
  put(record: BuildRecord): void {
    this.#sql.transaction(() => {
      const known = this.#sql.exec<{ state: BuildState }>(
        "SELECT state FROM builds WHERE build = ?",
        record.build_id,
      )[0];
      if (known === undefined) this.#add(record);
      else if (!isTerminal(known.state) || isTerminal(record.state)) this.#change(record);
    });
  }

  /** Builds, newest first; null for a cursor that `list` did not make. */
  list(query: ListQuery): { builds: BuildRecord[]; cursor: string | null } | null {
    const after = query.cursor === undefined ? null : decodeCursor(query.cursor);
    if (after === null && query.cursor !== undefined) return null;
    const visible = query.all ? VISIBILITIES : (["public"] as const);
    // Each visibility is a walk of its own along an index.
    const rows = visible
      .flatMap((visibility) => this.#select(visibility, query, after))
      .sort(newestFirst);
    const page = rows.slice(0, query.limit);
    const last = rows.length > query.limit ? page.at(-1) : undefined;
    return {
      builds: page.map(({ record }) => JSON.parse(record)),
      cursor: last ? encodeCursor(last) : null,
    };
  }

  #add(record: BuildRecord): void {
    const { repository, namespace, name, version, variant } = placeOf(
      record.target,
      record.package,
    );
    const [{ serial }] = this.#sql.exec<{ serial: number }>(
      `INSERT INTO builds (build, recipe, state, visibility, queued_at, ended_at,
         repository, namespace, name, version, variant, success, record)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING serial`,
      record.build_id,
      record.recipe,
      record.state,
      record.visibility,
      record.queued_at,
      record.ended_at,
      repository,
      namespace,
      name,
      version,
      variant,
      successOf(record),
      JSON.stringify(record),
    ) as [{ serial: number }];
    const words = [repository, namespace, name].join(" ");
    this.#sql.exec("INSERT INTO words (rowid, text) VALUES (?, ?)", serial, words);
  }

  /** Sets what an attempt may change; a build keeps its repository and its name. */
  #change(record: BuildRecord): void {
    const { version, variant } = placeOf(record.target, record.package);
    this.#sql.exec(
      `UPDATE builds SET state = ?, ended_at = ?, version = ?, variant = ?, success = ?, record = ? WHERE build = ?`,
      record.state,
      record.ended_at,
      version,
      variant,
      successOf(record),
      JSON.stringify(record),
      record.build_id,
    );
  }

  #select(visibility: string, query: ListQuery, after: Position | null): Row[] {
    const named = FILTERS.filter((filter) => query[filter] !== undefined);
    const where = ["visibility = ?", ...named.map((filter) => `${filter} = ?`)];
    const bindings: SqlValue[] = [visibility, ...named.map((filter) => query[filter] as string)];
    const words = query.text === undefined ? null : matchOf(query.text);
    if (words === "") return [];
    if (words !== null) {
      where.push(
        `serial IN (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT ${WORD_MATCHES})`,
      );
      bindings.push(words);
    }
    if (after !== null) {
      where.push("(queued_at, build) < (?, ?)");
      bindings.push(after.at, after.build);
    }
    return this.#sql.exec<Row>(
      `SELECT queued_at AS at, build, record FROM builds ${pathOf(named[0], words)} WHERE ${where.join(" AND ")}
       ORDER BY queued_at DESC, build DESC LIMIT ?`,
      ...bindings,
      query.limit + 1,
    );
  }
}

/** Whether a package was made; null while it is being built, and for what is none. */
function successOf({ state, package: built }: BuildRecord): number | null {
  return built !== null && isTerminal(state) ? Number(state === "succeeded") : null;
}

/** The full-text query for builds that have a word beginning with each of `text`; "" when it holds none. */
function matchOf(text: string): string {
  const words = text.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== "");
  return words
    .slice(0, WORDS)
    .map((word) => `"${word}"*`)
    .join(" ");
}

/** By which index SQLite is to go: left alone it takes the one that most of what is asked for is in. */
function pathOf(first: (typeof FILTERS)[number] | undefined, words: string | null): string {
  const isBroad = first === undefined || first === "state" || first === "recipe";
  if (words !== null && isBroad) return "NOT INDEXED";
  return `INDEXED BY builds_${first === undefined ? "newest" : `by_${first}`}`;
}

export function newestFirst(a: Position, b: Position): number {
  const isOlder = a.at === b.at ? a.build < b.build : a.at < b.at;
  return isOlder ? 1 : -1;
}

function encodeCursor({ at, build }: Position): string {
  return btoa(`${at} ${build}`).replaceAll("=", "");
}

function decodeCursor(cursor: string): Position | null {
  if (!/^[A-Za-z0-9+/]{1,200}$/.test(cursor) || cursor.length % 4 === 1) return null;
  const match = /^([0-9TZ:.-]{20,30}) ([0-9a-f]{32})$/.exec(atob(cursor));
  return match ? { at: match[1] as string, build: match[2] as string } : null;
}
