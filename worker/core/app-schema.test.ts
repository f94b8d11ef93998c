import assert from "node:assert/strict";
import { test } from "node:test";
import { openSql } from "../../test/support/sql.ts";
import { AppRows } from "./app-rows.ts";
import { APP_MIGRATIONS } from "./app-schema.ts";
import { migrate } from "./migrations.ts";

test("a version that serves since before its variables were kept with it has those that were set when the edge was updated", () => {
  const sql = openSql();
  migrate(sql, APP_MIGRATIONS.slice(0, 1));
  for (const [generation, state] of ["replaced", "live", "waiting"].entries())
    sql.exec(
      `INSERT INTO deployments (generation, state, build, rule, settings, fingerprint, caller, created_at)
       VALUES (?, ?, ?, 'Host:a.example', '{}', '', 'admin', 0)`,
      generation + 1,
      state,
      state,
    );
  sql.exec("INSERT INTO env (name, sealed) VALUES ('KEY', 'sealed')");
  const rows = new AppRows(sql);
  const kept = [1, 2, 3].map((generation) => rows.envOf(generation));
  const env = [{ name: "KEY", sealed: "sealed" }];
  assert.deepEqual(kept, [[], env, env]);
});
