import assert from "node:assert/strict";
import { test } from "node:test";
import { openCatalog, packageRecord, type Query, recordOf } from "../../test/support/catalog.ts";
import type { CatalogStore } from "./catalog.ts";
import type { Claim, ListQuery, PackageQuery } from "./contracts.ts";

const WEB = claimOf("acme/web", "github.com/acme/web");
const SQUATTER = claimOf("acme/web", "github.com/mallory/web");

function claimOf(full_name: string, repository: string, verified = false): Claim {
  return { full_name, repository, url: `https://${repository}.git`, verified };
}

/** What is found, as the minutes in which it was built. */
function found(store: CatalogStore, query: Partial<PackageQuery> = {}): number[] {
  return store.packages
    .packages({ versions: [], newest: false, strangers: false, limit: 10, ...query })
    .map(({ build_id }) => Number.parseInt(build_id, 16));
}

test("packages are found by name, version, Erlang version and success, the last that ended first", () => {
  const { store } = openCatalog();
  for (const name of ["acme/web", "other/web", "acme/db"])
    store.packages.claim(claimOf(name, "github.com/acme/web"));
  const builds = [
    packageRecord(1, { version: "1.0.0", erl: "25" }),
    packageRecord(2, { version: "1.0.0", erl: "27" }, { state: "failed" }),
    packageRecord(3, { name: "other/web" }),
    packageRecord(4, { name: "acme/db" }),
    packageRecord(5, { version: "2.0.0" }, { ended_at: "2026-01-01T00:00:00.000Z" }),
  ];
  for (const build of builds) store.builds.put(build);
  assert.deepEqual(found(store), [4, 3, 2, 1, 5]);
  assert.deepEqual(found(store, { name: "web" }), [3, 2, 1, 5]);
  assert.deepEqual(found(store, { namespace: "acme" }), [4, 2, 1, 5]);
  assert.deepEqual(found(store, { namespace: "acme", name: "web" }), [2, 1, 5]);
  assert.deepEqual(found(store, { name: "web", success: true }), [3, 1, 5]);
  assert.deepEqual(found(store, { name: "web", success: false }), [2]);
  const one = [{ ref: "1.0.0", erl: "25" }];
  assert.deepEqual(found(store, { namespace: "acme", name: "web", versions: one }), [1]);
  const some = [{ ref: "2.0.0" }, { erl: "25" }];
  assert.deepEqual(found(store, { name: "web", namespace: "acme", versions: some }), [1, 5]);
  assert.deepEqual(found(store, { name: "web", versions: [{}], limit: 2 }), [3, 2]);
  assert.deepEqual(found(store, { name: "we" }), []);
});

test("of each package only the newest success and the newest failure are kept apart when asked", () => {
  const { store } = openCatalog();
  store.packages.claim(WEB);
  for (const serial of [1, 2, 3]) store.builds.put(packageRecord(serial));
  store.builds.put(packageRecord(4, {}, { state: "failed" }));
  store.builds.put(packageRecord(5, {}, { state: "timed_out" }));
  store.builds.put(packageRecord(6, { erl: "25" }));
  store.builds.put(packageRecord(7, { version: null }, { state: "failed" }));
  store.builds.put(packageRecord(8, { version: null }, { state: "failed" }));
  assert.deepEqual(found(store, { newest: true }), [8, 6, 5, 3]);
  assert.deepEqual(found(store, { newest: true, name: "web", success: true }), [6, 3]);
  assert.deepEqual(found(store, { newest: true, limit: 1 }), [8]);
});

test("two packages with one version stay two", () => {
  const { store } = openCatalog();
  store.packages.claim(WEB);
  store.packages.claim(claimOf("acme/db", "github.com/acme/db"));
  store.builds.put(packageRecord(1));
  store.builds.put(packageRecord(2, { name: "acme/db", repository: "github.com/acme/db" }));
  assert.deepEqual(found(store, { newest: true, success: true }), [2, 1]);
});

