import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildRecord } from "../../shared/builds.ts";
import {
  openCatalog as catalog,
  packageRecord,
  recordOf as record,
} from "../../test/support/catalog.ts";
import { TARGET } from "../../test/support/pool-world.ts";
import { openSql } from "../../test/support/sql.ts";
import { CATALOG_MIGRATIONS } from "./catalog-schema.ts";
import type { ListQuery } from "./contracts.ts";
import { migrate } from "./migrations.ts";

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
  for (const serial of [3, 1, 5, 2, 4]) store.builds.put(record(serial));
  const seen: number[] = [];
  let cursor: string | undefined;
  do {
    const page = store.builds.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    assert.ok(page);
    seen.push(...page.builds.map(({ build_id }) => Number.parseInt(build_id, 16)));
    if (seen.length === 2) store.builds.put(record(6));
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined);
  assert.deepEqual(seen, [5, 4, 3, 2, 1]);
});

test("private and unlisted builds are listed for the admin alone, in their places", () => {
  const { store } = catalog();
  store.builds.put(record(1, { visibility: "private" }));
  store.builds.put(record(2, { visibility: "unlisted" }));
  assert.deepEqual(store.builds.list({ limit: 10 }), { builds: [], cursor: null });
  store.builds.put(record(3));
  store.builds.put(record(4, { visibility: "private" }));
  const first = store.builds.list({ limit: 3, all: true });
  assert.deepEqual(serials(first), [4, 3, 2]);
  const second = store.builds.list({ limit: 3, all: true, cursor: first?.cursor ?? "" });
  assert.deepEqual(serials(second), [1]);
});

test("builds are found by recipe and state", () => {
  const { store } = catalog();
  store.builds.put(record(1, { state: "succeeded" }));
  store.builds.put(record(2, { state: "failed" }));
  store.builds.put(record(3, { recipe: "erlang" }));
  const ids = (query: Omit<ListQuery, "limit">) =>
    serials(store.builds.list({ ...query, limit: 10 }));
  assert.deepEqual(ids({ state: "failed" }), [2]);
  assert.deepEqual(ids({ recipe: "erlang" }), [3]);
  assert.deepEqual(ids({ recipe: "go" }), [2, 1]);
  assert.deepEqual(ids({ recipe: "go", state: "succeeded" }), [1]);
});

test("builds are found by where they come from and what they are", () => {
  const { store } = catalog();
  store.builds.put(record(1, { target: { ...TARGET, path: ["acme", "tool"], goos: "windows" } }));
  store.builds.put(
    record(2, { target: { ...TARGET, path: ["acme", "team", "tool"], version: "v2.0.0" } }),
  );
  store.builds.put(packageRecord(3, { repository: "git.example/some/thing", name: "acme/tool" }));
  const ids = (query: Omit<ListQuery, "limit">) =>
    serials(store.builds.list({ ...query, limit: 10 }));
  assert.deepEqual(ids({ name: "tool" }), [3, 2, 1]);
  assert.deepEqual(ids({ name: "tool", namespace: "acme" }), [3, 1]);
  assert.deepEqual(ids({ namespace: "acme/team" }), [2]);
  assert.deepEqual(ids({ repository: "git.example/acme/tool" }), [1]);
  assert.deepEqual(ids({ repository: "git.example/some/thing" }), [3]);
  assert.deepEqual(ids({ version: "v2.0.0" }), [2]);
  assert.deepEqual(ids({ variant: "windows/amd64" }), [1]);
  assert.deepEqual(ids({ variant: "27" }), [3]);
  assert.deepEqual(ids({ name: "tool", variant: "26" }), []);
});

