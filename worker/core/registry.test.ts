import assert from "node:assert/strict";
import { test } from "node:test";
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
  world.pool.control.closed(agent.id, epoch, world.now);
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
    },
  ]);
});