test("what is still being built, and what is no package, is no package", () => {
  const { store } = openCatalog();
  store.packages.claim(WEB);
  store.builds.put(packageRecord(1, {}, { state: "running", ended_at: null }));
  store.builds.put(recordOf(2, { state: "succeeded", ended_at: "2026-01-01T00:00:00.000Z" }));
  const erts = {
    recipe: "erlang",
    asked: { kind: "erts" },
    erl: "27",
    visibility: "public",
  } as const;
  store.builds.put(packageRecord(3, {}, { target: erts, package: null }));
  assert.deepEqual(found(store, { strangers: true }), []);
  store.builds.put(packageRecord(1));
  assert.deepEqual(found(store), [1]);
});

test("a name belongs to the repository that had it first, however often it is claimed", () => {
  const { store } = openCatalog();
  assert.deepEqual(store.packages.claim(WEB), { kind: "ok" });
  assert.deepEqual(store.packages.claim(WEB), { kind: "ok" });
  assert.deepEqual(store.packages.claim(SQUATTER), { kind: "taken", by: WEB.url });
  assert.deepEqual(store.packages.claim({ ...SQUATTER, full_name: "acme/other" }), { kind: "ok" });
});

test("a name yields when nothing came of its repository, which nobody verified", () => {
  const { store, time } = openCatalog();
  const typo = claimOf("acme/web", "github.com/acme/wbe");
  const ended = { queued_at: new Date(time.now).toISOString() };
  store.packages.claim(typo);
  // Its first build is not told yet.
  assert.deepEqual(store.packages.claim(WEB), { kind: "taken", by: typo.url });
  const build = (state: "queued" | "running" | "failed" | "succeeded") =>
    store.builds.put(packageRecord(1, { repository: typo.repository }, { ...ended, state }));
  for (const state of ["queued", "running"] as const) {
    build(state);
    assert.equal(store.packages.claim(WEB).kind, "taken", state);
  }
  build("failed");
  assert.equal(store.packages.claim(WEB).kind, "ok");
  assert.deepEqual(store.packages.claim(typo), { kind: "taken", by: WEB.url });
});

test("a name without any build is kept for some minutes, one with a package or a proof for ever", () => {
  const { store, time } = openCatalog();
  const later = () => {
    time.now += 10 * 60_000;
  };
  store.packages.claim(SQUATTER);
  later();
  assert.equal(store.packages.claim(WEB).kind, "ok");
  later();
  // Asked for again after it failed: the new build is not told yet.
  store.builds.put(packageRecord(1, {}, { state: "failed" }));
  store.packages.claim(WEB);
  assert.equal(store.packages.claim(SQUATTER).kind, "taken");
  store.builds.put(packageRecord(2));
  later();
  assert.equal(store.packages.claim(SQUATTER).kind, "taken");
  // What else is built of a repository is no package of that name.
  const other = claimOf("acme/other", "github.com/acme/web");
  store.packages.claim(other);
  later();
  assert.equal(store.packages.claim({ ...other, repository: "github.com/acme/x" }).kind, "ok");
  const proven = claimOf("acme/proven", "github.com/acme/proven", true);
  store.packages.claim(proven);
  later();
  assert.equal(
    store.packages.claim({ ...proven, repository: "github.com/acme/x", verified: false }).kind,
    "taken",
  );
});

test("a verified claim takes a name from one that nobody verified, and loses nobody's builds", () => {
  const { store } = openCatalog();
  store.packages.claim(SQUATTER);
  store.builds.put(packageRecord(1, { repository: SQUATTER.repository }));
  assert.deepEqual(found(store), [1]);
  assert.deepEqual(store.packages.claim({ ...WEB, verified: true }), { kind: "ok" });
  store.builds.put(packageRecord(2));
  // A build that the former owner had under way ends later.
  store.builds.put(packageRecord(3, { repository: SQUATTER.repository }));
  assert.deepEqual(found(store), [2]);
  assert.deepEqual(found(store, { newest: true }), [2]);
  assert.deepEqual(found(store, { strangers: true }), [3, 2, 1]);
  assert.deepEqual(found(store, { strangers: true, newest: true }), [3]);
  assert.deepEqual(store.packages.claim(SQUATTER), { kind: "taken", by: WEB.url });
});

