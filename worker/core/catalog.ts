/**
 * What is known across all objects: our tokens (as hashes), the pools, the webhooks that were seen; builds and
 * packages have files of their own. Times are milliseconds inside and RFC 3339 outside.
 */
import { BuildIndex } from "./catalog-builds.ts";
import { PackageIndex } from "./catalog-packages.ts";
import type { Scope, TokenView } from "./contracts.ts";
import type { Clock, Sql } from "./ports.ts";

/** Milliseconds by which "last used" may be behind: a token in use must not cost a write each time. */
const USED_GRAIN_MS = 60 * 60_000;
/** Milliseconds for which a webhook is known again: a year. A signature has no date of its own. */
const WEBHOOK_MEMORY_MS = 365 * 24 * 60 * 60_000;

type TokenRow = {
  id: string;
  scope: string;
  name: string;
  created_at: number;
  expires_at: number | null;
  used_at: number | null;
};

export class CatalogStore {
  readonly builds: BuildIndex;
  readonly packages: PackageIndex;
  readonly #sql: Sql;
  readonly #clock: Clock;

  constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
    this.builds = new BuildIndex(sql);
    this.packages = new PackageIndex(sql, clock);
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

  pools(): string[] {
    return this.#sql
      .exec<{ pool: string }>("SELECT pool FROM pools ORDER BY pool")
      .map(({ pool }) => pool);
  }

  addPool(pool: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO pools (pool) VALUES (?)", pool);
  }

  /** Whether a webhook, by the SHA-256 of its body, was taken before. */
  remembers(digest: string): boolean {
    const since = this.#clock.now() - WEBHOOK_MEMORY_MS;
    const known = "SELECT digest FROM webhooks WHERE digest = ? AND at > ?";
    return this.#sql.exec(known, digest, since).length > 0;
  }

  remember(digest: string): void {
    const now = this.#clock.now();
    this.#sql.exec("DELETE FROM webhooks WHERE at <= ?", now - WEBHOOK_MEMORY_MS);
    this.#sql.exec("INSERT OR IGNORE INTO webhooks (digest, at) VALUES (?, ?)", digest, now);
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
