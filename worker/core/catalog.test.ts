import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildRecord } from "../../shared/builds.ts";
import { TARGET } from "../../test/support/pool-world.ts";
import { openSql } from "../../test/support/sql.ts";
import { CATALOG_MIGRATIONS, CatalogStore } from "./catalog.ts";
import { migrate } from "./migrations.ts";

function catalog() {
  const sql = openSql();
  migrate(sql, CATALOG_MIGRATIONS);
  const time = { now: Date.UTC(2026, 0, 1) };
  return { store: new CatalogStore(sql, { now: () => time.now }), time };
}

function record(serial: number, extra: Partial<BuildRecord> = {}): BuildRecord {
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
    visibility: "public",
    queued_at: new Date(Date.UTC(2026, 0, 1, 0, serial)).toISOString(),
    started_at: null,
    ended_at: null,
    timings: { queued_ms: null, running_ms: null, phases: {} },
    artifact: "/",
    artifacts: [],
    log: "/",
    ...extra,
  };
}

test("a token is known by its hash until it expires", () => {
  const { store, time } = catalog();
  const token = { id: "t1", hash: "h1", scope: "build", name: "ci" } as const;
  assert.deepEqual(store.addToken(token, 60), {
    id: "t1",
    scope: "build",
    name: "ci",
    created_at: "2026-01-01T00:00:00.000Z",
    expires_at: "2026-01-01T00:01:00.000Z",
    last_used_at: null,
  });
  assert.deepEqual(store.checkToken("h1"), { id: "t1", scope: "build" });
  assert.equal(store.checkToken("h2"), null);
  time.now += 60_000;
  assert.equal(store.checkToken("h1"), null);
});

test("the last use of a token is kept to the hour", () => {
  const { store, time } = catalog();
  store.addToken({ id: "t1", hash: "h1", scope: "admin", name: "" }, null);
  store.checkToken("h1");
  time.now += 59 * 60_000;
  store.checkToken("h1");
  assert.equal(store.listTokens()[0]?.last_used_at, "2026-01-01T00:00:00.000Z");
  time.now += 60_000;
  store.checkToken("h1");
  assert.equal(store.listTokens()[0]?.last_used_at, "2026-01-01T01:00:00.000Z");
});

test("a revoked token is gone", () => {
  const { store } = catalog();
  store.addToken({ id: "t1", hash: "h1", scope: "agent", name: "" }, null);
  assert.equal(store.revokeToken("t1"), true);
  assert.equal(store.revokeToken("t1"), false);
  assert.equal(store.checkToken("h1"), null);
  assert.deepEqual(store.listTokens(), []);
});

test("builds are listed newest first, page by page, without gap or repetition", () => {
  const { store } = catalog();
  for (const serial of [3, 1, 5, 2, 4]) store.put(record(serial));
  const seen: number[] = [];
  let cursor: string | undefined;
  do {
    const page = store.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    assert.ok(page);
    seen.push(...page.builds.map(({ build_id }) => Number.parseInt(build_id, 16)));
    if (seen.length === 2) store.put(record(6));
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined);
  assert.deepEqual(seen, [5, 4, 3, 2, 1]);
});

test("private builds are never listed", () => {
  const { store } = catalog();
  store.put(record(1, { visibility: "private" }));
  assert.deepEqual(store.list({ limit: 10 }), { builds: [], cursor: null });
});

test("builds are found by recipe and state", () => {
  const { store } = catalog();
  store.put(record(1, { state: "succeeded" }));
  store.put(record(2, { state: "failed" }));
  store.put(record(3, { recipe: "erlang" }));
  const ids = (query: Parameters<typeof store.list>[0]) =>
    store.list(query)?.builds.map(({ build_id }) => Number.parseInt(build_id, 16));
  assert.deepEqual(ids({ limit: 10, state: "failed" }), [2]);
  assert.deepEqual(ids({ limit: 10, recipe: "erlang" }), [3]);
  assert.deepEqual(ids({ limit: 10, recipe: "go" }), [2, 1]);
});

test("late news never takes back an end", () => {
  const { store } = catalog();
  store.put(record(1, { state: "succeeded" }));
  store.put(record(1, { state: "running" }));
  assert.equal(store.list({ limit: 1 })?.builds[0]?.state, "succeeded");
});

test("a cursor that nobody made is told apart", () => {
  const { store } = catalog();
  for (const cursor of ["", "x", "%%%", btoa("nonsense"), "A".repeat(500)])
    assert.equal(store.list({ limit: 1, cursor }), null, cursor);
});

test("pools are remembered once", () => {
  const { store } = catalog();
  for (const pool of ["fast", "default", "fast"]) store.addPool(pool);
  assert.deepEqual(store.pools(), ["default", "fast"]);
});