test("of two verified claims the one counts that GitHub has under that name", () => {
  const { store } = openCatalog();
  const namesake = { ...WEB, verified: true };
  const other = { ...SQUATTER, verified: true };
  const third = claimOf("acme/web", "git.example/acme/web", true);
  assert.equal(store.packages.claim(other).kind, "ok");
  assert.equal(store.packages.claim(third).kind, "taken");
  assert.equal(store.packages.claim(namesake).kind, "ok");
  assert.equal(store.packages.claim(other).kind, "taken");
  assert.equal(store.packages.claim(third).kind, "taken");
});

test("a name that was verified later stays so", () => {
  const { store } = openCatalog();
  store.packages.claim(WEB);
  store.packages.claim({ ...WEB, verified: true });
  store.packages.claim(WEB);
  assert.equal(store.packages.claim({ ...SQUATTER, verified: true }).kind, "taken");
});

/** Every way to ask: each member given or not. */
function combinations<T extends object>(members: T): Partial<T>[] {
  let known: Partial<T>[] = [{}];
  for (const [name, value] of Object.entries(members))
    known = known.flatMap((one) => [one, { ...one, [name]: value }]);
  return known;
}

test("every query finds its builds by an index, whatever it asks for", () => {
  const { sql, store, queries } = openCatalog();
  const cursor = btoa(`2026-01-01T00:00:00.000Z ${"a".repeat(32)}`).replaceAll("=", "");
  const lists = combinations<Omit<ListQuery, "limit">>({
    recipe: "go",
    state: "failed",
    repository: "git.example/owner/repo",
    namespace: "owner",
    name: "repo",
    version: "v1",
    variant: "linux/amd64",
    text: "repo",
    cursor,
    all: true,
  });
  for (const query of lists) store.builds.list({ limit: 10, ...query });
  const packages = combinations<Omit<PackageQuery, "limit">>({
    namespace: "acme",
    name: "web",
    versions: [{ ref: "1.0.0" }],
    success: true,
    newest: true,
    strangers: true,
  });
  for (const query of packages) found(store, query);
  store.builds.put(packageRecord(1));
  store.builds.put(packageRecord(1, {}, { state: "failed" }));
  store.packages.claim(WEB);
  store.packages.claim(SQUATTER);
  store.remember("a");
  store.remembers("a");
  const seen = new Map(queries.map(({ text, bindings }) => [text, bindings]));
  assert.ok(seen.size > 500, `${seen.size} different queries`);
  for (const [text, bindings] of seen) {
    const plan = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, ...bindings);
    for (const { detail } of plan)
      assert.doesNotMatch(detail, /^SCAN (?!v |words VIRTUAL TABLE INDEX \d+:M)/, text);
  }
});

test("of all that a query names, what fewest builds have in common is what is walked", () => {
  const { sql, store, queries } = openCatalog();
  const broad = { recipe: "erlang", state: "succeeded", variant: "27" } as const;
  const asked: [Partial<ListQuery>, string][] = [
    [broad, "builds_by_variant"],
    [{ ...broad, version: "1.0.0", name: "web" }, "builds_by_name"],
    [{ ...broad, repository: "github.com/acme/web" }, "builds_by_repository"],
    [{ recipe: "erlang", state: "failed" }, "builds_by_state"],
    [{ ...broad, text: "web" }, "builds_by_variant"],
    [{ recipe: "erlang", text: "web" }, "INTEGER PRIMARY KEY"],
  ];
  for (const [query, index] of asked) {
    queries.length = 0;
    store.builds.list({ limit: 10, ...query });
    const [{ text, bindings }] = queries as [Query];
    const [first] = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, ...bindings);
    assert.match(first?.detail ?? "", new RegExp(`^SEARCH builds USING (INDEX )?${index}`), text);
  }
});

test("a page of builds is read in its order, never sorted, but where words are looked for", () => {
  const { sql, store, queries } = openCatalog();
  for (const filter of ["recipe", "repository", "namespace", "name", "version", "variant"])
    store.builds.list({ limit: 10, [filter]: "x" });
  store.builds.list({ limit: 10 });
  found(store, { success: true, newest: true });
  for (const { text, bindings } of queries) {
    const plan = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, ...bindings);
    for (const { detail } of plan) assert.doesNotMatch(detail, /TEMP B-TREE/, text);
  }
});
