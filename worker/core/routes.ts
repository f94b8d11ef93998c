/** The table of all rules: which project a request is for. One object holds it; the edge keeps copies for seconds. */
import type { Route, RoutesRpc } from "./app-contracts.ts";
import { migrate } from "./migrations.ts";
import type { Sql } from "./ports.ts";

const MIGRATIONS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE routes (
      project TEXT PRIMARY KEY,
      rule TEXT NOT NULL UNIQUE
    ) STRICT, WITHOUT ROWID`,
  ],
];

export class RoutesCore implements RoutesRpc {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
    migrate(sql, MIGRATIONS);
  }

  async put({ project, rule }: Route): Promise<{ kind: "ok" } | { kind: "taken"; by: string }> {
    const by = await this.holder(rule);
    if (by !== null && by !== project) return { kind: "taken", by };
    this.#sql.exec("INSERT OR REPLACE INTO routes (project, rule) VALUES (?, ?)", project, rule);
    return { kind: "ok" };
  }

  async holder(rule: string): Promise<string | null> {
    const row = this.#sql.exec<{ project: string }>(
      "SELECT project FROM routes WHERE rule = ?",
      rule,
    )[0];
    return row?.project ?? null;
  }

  async remove(project: string): Promise<void> {
    this.#sql.exec("DELETE FROM routes WHERE project = ?", project);
  }

  async list(): Promise<Route[]> {
    return this.#sql.exec<Route>(
      "SELECT project, rule FROM routes ORDER BY length(rule) DESC, project",
    );
  }
}
