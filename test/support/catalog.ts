/** A Catalog over memory, and records to put into it. */
import type { BuildRecord } from "../../shared/builds.ts";
import type { ErlangTarget } from "../../shared/recipes/erlang.ts";
import { CatalogStore } from "../../worker/core/catalog.ts";
import { CATALOG_MIGRATIONS } from "../../worker/core/catalog-schema.ts";
import { migrate } from "../../worker/core/migrations.ts";
import type { Sql, SqlValue } from "../../worker/core/ports.ts";
import { TARGET } from "./pool-world.ts";
import { openSql } from "./sql.ts";

export type Query = { text: string; bindings: SqlValue[] };

/** `queries`: what the store asked its tables. */
export function openCatalog(sql: Sql = openSql()) {
  const queries: Query[] = [];
  const watched: Sql = {
    exec: (text, ...bindings) => {
      queries.push({ text, bindings });
      return sql.exec(text, ...bindings);
    },
    transaction: (body) => sql.transaction(body),
  };
  migrate(sql, CATALOG_MIGRATIONS);
  const time = { now: Date.UTC(2026, 0, 1) };
  return { sql, store: new CatalogStore(watched, { now: () => time.now }), time, queries };
}

/** The record of a Go build, as it was in the `serial`th minute. */
export function recordOf(serial: number, extra: Partial<BuildRecord> = {}): BuildRecord {
  return {
    build_id: serial.toString(16).padStart(32, "0"),
    recipe: "go",
    target: TARGET,
    state: "running",
    class: null,
    reason: null,
    position: null,
    queue: null,
    attempt: 1,
    agent: null,
    commit: null,
    phase: null,
    digest: null,
    package: null,
    follows: [],
    visibility: "public",
    queued_at: minute(serial),
    started_at: null,
    ended_at: null,
    timings: { queued_ms: null, running_ms: null, phases: {} },
    artifact: "/",
    artifacts: [],
    log: "/",
    ...extra,
  };
}

type Package = { repository?: string; name?: string; version?: string | null; erl?: string };

/** The record of a package that was built in the `serial`th minute. */
export function packageRecord(
  serial: number,
  {
    repository = "github.com/acme/web",
    name: full = "acme/web",
    version = "1.0.0",
    erl = "27",
  }: Package = {},
  extra: Partial<BuildRecord> = {},
): BuildRecord {
  const [namespace, name] = full.split("/") as [string, string];
  const [remote, ...path] = repository.split("/") as [string, string];
  const target: ErlangTarget = {
    recipe: "erlang",
    asked: { kind: "package", remote, path, namespace, name, ref: null, notify: false, depth: 0 },
    erl: null,
    visibility: "public",
  };
  return recordOf(serial, {
    recipe: "erlang",
    target,
    package: { namespace, name, version, erl_version: erl, app: null },
    state: "succeeded",
    ended_at: minute(serial),
    ...extra,
  });
}

function minute(serial: number): string {
  return new Date(Date.UTC(2026, 0, 1, 0, serial)).toISOString();
}
