/** A project's row, its deployments and replicas, as typed values. No decisions here. */
import type { DeploymentState, REPLICA_STATES } from "../../shared/apps.ts";
import type { AppSettings } from "../../shared/recipes/app.ts";
import { APP_MIGRATIONS } from "./app-schema.ts";
import type { BuildContext, Caller, Sealed } from "./contracts.ts";
import { isMigrated, migrate } from "./migrations.ts";
import type { Sql, SqlRow, SqlValue } from "./ports.ts";

export type ProjectRow = { name: string; current: number | null };

export type DeploymentRow = {
  generation: number;
  state: DeploymentState;
  build: string;
  rule: string;
  settings: AppSettings;
  fingerprint: string;
  context: BuildContext | null;
  rollback_of: number | null;
  caller: Caller;
  reason: string | null;
  /** Milliseconds since the epoch, as all times here. */
  created_at: number;
  live_at: number | null;
  ended_at: number | null;
};

/** building: its build goes on · ready: it was healthy and waits for its turn · live: requests go to it. */
export type Stage = "building" | "ready" | "live";

export type ReplicaRow = {
  build: string;
  generation: number;
  replica: number;
  stage: Stage;
  serve: string;
  sealed: Sealed;
  agent: string | null;
  name: string | null;
  state: (typeof REPLICA_STATES)[number];
  restarts: number;
  /** Of a lost one: why it could not be made anew the last time. */
  reason: string | null;
};

export type Variable = { name: string; sealed: Sealed };

const JSON_COLUMNS = new Set(["settings", "context"]);

export class AppRows {
  readonly #sql: Sql;
  #ready: boolean;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#ready = isMigrated(sql);
    if (this.#ready) migrate(sql, APP_MIGRATIONS);
  }

  /** False when this object never held a project: a question about one must leave no trace. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Makes the tables. */
  prepare(): void {
    if (this.#ready) return;
    migrate(this.#sql, APP_MIGRATIONS);
    this.#ready = true;
  }

  transaction<T>(body: () => T): T {
    return this.#sql.transaction(body);
  }

  project(): ProjectRow | null {
    return this.#all<ProjectRow>("SELECT name, current FROM project")[0] ?? null;
  }

  found(name: string): void {
    this.#sql.exec("INSERT INTO project (only, name, current) VALUES (1, ?, NULL)", name);
  }

  setCurrent(generation: number): void {
    this.#sql.exec("UPDATE project SET current = ?", generation);
  }

  // ---- deployments ----------------------------------------------------------------------------------

  /** Newest first. */
  deployments(): DeploymentRow[] {
    return this.#all("SELECT * FROM deployments ORDER BY generation DESC");
  }

  deployment(generation: number): DeploymentRow | null {
    return (
      this.#all<DeploymentRow>("SELECT * FROM deployments WHERE generation = ?", generation)[0] ??
      null
    );
  }

  deploymentOf(build: string): DeploymentRow | null {
    return this.#all<DeploymentRow>("SELECT * FROM deployments WHERE build = ?", build)[0] ?? null;
  }

  addDeployment(row: Omit<DeploymentRow, "generation">): DeploymentRow {
    const names = Object.keys(row);
    const [added] = this.#all<DeploymentRow>(
      `INSERT INTO deployments (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")}) RETURNING *`,
      ...Object.entries(row).map(([name, value]) => toColumn(name, value)),
    );
    return added as DeploymentRow;
  }

  patchDeployment(generation: number, fields: Partial<DeploymentRow>): void {
    this.#update("deployments", fields, "generation", generation);
  }

  removeDeployment(generation: number): void {
    this.#sql.exec("DELETE FROM deployments WHERE generation = ?", generation);
    this.dropEnv(generation);
  }

  // ---- replicas -------------------------------------------------------------------------------------

  replica(build: string): ReplicaRow | null {
    return this.#all<ReplicaRow>("SELECT * FROM replicas WHERE build = ?", build)[0] ?? null;
  }

  /** Of a generation, or all; by place, then by build. */
  replicas(generation: number | null = null): ReplicaRow[] {
    return this.#all(
      "SELECT * FROM replicas WHERE ?1 IS NULL OR generation = ?1 ORDER BY generation, replica, build",
      generation,
    );
  }

  addReplica(row: Pick<ReplicaRow, "build" | "generation" | "replica" | "serve" | "sealed">): void {
    this.#sql.exec(
      `INSERT INTO replicas (build, generation, replica, serve, sealed, stage, state, restarts)
       VALUES (?, ?, ?, ?, ?, 'building', 'starting', 0)`,
      row.build,
      row.generation,
      row.replica,
      row.serve,
      row.sealed,
    );
  }

  patchReplica(build: string, fields: Partial<ReplicaRow>): void {
    this.#update("replicas", fields, "build", build);
  }

  removeReplica(build: string): void {
    this.#sql.exec("DELETE FROM replicas WHERE build = ?", build);
  }

  // ---- environment ----------------------------------------------------------------------------------

  env(): Variable[] {
    return this.#all("SELECT name, sealed FROM env ORDER BY name");
  }

  setEnv(name: string, sealed: Sealed | null): void {
    if (sealed === null) this.#sql.exec("DELETE FROM env WHERE name = ?", name);
    else this.#sql.exec("INSERT OR REPLACE INTO env (name, sealed) VALUES (?, ?)", name, sealed);
  }

  /** Gives a deployment the variables of now. */
  keepEnv(generation: number): void {
    this.#sql.exec(
      "INSERT INTO deployed_env (generation, name, sealed) SELECT ?, name, sealed FROM env",
      generation,
    );
  }

  /** The variables that a deployment was given. */
  envOf(generation: number): Variable[] {
    return this.#all(
      "SELECT name, sealed FROM deployed_env WHERE generation = ? ORDER BY name",
      generation,
    );
  }

  dropEnv(generation: number): void {
    this.#sql.exec("DELETE FROM deployed_env WHERE generation = ?", generation);
  }

  /** Forgets the project; messages that are under way stay. Generations go on counting. */
  forget(): void {
    for (const table of ["project", "deployments", "replicas", "env", "deployed_env"])
      this.#sql.exec(`DELETE FROM ${table}`);
  }

  #all<T>(query: string, ...bindings: SqlValue[]): T[] {
    if (!this.#ready) return [];
    return this.#sql.exec(query, ...bindings).map((row) => fromRow<T>(row));
  }

  #update(table: string, fields: object, key: string, value: SqlValue): void {
    const entries = Object.entries(fields);
    this.#sql.exec(
      `UPDATE ${table} SET ${entries.map(([name]) => `${name} = ?`).join(", ")} WHERE ${key} = ?`,
      ...entries.map(([name, field]) => toColumn(name, field)),
      value,
    );
  }
}

function toColumn(name: string, value: unknown): SqlValue {
  if (value === null) return null;
  return JSON_COLUMNS.has(name) ? JSON.stringify(value) : (value as string | number);
}

function fromRow<T>(row: SqlRow): T {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      value !== null && JSON_COLUMNS.has(name) ? JSON.parse(value as string) : value,
    ]),
  ) as T;
}
