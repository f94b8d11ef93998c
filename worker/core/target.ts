/**
 * Single flight (protocol rule 2): one target, one current build. A swap of the current build is a
 * compare-and-set in storage, the request is stored with it, and every join repeats the idempotent
 * `Build.ensure`, so that a crash between the two heals.
 */
import { isTerminal } from "../../shared/builds.ts";
import type {
  BuildRequest,
  BuildRpc,
  BuildSummary,
  Caller,
  TargetAnswer,
  TargetRpc,
} from "./contracts.ts";
import { isMigrated, migrate } from "./migrations.ts";
import type { Random, Sql } from "./ports.ts";

export type TargetPorts = {
  sql: Sql;
  random: Random;
  build(id: string): Pick<BuildRpc, "ensure" | "summary">;
  /** The build whose publication of target `key` can be downloaded, every file of it; null when there is none. */
  published(key: string): Promise<string | null>;
};

/** Bytes of a build id. */
const BUILD_ID_BYTES = 16;

const MIGRATIONS: readonly (readonly string[])[] = [
  [
    // One row. `request` is what the current build was opened with; `ensured` says that the Build has taken it.
    `CREATE TABLE target (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      current TEXT NOT NULL,
      request TEXT NOT NULL,
      ensured INTEGER NOT NULL
    ) STRICT`,
  ],
];

type Row = { current: string; request: string; ensured: number };
type Refused = Extract<TargetAnswer, { kind: "refused" }>;

export class TargetCore implements TargetRpc {
  readonly #ports: TargetPorts;
  #ready: boolean;
  /** The one flight: whoever comes while a build is being opened waits for it, then joins. */
  #flight: { caller: Caller; landing: Promise<TargetAnswer> } | null = null;

  constructor(ports: TargetPorts) {
    this.#ports = ports;
    this.#ready = isMigrated(ports.sql);
    if (this.#ready) migrate(ports.sql, MIGRATIONS);
  }

  async request(request: BuildRequest): Promise<TargetAnswer> {
    for (;;) {
      if (this.#flight !== null) {
        const refused = await sharedRefusal(this.#flight, request.caller);
        if (refused !== null) return refused;
        continue;
      }
      const row = this.#row();
      if (row?.ensured === 0) {
        await this.#fly(row, JSON.parse(row.request), row.current);
        continue;
      }
      const joined = row && (await this.#join(row, request));
      if (joined !== null) return joined;
      // An await lies behind: only who still finds it as it was may open.
      if (this.#flight === null && this.#row()?.current === row?.current)
        return this.#fly(row, request, null);
    }
  }

  async current(): Promise<BuildSummary | null> {
    const row = this.#row();
    return row && this.#ports.build(row.current).summary();
  }

  /** Joins the current build; null when it has ended and a new one may be needed: one that this request did not open. */
  async #join(row: Row, request: BuildRequest): Promise<TargetAnswer | null> {
    const answer = await this.#ports.build(row.current).ensure(row.current, request);
    if (answer.kind === "refused") return answer;
    const isDone = isTerminal(answer.build.state) && row.current !== request.id;
    return isDone ? null : { kind: "joined", build: answer.build };
  }

  /** Opens a build in place of `old`, or finishes what was begun when the object died: then `begun` is its id. */
  #fly(old: Row | null, request: BuildRequest, begun: string | null): Promise<TargetAnswer> {
    const landing = (
      begun === null ? this.#open(old, request) : this.#ensure(begun, null, request)
    ).finally(() => {
      this.#flight = null;
    });
    this.#flight = { caller: request.caller, landing };
    return landing;
  }

  /** Looks at what is published once more before it opens a build. */
  async #open(old: Row | null, request: BuildRequest): Promise<TargetAnswer> {
    const build_id = await this.#ports.published(request.key);
    if (build_id !== null) return { kind: "published", build_id };
    const id = request.id ?? this.#ports.random.hex(BUILD_ID_BYTES);
    this.#swap(old, id, request);
    return this.#ensure(id, old, request);
  }

  async #ensure(id: string, old: Row | null, request: BuildRequest): Promise<TargetAnswer> {
    const answer = await this.#ports.build(id).ensure(id, request);
    if (answer.kind === "refused") {
      this.#undo(id, old);
      return answer;
    }
    this.#markEnsured(id);
    return { kind: "admitted", build: answer.build };
  }

  #row(): Row | null {
    if (!this.#ready) return null;
    return this.#ports.sql.exec<Row>("SELECT current, request, ensured FROM target")[0] ?? null;
  }

  #swap(old: Row | null, id: string, request: BuildRequest): void {
    const { sql } = this.#ports;
    migrate(sql, MIGRATIONS);
    this.#ready = true;
    const stored = JSON.stringify(request);
    const swapped =
      old === null
        ? sql.exec(
            "INSERT INTO target (only, current, request, ensured) VALUES (1, ?, ?, 0) ON CONFLICT DO NOTHING RETURNING current",
            id,
            stored,
          )
        : sql.exec(
            "UPDATE target SET current = ?, request = ?, ensured = 0 WHERE current = ? RETURNING current",
            id,
            stored,
            old.current,
          );
    if (swapped.length === 0) throw new Error("another build became current");
  }

  /** Takes a swap back whose build was refused; without an older build the object leaves nothing behind. */
  #undo(id: string, old: Row | null): void {
    const { sql } = this.#ports;
    if (old !== null) {
      sql.exec(
        "UPDATE target SET current = ?, request = ?, ensured = ? WHERE current = ?",
        old.current,
        old.request,
        old.ensured,
        id,
      );
    } else if (this.#row()?.current === id) {
      sql.transaction(() => {
        for (const table of ["target", "schema_version"]) sql.exec(`DROP TABLE ${table}`);
      });
      this.#ready = false;
    }
  }

  #markEnsured(id: string): void {
    // Only who asked is done with the request; its credential need not lie here any longer.
    this.#ports.sql.exec("UPDATE target SET ensured = 1, request = '' WHERE current = ?", id);
  }
}

/** A flight's refusal that falls to one who waited for it: a full queue is full for all, a rate is a caller's own. */
async function sharedRefusal(
  flight: { caller: Caller; landing: Promise<TargetAnswer> },
  caller: Caller,
): Promise<Refused | null> {
  try {
    const answer = await flight.landing;
    if (answer.kind !== "refused") return null;
    return answer.code === "queue_full" || flight.caller === caller ? answer : null;
  } catch {
    return null;
  }
}
