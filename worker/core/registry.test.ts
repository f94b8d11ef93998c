import assert from "node:assert/strict";
import { test } from "node:test";
import { LEASE_EXPIRY_MS } from "../../shared/limits.ts";
import { PoolWorld } from "../../test/support/pool-world.ts";

test("a name is an agent's own until it is removed", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("host-1");
  await assert.rejects(world.agent("host-1"), /taken/);
  world.pool.control.act(agent.id, "remove", "");
  const again = await world.agent("host-1");
  assert.notEqual(again.id, agent.id);
});

test("frames of an outdated socket change nothing", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  const { epoch } = agent.socket;
  await agent.connect();
  await agent.say({ t: "status", capacity: 0, unwell: "stale", draining: true }, epoch);
  assert.equal(world.pool.agents()[0]?.capacity, 1);
  world.pool.control.closed(agent.id, epoch, world.now, 1000);
  assert.equal(world.pool.agents()[0]?.status, "connected");
});

test("epochs only rise, through restarts too", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  const epochs = [agent.socket.epoch];
  world.restart("lost");
  await agent.connect();
  epochs.push(agent.socket.epoch);
  world.restart("kept");
  await agent.connect();
  epochs.push(agent.socket.epoch);
  assert.deepEqual(epochs, [1, 2, 3]);
});

test("a restarted agent supersedes its predecessor on the same host", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  assert.equal(await agent.connect({ instance: "second" }), null);
  assert.deepEqual(world.closes, [{ agent: agent.id, code: 4001 }]);
});

test("a reconnecting process is not told to stop", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await agent.connect();
  assert.deepEqual(world.closes, [{ agent: agent.id, code: 4011 }]);
});

test("a copy of the key on another engine is refused while the first is fresh", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  assert.deepEqual(await agent.connect({ engine: "copy", instance: "copy" }), { code: 4003 });
  assert.equal(world.pool.agents()[0]?.status, "connected");
});

test("a host whose engine was replaced gets in once its old self was silent", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  agent.drop();
  assert.deepEqual(await agent.connect({ engine: "new" }), { code: 4003 });
  world.now += 12_000;
  assert.equal(await agent.connect({ engine: "new" }), null);
});

test("a copy has to wait for the whole lease while the first may still be building", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  agent.drop();
  await world.pass(119_000);
  assert.deepEqual(await agent.connect({ engine: "copy" }), { code: 4003 });
  await world.pass(2_000);
  assert.equal(await agent.connect({ engine: "copy" }), null);
});

test("a nonce is good once, and never behind a newer one", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  assert.equal(world.pool.useNonce(agent.id, 100), true);
  assert.equal(world.pool.useNonce(agent.id, 100), false);
  assert.equal(world.pool.useNonce(agent.id, 99), false);
  world.restart("lost");
  assert.equal(world.pool.useNonce(agent.id, 100), false);
  assert.equal(world.pool.useNonce(agent.id, 101), true);
});

test("an agent is listed with what it runs and when it was last heard of", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a", { labels: { arch: "amd64" }, version: "1.2.3" });
  await world.enqueue("b1");
  world.now += 4_000;
  agent.ping();
  assert.deepEqual(world.pool.agents(), [
    {
      agent: agent.id,
      name: "a",
      pool: "default",
      labels: { arch: "amd64" },
      recipes: ["go"],
      capacity: 1,
      running: [{ build: "b1", attempt: 1 }],
      version: "1.2.3",
      status: "connected",
      last_seen: new Date(world.now).toISOString(),
      draining: false,
      cordoned: null,
      unwell: null,
    },
  ]);
});

/** How an agent is listed: its status, with `draining` behind it when it is. */
function listed(world: PoolWorld): string | undefined {
  const view = world.pool.agents()[0];
  return view && `${view.status}${view.draining ? " draining" : ""}`;
}

const DRAINING = { t: "status", capacity: 1, unwell: null, draining: true } as const;

test("an agent that drained and left is gone at once, and stays so through a restart of the pool", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await agent.say(DRAINING);
  assert.equal(listed(world), "connected draining");
  agent.drop(1000);
  assert.equal(listed(world), "gone");
  world.restart("lost");
  assert.equal(listed(world), "gone");
  await agent.connect({ instance: "second" });
  assert.equal(listed(world), "connected", "a new process does not drain");
  agent.drop();
  assert.equal(listed(world), "suspect");
});

test("a socket that broke is suspect until its lease is over, then gone, draining or not", async () => {
  for (const draining of [false, true]) {
    const world = new PoolWorld();
    const agent = await world.agent("a");
    await agent.say({ ...DRAINING, draining });
    agent.drop();
    await world.pass(LEASE_EXPIRY_MS - 1);
    assert.equal(listed(world), draining ? "suspect draining" : "suspect");
    await world.pass(1);
    assert.equal(listed(world), "gone");
  }
});

test("an agent that leaves with a build on it is suspect: it may come back for it", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  await agent.say(DRAINING);
  agent.drop(1000);
  assert.equal(listed(world), "suspect draining");
});
