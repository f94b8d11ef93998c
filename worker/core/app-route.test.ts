import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "../../test/support/app-core.ts";
import { until } from "../../test/support/until.ts";

const FIRST = { project: "shop", rule: "Host:first.example" };
const SECOND = { project: "shop", rule: "Host:second.example" };

/** One deploy serves, the next one has a rule of its own and asks to go live. */
async function switching(world: World) {
  const first = await world.deploy(FIRST);
  await world.goLive(first);
  const second = await world.deploy(SECOND);
  await world.connect(second);
  const ready = () => world.app.receive(second, { t: "ready", attempt: 1 });
  const fail = () =>
    world.app.built({ build: second, outcome: "cancelled", class: null, reason: "cancelled" });
  return { first, second, ready, fail };
}

test("a deploy that is cancelled while it goes live leaves what serves its rule, and takes none itself", async () => {
  const world = new World();
  const { first, ready, fail } = await switching(world);
  const held = Promise.withResolvers<void>();
  world.routes.after = held.promise;
  const { puts } = world.routes;
  const going = ready();
  await until("the table was asked", () => world.routes.puts > puts);
  assert.equal(await world.routes.holder(FIRST.rule), "shop", "requests reach what still serves");
  const failing = fail();
  held.resolve();
  await Promise.all([going, failing]);
  assert.deepEqual(world.serving(), [first]);
  assert.deepEqual(await world.routes.list(), [FIRST]);
});

test("a switch that a restart of the object broke off is decided by what is so afterwards", async () => {
  for (const cancelled of [true, false]) {
    const world = new World();
    const { first, second, ready, fail } = await switching(world);
    const { puts } = world.routes;
    world.routes.after = new Promise(() => {});
    void ready();
    await until("the table was asked", () => world.routes.puts > puts);
    world.routes.after = null;
    world.restart();
    if (cancelled) await fail();
    await world.pass(60_000);
    assert.deepEqual(world.serving(), [cancelled ? first : second]);
    assert.deepEqual(await world.routes.list(), [cancelled ? FIRST : SECOND]);
  }
});

test("a deploy whose agent is away while it goes live waits for it, and what serves keeps its rule", async () => {
  const world = new World();
  const { first, second, ready } = await switching(world);
  const held = Promise.withResolvers<void>();
  world.routes.after = held.promise;
  const { puts } = world.routes;
  const going = ready();
  await until("the table was asked", () => world.routes.puts > puts);
  world.open.delete(second);
  world.app.closed();
  held.resolve();
  await going;
  assert.deepEqual(world.serving(), [first]);
  assert.deepEqual(await world.routes.list(), [FIRST]);
  await world.goLive(second);
  assert.deepEqual(world.serving(), [second]);
  assert.deepEqual(await world.routes.list(), [SECOND]);
});

test("deploys that are ready before their turn go live one after the other once it comes", async () => {
  const world = new World();
  const first = await world.deploy(FIRST);
  const second = await world.deploy(SECOND);
  await world.connect(second);
  await world.app.receive(second, { t: "ready", attempt: 1 });
  assert.deepEqual(world.serving(), []);
  await world.goLive(first);
  const states = (await world.app.view())?.deployments.map(({ state }) => state);
  assert.deepEqual(states, ["live", "replaced"]);
  assert.deepEqual(world.serving(), [second]);
  assert.deepEqual(await world.routes.list(), [SECOND]);
  await world.pass(0);
  assert.ok(world.cancelled.includes(first));
});

test("a project that is removed while a deploy goes live leaves no rule and no name behind", async () => {
  const world = new World();
  const { ready } = await switching(world);
  const held = Promise.withResolvers<void>();
  world.routes.before = held.promise;
  const { puts } = world.routes;
  const going = ready();
  await until("the table was asked", () => world.routes.puts > puts);
  const removing = world.app.remove();
  held.resolve();
  assert.equal(await removing, true);
  await going;
  assert.deepEqual(await world.routes.list(), []);
  assert.deepEqual(await world.routes.projects(), []);
});

test("a deploy goes live within two seconds after the table of rules did not answer", async () => {
  const world = new World();
  const { first, second, ready } = await switching(world);
  world.routes.faults = 1;
  await ready();
  assert.deepEqual(world.serving(), [first]);
  assert.deepEqual(world.reports, ["listing shop"]);
  await world.pass(2_000);
  assert.deepEqual(world.serving(), [second]);
  assert.deepEqual(await world.routes.list(), [SECOND]);
});
