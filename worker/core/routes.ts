/** All projects, and the table of rules: which one a request is for. One object holds it; the edge keeps copies of the rules for seconds. */
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
  [
    "CREATE TABLE projects (project TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    // None of a project until it is live, two while the next deployment takes over.
    `CREATE TABLE rules (
      rule TEXT PRIMARY KEY,
      project TEXT NOT NULL
    ) STRICT, WITHOUT ROWID`,
    "CREATE INDEX rules_of ON rules (project)",
    "INSERT INTO projects (project) SELECT project FROM routes",
    "INSERT INTO rules (rule, project) SELECT rule, project FROM routes",
    "DROP TABLE routes",
  ],
];

export class RoutesCore implements RoutesRpc {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
    migrate(sql, MIGRATIONS);
  }

  async put(project: string, rules: string[]): Promise<Route[]> {
    return this.#sql.transaction(() => {
      this.#sql.exec("INSERT OR IGNORE INTO projects (project) VALUES (?)", project);
      this.#sql.exec("DELETE FROM rules WHERE project = ?", project);
      for (const rule of rules)
        this.#sql.exec("INSERT OR IGNORE INTO rules (rule, project) VALUES (?, ?)", rule, project);
      return rules
        .flatMap((rule) => this.#route(rule) ?? [])
        .filter((route) => route.project !== project);
    });
  }

  async holder(rule: string): Promise<string | null> {
    return this.#route(rule)?.project ?? null;
  }

  async remove(project: string): Promise<void> {
    this.#sql.transaction(() => {
      this.#sql.exec("DELETE FROM rules WHERE project = ?", project);
      this.#sql.exec("DELETE FROM projects WHERE project = ?", project);
    });
  }

  async list(): Promise<Route[]> {
    return this.#sql.exec<Route>(
      "SELECT project, rule FROM rules ORDER BY length(rule) DESC, project",
    );
  }

  async projects(): Promise<string[]> {
    const rows = this.#sql.exec<{ project: string }>(
      "SELECT project FROM projects ORDER BY project",
    );
    return rows.map(({ project }) => project);
  }

  #route(rule: string): Route | null {
    const query = "SELECT project, rule FROM rules WHERE rule = ?";
    return this.#sql.exec<Route>(query, rule)[0] ?? null;
  }
}
