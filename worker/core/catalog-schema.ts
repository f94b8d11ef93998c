/** The tables of the Catalog object. Changed only by a further migration (migrations.ts). */
import type { BuildRecord } from "../../shared/builds.ts";
import { placeOf } from "../../shared/recipes/index.ts";
import type { Migration } from "./migrations.ts";
import type { Sql } from "./ports.ts";

/** Rows that the backfill holds in memory at a time: a record has about two kilobytes. */
const BACKFILL_ROWS = 500;

export const CATALOG_MIGRATIONS: readonly Migration[] = [
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
  [
    "ALTER TABLE builds RENAME TO old_builds",
    "DROP INDEX builds_newest",
    // By `serial` the words of a build are found. `success`: of the ended build of a package; null for every other.
    `CREATE TABLE builds (
      serial INTEGER PRIMARY KEY,
      build TEXT NOT NULL UNIQUE,
      recipe TEXT NOT NULL,
      state TEXT NOT NULL,
      visibility TEXT NOT NULL,
      queued_at TEXT NOT NULL,
      ended_at TEXT,
      repository TEXT,
      namespace TEXT,
      name TEXT NOT NULL,
      version TEXT,
      variant TEXT,
      success INTEGER,
      record TEXT NOT NULL
    ) STRICT`,
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = '')",
    `INSERT INTO builds (build, recipe, state, visibility, queued_at, name, record)
      SELECT build, recipe, state, visibility, queued_at, '', record FROM old_builds ORDER BY queued_at, build`,
    "DROP TABLE old_builds",
    placeBuilds,
    // One for each thing to look for, all in the order in which builds are listed (catalog-builds.ts).
    "CREATE INDEX builds_newest ON builds (visibility, queued_at DESC, build DESC)",
    ...["recipe", "state", "repository", "namespace", "name", "version", "variant"].map(
      (column) =>
        `CREATE INDEX builds_by_${column} ON builds (visibility, ${column}, queued_at DESC, build DESC)`,
    ),
    "CREATE INDEX packages_newest ON builds (success, ended_at DESC, build DESC) WHERE success IS NOT NULL",
    // Finds the builds of a name, and whether there is a newer one of the same package (catalog-packages.ts).
    `CREATE INDEX packages_by_name ON builds (success, name, namespace, version, variant, ended_at DESC, build DESC)
      WHERE success IS NOT NULL`,
    `CREATE TABLE names (
      full_name TEXT PRIMARY KEY,
      repository TEXT NOT NULL,
      url TEXT NOT NULL,
      verified INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`,
    "CREATE TABLE webhooks (digest TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX webhooks_oldest ON webhooks (at)",
  ],
  ["ALTER TABLE names ADD COLUMN claimed_at INTEGER NOT NULL DEFAULT 0"],
];

/** By what builds are found, from records that were stored before anybody looked for it. */
function placeBuilds(sql: Sql): void {
  for (let last = 0; ; ) {
    const rows = sql.exec<{ serial: number; record: string }>(
      "SELECT serial, record FROM builds WHERE serial > ? ORDER BY serial LIMIT ?",
      last,
      BACKFILL_ROWS,
    );
    for (const { serial, record } of rows) {
      const { target, ended_at } = JSON.parse(record) as BuildRecord;
      const { repository, namespace, name, version, variant } = placeOf(target, null);
      sql.exec(
        `UPDATE builds SET ended_at = ?, repository = ?, namespace = ?, name = ?, version = ?, variant = ?
         WHERE serial = ?`,
        ended_at,
        repository,
        namespace,
        name,
        version,
        variant,
        serial,
      );
      const words = [repository, namespace, name].join(" ");
      sql.exec("INSERT INTO words (rowid, text) VALUES (?, ?)", serial, words);
      last = serial;
    }
    if (rows.length < BACKFILL_ROWS) return;
  }
}
