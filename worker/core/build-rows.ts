/** The build's row, its attempts and callers, as typed values. No decisions here. */
import type { Artifact, BuildRecord, BuildState, EndClass } from "../../shared/builds.ts";
import { MAX_CREDENTIALS } from "../../shared/limits.ts";
import type { AttemptUp } from "../../shared/protocol.ts";
import type { PackageFacts } from "../../shared/recipes/erlang.ts";
import type { Target } from "../../shared/recipes/index.ts";
import { BUILD_MIGRATIONS, BUILD_TABLES } from "./build-schema.ts";
import type { BuildContext, BuildRequest, Caller, Sealed } from "./contracts.ts";
import type { Manifest } from "./manifest.ts";
import { isMigrated, migrate } from "./migrations.ts";
import type { Sql, SqlRow, SqlValue } from "./ports.ts";

/**
 * queued: no attempt is live · assigned: one is minted, its start not confirmed · running · publishing: the
 * commit point is stored (rule 4) · ended.
 */
export type Stage = "queued" | "assigned" | "running" | "publishing" | "ended";

/**
 * asked: the pool has not answered and nobody was promised anything · promised: the poster was told yes
 * although the pool could not be reached, so it must take the build · granted.
 */
export type Admission = "asked" | "promised" | "granted";

export type Result = Extract<AttemptUp, { t: "result" }>;

export type BuildRow = {
  id: string;
  key: string;
  target: Target;
  pool: string;
  posted_by: Caller;
  stage: Stage;
  admission: Admission;
  outcome: BuildState | null;
  class: EndClass | null;
  reason: string | null;
  /** The newest minted number; 0 before the first. */
  attempt: number;
  queued_at: number;
  /** First confirmed start, ms since the epoch. */
  started_at: number | null;
  ended_at: number | null;
  /** Set once a cancel was accepted; the build ends when its attempt has. */
  cancel_reason: string | null;
  manifest: Manifest | null;
  artifacts: Omit<Artifact, "url">[];
  repositories: string[];
  phases: Record<string, number>;
  /** Of the image that the attempt pushed. */
  digest: string | null;
  /** Of an Erlang package, what its attempt found out. */
  facts: PackageFacts | null;
  /** Builds that it leads to. */
  follows: BuildRecord["follows"];
  /** What the request sent along, until the build has ended. */
  context: BuildContext | null;
  /** Agents that get it only when no other can. */
  avoid: readonly string[];
  log_moved: boolean;
};

export type AttemptRow = {
  n: number;
  agent: string;
  name: string;
  instance: string;
  lease: string;
  started: boolean;
  lost: boolean;
  acked: number;
  epoch: number;
  phase: string | null;
  result: Result | null;
};

const JSON_COLUMNS = new Set([
  "target",
  "manifest",
  "artifacts",
  "repositories",
  "phases",
  "facts",
  "follows",
  "context",
  "avoid",
  "result",
]);
const BOOLEAN_COLUMNS = new Set(["log_moved", "started", "lost"]);

export class BuildRows {
  readonly #sql: Sql;
  #ready: boolean;
  /** What `build` read last; undefined since something was written. */
  #build: BuildRow | null | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#ready = isMigrated(sql);
    if (this.#ready) migrate(sql, BUILD_MIGRATIONS);
  }