test("words find builds that have a word beginning so, whatever else they are made of", () => {
  const { store } = catalog();
  store.builds.put(record(1, { target: { ...TARGET, path: ["acme", "web-server"] } }));
  store.builds.put(record(2, { target: { ...TARGET, path: ["other", "server_tool"] } }));
  const ids = (text: string, more: Partial<ListQuery> = {}) =>
    serials(store.builds.list({ text, limit: 10, ...more }));
  assert.deepEqual(ids("SERV"), [2, 1]);
  assert.deepEqual(ids("acme serv"), [1]);
  assert.deepEqual(ids("git.example/acme/web-server"), [1]);
  assert.deepEqual(ids("server", { name: "server_tool" }), [2]);
  assert.deepEqual(ids("server", { recipe: "erlang" }), []);
  assert.deepEqual(ids("erver"), []);
  for (const odd of ['"', "NEAR(", "a OR", "*", "-", "text:", "\0", "' OR 1 --", "\u{10ffff}", "{"])
    assert.deepEqual(ids(odd), [], odd);
});

test("a build that goes on is found by what it has become", () => {
  const { store } = catalog();
  store.builds.put(packageRecord(1, { version: null }, { state: "running", ended_at: null }));
  assert.deepEqual(serials(store.builds.list({ limit: 1, state: "running" })), [1]);
  store.builds.put(packageRecord(1, { version: "2.1.0" }));
  assert.deepEqual(serials(store.builds.list({ limit: 1, state: "running" })), []);
  assert.deepEqual(serials(store.builds.list({ limit: 1, version: "2.1.0" })), [1]);
  assert.deepEqual(serials(store.builds.list({ limit: 1, text: "acme" })), [1]);
});

test("builds of a Catalog that could not be searched can be, with as many as it held", () => {
  const sql = openSql();
  migrate(sql, CATALOG_MIGRATIONS.slice(0, 1));
  for (let serial = 1; serial <= 1_203; serial++) {
    const { package: _, ...stored } = record(serial, {
      target: { ...TARGET, version: `v${serial}` },
    });
    sql.exec(
      "INSERT INTO builds (build, recipe, state, visibility, queued_at, record) VALUES (?, ?, ?, ?, ?, ?)",
      stored.build_id,
      stored.recipe,
      stored.state,
      stored.visibility,
      stored.queued_at,
      JSON.stringify(stored),
    );
  }
  const { store } = catalog(sql);
  assert.deepEqual(serials(store.builds.list({ limit: 2, name: "repo" })), [1_203, 1_202]);
  assert.deepEqual(serials(store.builds.list({ limit: 2, text: "repo", version: "v700" })), [700]);
  store.builds.put(record(7, { state: "failed", target: { ...TARGET, version: "v7" } }));
  assert.deepEqual(serials(store.builds.list({ limit: 2, state: "failed" })), [7]);
});

test("late news never takes back an end", () => {
  const { store } = catalog();
  store.builds.put(record(1, { state: "succeeded" }));
  store.builds.put(record(1, { state: "running" }));
  assert.equal(store.builds.list({ limit: 1 })?.builds[0]?.state, "succeeded");
});

test("a cursor that nobody made is told apart", () => {
  const { store } = catalog();
  for (const cursor of ["", "x", "%%%", btoa("nonsense"), "A".repeat(500)])
    assert.equal(store.builds.list({ limit: 1, cursor }), null, cursor);
});

test("a webhook is known again for a year", () => {
  const { store, time } = catalog();
  assert.equal(store.remembers("a"), false);
  store.remember("a");
  store.remember("a");
  assert.deepEqual([store.remembers("a"), store.remembers("b")], [true, false]);
  time.now += 364 * 24 * 60 * 60_000;
  assert.equal(store.remembers("a"), true);
  time.now += 24 * 60 * 60_000;
  assert.equal(store.remembers("a"), false);
});

test("pools are remembered once", () => {
  const { store } = catalog();
  for (const pool of ["fast", "default", "fast"]) store.addPool(pool);
  assert.deepEqual(store.pools(), ["default", "fast"]);
});

function serials(page: { builds: BuildRecord[] } | null): number[] | undefined {
  return page?.builds.map(({ build_id }) => Number.parseInt(build_id, 16));
}
