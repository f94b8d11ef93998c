import type { Sql } from "./ports.ts";

/** Statements, one each, and what no statement can say. */
export type Migration = readonly (string | ((sql: Sql) => void))[];

/**
 * Brings an object's tables to the newest version. `migrations[i]` holds the steps that
 * lead from version i to i + 1; an entry that was ever deployed is never changed, only followed by another.
 * Each migration is one transaction together with its version number.
 */
export function migrate(sql: Sql, migrations: readonly Migration[]): void {
  sql.exec("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
  const stored = sql.exec<{ version: number }>("SELECT version FROM schema_version")[0];
  for (let version = stored?.version ?? 0; version < migrations.length; version++)
    sql.transaction(() => {
      for (const step of migrations[version] ?? [])
        if (typeof step === "string") sql.exec(step);
        else step(sql);
      sql.exec("DELETE FROM schema_version");
      sql.exec("INSERT INTO schema_version (version) VALUES (?)", version + 1);
    });
}

/** Whether this object ever stored anything. Looks without writing: a question about an unknown name must leave no trace. */
export function isMigrated(sql: Sql): boolean {
  return (
    sql.exec(
      "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
    ).length > 0
  );
}
