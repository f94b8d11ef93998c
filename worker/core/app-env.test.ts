import assert from "node:assert/strict";
import { test } from "node:test";
import { madeAnew, QUEUE_FULL, World } from "../../test/support/app-core.ts";

test("variables that are set before the first deploy outlive its refusal", async () => {
  const world = new World();
  const set = await world.app.setEnv("shop", { KEY: "kept", OTHER: "" });
  assert.deepEqual(set, { kind: "ok", env: ["KEY", "OTHER"] });
  world.answer = QUEUE_FULL;
  assert.deepEqual(await world.app.deploy(world.request()), QUEUE_FULL);
  world.answer = null;
  const build = await world.deploy();
  assert.deepEqual(world.envOf(build), { KEY: "kept", OTHER: "" });
});

test("a project is there from its first variable on, until the last is unset or it is removed", async () => {
  const world = new World();
  assert.deepEqual(await world.app.setEnv("shop", { NONE: null }), { kind: "ok", env: [] });
  assert.equal(await world.app.view(), null);
  for (const end of [
    () => world.app.setEnv("shop", { KEY: null }),
    async () => assert.equal(await world.app.remove(), true),
  ]) {
    await world.app.setEnv("shop", { KEY: "value" });
    const { state, rule, env } = (await world.app.view()) ?? {};
    assert.deepEqual([state, rule, env], ["new", "", ["KEY"]]);
    assert.deepEqual(await world.routes.projects(), ["shop"]);
    await end();
    assert.equal(await world.app.view(), null);
    assert.deepEqual(await world.routes.projects(), []);
  }
  assert.equal(await world.app.remove(), false);
});

test("variables that are too many together are refused, whatever each change alone has, and none of them is set", async () => {
  const world = new World();
  const value = "x".repeat(30_000);
  for (const name of ["A", "B"])
    assert.equal((await world.app.setEnv("shop", { [name]: value })).kind, "ok");
  const { length: chars } = JSON.stringify({ A: value, B: value, C: value });
  const refused = { kind: "refused", code: "too_large", chars };
  assert.deepEqual(await world.app.setEnv("shop", { C: value }), refused);
  assert.deepEqual((await world.app.view())?.env, ["A", "B"]);
  assert.equal((await world.app.setEnv("shop", { A: null, C: value })).kind, "ok");
  const build = await world.deploy();
  assert.deepEqual(world.envOf(build), { B: value, C: value });
});

test("of two changes at once that are too many together one is refused", async () => {
  const world = new World();
  const half = "x".repeat(32_768);
  const answers = await Promise.all(
    ["A", "B"].map((name) => world.app.setEnv("shop", { [name]: half })),
  );
  assert.deepEqual(answers.map(({ kind }) => kind).sort(), ["ok", "refused"]);
});

test("a replica that is made anew has the variables that its version was deployed with, also over a restart", async () => {
  const world = new World();
  await world.app.setEnv("shop", { KEY: "old", GONE: "old" });
  const first = await world.deploy();
  await world.goLive(first);
  await world.app.setEnv("shop", { KEY: "new", GONE: null, MORE: "new" });
  world.restart();
  const again = await madeAnew(world, first);
  assert.notEqual(again, first);
  assert.deepEqual(world.envOf(again), { KEY: "old", GONE: "old" });
  await world.goLive(again);
  assert.equal((await world.app.rollback(1, "f".repeat(32), "admin")).kind, "ok");
  assert.deepEqual(world.envOf("f".repeat(32)), { KEY: "new", MORE: "new" });
});

test("a deploy has the variables of when it was asked for, also when its build cannot be opened until later", async () => {
  const world = new World();
  await world.app.setEnv("shop", { KEY: "then" });
  world.answer = new Error("the object restarts");
  const build = await world.deploy();
  await world.app.setEnv("shop", { KEY: "later" });
  world.answer = null;
  await world.pass(60_000);
  assert.deepEqual(world.envOf(build), { KEY: "then" });
});