  /** Null when this object never held a build. */
  build(): BuildRow | null {
    if (!this.#ready) return null;
    if (this.#build === undefined) {
      const row = this.#sql.exec("SELECT * FROM build")[0];
      this.#build = row ? fromRow<BuildRow>(row) : null;
    }
    return this.#build;
  }

  /** One transaction; a throw rolls it back. */
  transaction<T>(body: () => T): T {
    try {
      return this.#sql.transaction(body);
    } catch (error) {
      this.#build = undefined;
      throw error;
    }
  }

  create(id: string, request: BuildRequest, now: number): void {
    migrate(this.#sql, BUILD_MIGRATIONS);
    this.#ready = true;
    const row: BuildRow = {
      id,
      key: request.key,
      target: request.target,
      pool: request.pool,
      posted_by: request.caller,
      stage: "queued",
      admission: "asked",
      outcome: null,
      class: null,
      reason: null,
      attempt: 0,
      queued_at: now,
      started_at: null,
      ended_at: null,
      cancel_reason: null,
      manifest: null,
      artifacts: [],
      repositories: [],
      phases: {},
      digest: null,
      facts: null,
      follows: [],
      context: request.context ?? null,
      avoid: request.avoid ?? [],
      log_moved: false,
    };
    this.#insert("build", { only: 1, ...row });
    this.#build = undefined;
  }

  patch(fields: Partial<BuildRow>): void {
    this.#update("build", fields, "only", 1);
    this.#build = undefined;
  }

  /** Leaves nothing behind, not even a table. */
  erase(): void {
    for (const table of BUILD_TABLES) this.#sql.exec(`DROP TABLE IF EXISTS ${table}`);
    this.#ready = false;
    this.#build = undefined;
  }

  attempt(n: number): AttemptRow | null {
    if (!this.#ready) return null;
    const row = this.#sql.exec("SELECT * FROM attempts WHERE n = ?", n)[0];
    return row ? fromRow<AttemptRow>(row) : null;
  }

  /** Writes a freshly minted attempt; a second mint of the same number takes the first one's lease away. */
  mint(attempt: Pick<AttemptRow, "n" | "agent" | "name" | "instance" | "lease">): void {
    this.#sql.exec("DELETE FROM attempts WHERE n = ?", attempt.n);
    this.#insert("attempts", {
      ...attempt,
      started: false,
      lost: false,
      acked: 0,
      epoch: 0,
      phase: null,
      result: null,
    });
  }

  patchAttempt(n: number, fields: Partial<AttemptRow>): void {
    this.#update("attempts", fields, "n", n);
  }

  /** Attempts that were confirmed and lost (rule 3). */
  lostStarts(): number {
    return this.#count("SELECT count(*) AS n FROM attempts WHERE started = 1 AND lost = 1");
  }

  /** Keys in the bucket that were handed out to this build's attempts. */
  uploadKeys(): string[] {
    return this.#sql.exec<{ key: string }>("SELECT key FROM uploads").map(({ key }) => key);
  }

  /** Adds a caller, its newer credential, or its interest again after it withdrew. */
  join(caller: Caller, credential: Sealed | null, now: number): void {
    this.#sql.exec(
      `INSERT INTO callers (caller, credential, joined) VALUES (?, ?, ?)
       ON CONFLICT (caller) DO UPDATE SET credential = coalesce(excluded.credential, credential), joined = excluded.joined, withdrawn = 0`,
      caller,
      credential,
      now,
    );
    this.#sql.exec(
      `UPDATE callers SET credential = NULL WHERE caller NOT IN
         (SELECT caller FROM callers WHERE credential IS NOT NULL ORDER BY joined DESC, caller LIMIT ?)`,
      MAX_CREDENTIALS,
    );
  }

  /** Withdraws a caller's interest; how many still have one, or null when it never had any. Idempotent. */
  leave(caller: Caller): number | null {
    const left = this.#sql.exec(
      "UPDATE callers SET withdrawn = 1, credential = NULL WHERE caller = ? RETURNING caller",
      caller,
    );
    if (left.length === 0) return null;
    return this.#count("SELECT count(*) AS n FROM callers WHERE withdrawn = 0");
  }

  /** Sealed credentials, the newest first. */
  credentials(): Sealed[] {
    return this.#sql
      .exec<{ credential: string }>(
        "SELECT credential FROM callers WHERE credential IS NOT NULL ORDER BY joined DESC, caller",
      )
      .map(({ credential }) => credential);
  }

  eraseCredentials(): void {
    this.#sql.exec("UPDATE callers SET credential = NULL");
  }

  /** The mail address that the current attempt's result brought; afterwards it is in no attempt's any more. */
  takeCommitter(): string | null {
    const row = this.#sql.exec<{ committer: string | null }>(
      `SELECT json_extract(a.result, '$.committer') AS committer
       FROM attempts a JOIN build b ON a.n = b.attempt AND a.lost = 0`,
    )[0];
    this.#sql.exec(
      "UPDATE attempts SET result = json_remove(result, '$.committer') WHERE result IS NOT NULL",
    );
    return row?.committer ?? null;
  }

  #count(query: string): number {
    return this.#sql.exec<{ n: number }>(query)[0]?.n ?? 0;
  }

  #insert(table: string, fields: Record<string, unknown>): void {
    const names = Object.keys(fields);
    this.#sql.exec(
      `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`,
      ...names.map((name) => toColumn(name, fields[name])),
    );
  }

  #update(table: string, fields: Record<string, unknown>, key: string, value: SqlValue): void {
    const names = Object.keys(fields);
    this.#sql.exec(
      `UPDATE ${table} SET ${names.map((name) => `${name} = ?`).join(", ")} WHERE ${key} = ?`,
      ...names.map((name) => toColumn(name, fields[name])),
      value,
    );
  }
}

function toColumn(name: string, value: unknown): SqlValue {
  if (value === null) return null;
  if (JSON_COLUMNS.has(name)) return JSON.stringify(value);
  return BOOLEAN_COLUMNS.has(name) ? Number(value) : (value as string | number);
}

function fromRow<T>(row: SqlRow): T {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => {
      if (value === null) return [name, null];
      if (JSON_COLUMNS.has(name)) return [name, JSON.parse(value as string)];
      return [name, BOOLEAN_COLUMNS.has(name) ? value === 1 : value];
    }),
  ) as T;
}
