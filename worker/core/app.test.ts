import assert from "node:assert/strict";
import { test } from "node:test";
import { appImageTag, appSettingsSchema, KEPT_DEPLOYMENTS } from "../../shared/recipes/app.ts";
import { QUEUE_FULL, sha256, World } from "../../test/support/app-core.ts";
import { openSql } from "../../test/support/sql.ts";
import { APP_GONE_MS } from "./app-replicas.ts";
import { RoutesCore } from "./routes.ts";

test("a deploy serves once its replica is ready, and its rule is in the table then", async () => {
  const world = new World();
  const build = await world.deploy();
  assert.deepEqual(await world.routes.list(), []);
  await world.goLive(build);
  assert.deepEqual(world.serving(), [build]);
  assert.deepEqual(await world.routes.list(), [{ project: "shop", rule: "Host:shop.example" }]);
  assert.deepEqual(world.told(build), ["live", "keep"]);
});

test("a deploy whose agent is away when its turn comes goes live once it is back; what serves goes on", async () => {
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first);
  const stuck = await world.deploy();
  const next = await world.deploy();
  await world.connect(next);
  await world.app.receive(next, { t: "ready", attempt: 1 });
  world.open.delete(next);
  world.app.closed();
  await world.app.built({ build: stuck, outcome: "failed", class: null, reason: "broken" });
  assert.deepEqual(world.serving(), [first]);
  await world.goLive(next);
  assert.deepEqual(world.serving(), [next]);
});

test("a deploy that the pool refuses leaves no project behind", async () => {
  const world = new World();
  world.answer = QUEUE_FULL;
  assert.deepEqual(await world.app.deploy(world.request()), QUEUE_FULL);
  assert.equal(await world.app.view(), null);
  assert.deepEqual(await world.routes.projects(), []);
});

test("a project is in the list from its first deploy on; its rule is free for others until it is live", async () => {
  const world = new World();
  const build = await world.deploy();
  assert.deepEqual(await world.routes.projects(), ["shop"]);
  assert.deepEqual(await world.routes.list(), []);
  await world.app.built({ build, outcome: "failed", class: "build_error", reason: "no" });
  const { state, rule } = (await world.app.view()) ?? {};
  assert.deepEqual([state, rule], ["failed", "Host:shop.example"]);
  assert.deepEqual(await world.routes.projects(), ["shop"]);
  assert.equal(await world.routes.holder("Host:shop.example"), null);
  assert.deepEqual(await world.routes.put("other", ["Host:shop.example"]), []);
});

test("a refused deploy leaves the one that waits in line, one that is taken supersedes it", async () => {
  const world = new World();
  await world.deploy();
  await world.deploy();
  world.answer = QUEUE_FULL;
  assert.deepEqual(await world.app.deploy(world.request()), QUEUE_FULL);
  const states = async () => (await world.app.view())?.deployments.map(({ state }) => state);
  assert.deepEqual(await states(), ["waiting", "deploying"]);
  world.answer = null;
  await world.deploy();
  assert.deepEqual(await states(), ["waiting", "superseded", "deploying"]);
});

test("a deploy that was promised while its build could not be asked for goes to the pool until it takes it", async () => {
  const world = new World();
  world.answer = new Error("the object restarts");
  const build = await world.deploy();
  world.answer = QUEUE_FULL;
  await world.pass(60_000);
  world.answer = null;
  await world.pass(60_000);
  assert.ok(world.builds.has(build));
});

test("rules that were stored before all projects were listed go on", async () => {
  const sql = openSql();
  for (const statement of [
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    "INSERT INTO schema_version (version) VALUES (1)",
    "CREATE TABLE routes (project TEXT PRIMARY KEY, rule TEXT NOT NULL UNIQUE) STRICT, WITHOUT ROWID",
    "INSERT INTO routes (project, rule) VALUES ('shop', 'Host:shop.example')",
  ])
    sql.exec(statement);
  const routes = new RoutesCore(sql);
  assert.deepEqual(await routes.list(), [{ project: "shop", rule: "Host:shop.example" }]);
  assert.deepEqual(await routes.projects(), ["shop"]);
});

test("the view names the agent and the image that serve", async () => {
  const world = new World();
  const fingerprint = sha256("the context");
  const build = await world.deploy({ fingerprint });
  const shown = async () => {
    const { agent, agents, image } = (await world.app.view()) ?? {};
    return { agent, agents, image };
  };
  assert.deepEqual(await shown(), { agent: null, agents: [], image: null });
  await world.goLive(build, "smithy");
  const image = appImageTag(fingerprint);
  assert.deepEqual(await shown(), { agent: "smithy", agents: ["smithy"], image });
  world.open.delete(build);
  assert.deepEqual(await shown(), { agent: null, agents: [], image });
});

test("a deploy is posted once, however often it is said", async () => {
  const world = new World();
  const request = world.request();
  const first = await world.app.deploy(request);
  assert.deepEqual(await world.app.deploy(request), first);
  assert.equal((await world.app.view())?.deployments.length, 1);
});

test("a replica whose agent stays away is made anew elsewhere; the old one is nobody's then", async () => {
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first, "smithy-1");
  world.open.delete(first);
  world.app.closed();
  await world.pass(APP_GONE_MS - 1);
  assert.equal(world.builds.size, 1, "it may come back");
  await world.pass(1);
  const second = [...world.builds.keys()][1] as string;
  assert.deepEqual(world.builds.get(second)?.avoid, ["smithy-1"]);
  await world.goLive(second, "smithy-2");
  assert.deepEqual(world.serving(), [second]);
  const { serve } = JSON.parse(world.builds.get(first)?.credential?.slice(7) ?? "{}");
  assert.equal(await world.app.admits(first, serve), false);
});

