/**
 * What is known across all objects: our tokens (as hashes), an index of builds, the pools. Times are
 * milliseconds inside and RFC 3339 outside.
 */
import { type BuildRecord, type BuildState, isTerminal } from "../../shared/builds.ts";
import type { Scope, TokenView } from "./contracts.ts";
import type { Clock, Sql } from "./ports.ts";

export const CATALOG_MIGRATIONS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE tokens (
      id TEXT PRIMARY KEY,
      scope TEXT NOT NULL,
      name TEXT NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      created_at INTEGER NOT NULL,
      expires_at INTEGER,
      used_at INTEGER
    ) STRICT`,
    `CREATE TABLE builds (
      build TEXT PRIMARY KEY,
      recipe TEXT NOT NULL,
      state TEXT NOT NULL,
      visibility TEXT NOT NULL,
      queued_at TEXT NOT NULL,
      record TEXT NOT NULL
    ) STRICT`,
    "CREATE INDEX builds_newest ON builds (visibility, queued_at DESC, build DESC)",
    "CREATE TABLE pools (pool TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
  ],
];

/** Milliseconds by which "last used" may be behind: a token in use must not cost a write each time. */
const USED_GRAIN_MS = 60 * 60_000;

type TokenRow = {
  id: string;
  scope: string;
  name: string;
  created_at: number;
  expires_at: number | null;
  used_at: number | null;
};

export type ListQuery = { recipe?: string; state?: BuildState; cursor?: string; limit: number };

export class CatalogStore {
  readonly #sql: Sql;
  readonly #clock: Clock;

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  /** `hash` is the SHA-256 of the token: the token itself is never stored. */
  addToken(
    token: { id: string; hash: string; scope: Scope; name: string },
    expires_in_s: number | null,
  ): TokenView {
    const now = this.#clock.now();
    const rows = this.#sql.exec<TokenRow>(
      `INSERT INTO tokens (id, scope, name, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
       RETURNING id, scope, name, created_at, expires_at, used_at`,
      token.id,
      token.scope,
      token.name,
      token.hash,
      now,
      expires_in_s === null ? null : now + expires_in_s * 1000,
    );
    return toView(rows[0] as TokenRow);
  }

  /** The token of that hash; null when there is none or it has expired. */
  checkToken(hash: string): { id: string; scope: Scope } | null {
    const row = this.#sql.exec<TokenRow>(
      "SELECT id, scope, name, created_at, expires_at, used_at FROM tokens WHERE hash = ?",
      hash,
    )[0];
    const now = this.#clock.now();
    if (row === undefined || (row.expires_at !== null && row.expires_at <= now)) return null;
    if (row.used_at === null || now - row.used_at >= USED_GRAIN_MS)
      this.#sql.exec("UPDATE tokens SET used_at = ? WHERE id = ?", now, row.id);
    return { id: row.id, scope: row.scope as Scope };
  }

  listTokens(): TokenView[] {
    return this.#sql
      .exec<TokenRow>(
        "SELECT id, scope, name, created_at, expires_at, used_at FROM tokens ORDER BY created_at, id",
      )
      .map(toView);
  }

  revokeToken(id: string): boolean {
    return this.#sql.exec("DELETE FROM tokens WHERE id = ? RETURNING id", id).length > 0;
  }

  /** Takes the newest state of a build. What comes late is ignored: an end is never taken back. */
  put(record: BuildRecord): void {
    const known = this.#sql.exec<{ state: string }>(
      "SELECT state FROM builds WHERE build = ?",
      record.build_id,
    )[0];
    if (known && isTerminal(known.state as BuildState) && !isTerminal(record.state)) return;
    this.#sql.exec(
      `INSERT OR REPLACE INTO builds (build, recipe, state, visibility, queued_at, record)
       VALUES (?, ?, ?, ?, ?, ?)`,
      record.build_id,
      record.recipe,
      record.state,
      record.visibility,
      record.queued_at,
      JSON.stringify(record),
    );
  }

  /** Public builds, newest first; null for a cursor that `list` did not make. */
  list(query: ListQuery): { builds: BuildRecord[]; cursor: string | null } | null {
    const after = query.cursor === undefined ? null : decodeCursor(query.cursor);
    if (after === null && query.cursor !== undefined) return null;
    const rows = this.#sql.exec<{ queued_at: string; build: string; record: string }>(
      `SELECT queued_at, build, record FROM builds
       WHERE visibility = 'public' AND (?1 IS NULL OR recipe = ?1) AND (?2 IS NULL OR state = ?2)
         AND (?3 IS NULL OR (queued_at, build) < (?3, ?4))
       ORDER BY queued_at DESC, build DESC LIMIT ?5`,
      query.recipe ?? null,
      query.state ?? null,
      after?.queuedAt ?? null,
      after?.build ?? null,
      query.limit + 1,
    );
    const page = rows.slice(0, query.limit);
    const last = rows.length > query.limit ? page.at(-1) : undefined;
    return {
      builds: page.map(({ record }) => JSON.parse(record)),
      cursor: last ? encodeCursor(last.queued_at, last.build) : null,
    };
  }

  pools(): string[] {
    return this.#sql
      .exec<{ pool: string }>("SELECT pool FROM pools ORDER BY pool")
      .map(({ pool }) => pool);
  }

  addPool(pool: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO pools (pool) VALUES (?)", pool);
  }
}

function toView(row: TokenRow): TokenView {
  return {
    id: row.id,
    scope: row.scope as Scope,
    name: row.name,
    created_at: toTime(row.created_at),
    expires_at: row.expires_at === null ? null : toTime(row.expires_at),
    last_used_at: row.used_at === null ? null : toTime(row.used_at),
  };
}

function toTime(ms: number): string {
  return new Date(ms).toISOString();
}

function encodeCursor(queuedAt: string, build: string): string {
  return btoa(`${queuedAt} ${build}`).replaceAll("=", "");
}

function decodeCursor(cursor: string): { queuedAt: string; build: string } | null {
  if (!/^[A-Za-z0-9+/]{1,200}$/.test(cursor) || cursor.length % 4 === 1) return null;
  const match = /^([0-9TZ:.-]{20,30}) ([0-9a-f]{32})$/.exec(atob(cursor));
  return match ? { queuedAt: match[1] as string, build: match[2] as string } : null;
}