test("a replica that comes back in time is left alone, also over a restart of its object", async () => {
  const world = new World();
  const build = await world.deploy();
  await world.goLive(build);
  world.open.delete(build);
  world.restart();
  await world.pass(APP_GONE_MS / 2);
  await world.connect(build);
  await world.pass(APP_GONE_MS);
  assert.equal(world.builds.size, 1);
  assert.deepEqual(world.serving(), [build]);
});

test("a replacement that fails is tried again, and what served goes on being what should", async () => {
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first);
  world.open.delete(first);
  world.app.closed();
  await world.pass(APP_GONE_MS);
  const second = [...world.builds.keys()][1] as string;
  await world.app.built({ build: second, outcome: "failed", class: "build_error", reason: "no" });
  assert.equal((await world.app.view())?.deployments[0]?.state, "live");
  await world.pass(60_000);
  assert.equal(world.builds.size, 3);
});

test("a failed replica fails its deploy as a whole; the others' builds end", async () => {
  const world = new World();
  const good = await world.deploy();
  await world.goLive(good);
  await world.deploy({ settings: appSettingsSchema.parse({ replicas: 3 }) });
  const [, a, b, c] = [...world.builds.keys()] as [string, string, string, string];
  await world.connect(a);
  await world.app.receive(a, { t: "ready", attempt: 1 });
  await world.app.built({
    build: b,
    outcome: "failed",
    class: "build_error",
    reason: "RUN failed",
  });
  const view = await world.app.view();
  assert.deepEqual(
    [view?.deployments[0]?.state, view?.deployments[0]?.reason],
    ["failed", "RUN failed"],
  );
  assert.deepEqual(world.serving(), [good]);
  assert.ok(world.cancelled.includes(c) && world.told(a).includes("remove"));
});

test("contexts are kept for as many deployments as can be gone back to, and no longer", async () => {
  const world = new World();
  const builds: string[] = [];
  for (let i = 0; i < KEPT_DEPLOYMENTS + 2; i++) {
    const build = await world.deploy();
    await world.goLive(build);
    builds.push(build);
  }
  await world.pass(0);
  assert.deepEqual(
    world.dropped.sort(),
    builds
      .slice(0, 2)
      .map((build) => `contexts/${build}`)
      .sort(),
  );
});

test("a rule that another project took meanwhile fails the deploy with its name", async () => {
  const world = new World();
  const build = await world.deploy();
  await world.routes.put("thief", ["Host:shop.example"]);
  await world.goLive(build);
  const [deployment] = (await world.app.view())?.deployments ?? [];
  assert.equal(deployment?.state, "failed");
  assert.match(deployment?.reason ?? "", /thief/);
  const answer = await world.app.deploy(world.request());
  assert.deepEqual(answer, { kind: "refused", code: "rule_taken", by: "thief" });
});

test("a removed project cancels its builds, drops its contexts and frees its rule", async () => {
  const world = new World();
  const live = await world.deploy();
  await world.goLive(live);
  const building = await world.deploy();
  assert.equal(await world.app.remove(), true);
  await world.pass(0);
  assert.deepEqual(await world.routes.list(), []);
  assert.ok(world.cancelled.includes(building));
  assert.equal(world.dropped.length, 2);
  assert.equal(await world.app.remove(), false);
  assert.equal(await world.app.view(), null);
});

test("deploys that fail are forgotten in time; what serves and what may be gone back to never", async () => {
  const world = new World();
  for (const _ of [1, 2]) await world.goLive(await world.deploy());
  for (let i = 0; i < 60; i++) {
    const build = await world.deploy();
    await world.app.built({ build, outcome: "failed", class: "build_error", reason: "no" });
  }
  const { deployments = [], state } = (await world.app.view()) ?? {};
  assert.equal(state, "live");
  assert.deepEqual(
    deployments.slice(50).map(({ generation }) => generation),
    [2, 1],
  );
  assert.equal(world.dropped.length, 60);
  assert.equal((await world.app.rollback(1, "f".repeat(32), "admin")).kind, "ok");
});

test("a project whose stored rule would be refused by now is shown, without an address", async () => {
  const world = new World();
  await world.deploy({ rule: "Host:app.1" });
  const { rule, url } = (await world.app.view()) ?? {};
  assert.deepEqual([rule, url], ["Host:app.1", null]);
});

test("what may be gone back to is shown, and named to whoever asks for something else", async () => {
  const world = new World();
  const rollback = (to: number | null) => world.app.rollback(to, "f".repeat(32), "admin");
  assert.deepEqual(await rollback(null), { kind: "refused", code: "unknown" });
  for (let i = 0; i < KEPT_DEPLOYMENTS + 2; i++) await world.goLive(await world.deploy());
  const shown = (await world.app.view())?.deployments.filter(({ kept }) => kept);
  const kept = [7, 6, 5, 4, 3];
  assert.deepEqual(
    shown?.map(({ generation }) => generation),
    kept,
  );
  assert.deepEqual(await rollback(2), { kind: "refused", code: "not_kept", kept });
  assert.equal((await rollback(3)).kind, "ok");
});
