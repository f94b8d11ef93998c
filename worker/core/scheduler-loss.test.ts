import assert from "node:assert/strict";
import { test } from "node:test";
import { LEASE_EXPIRY_MS } from "../../shared/limits.ts";
import { PoolWorld, type WorldAgent } from "../../test/support/pool-world.ts";

/** A world with one agent that runs `b1`. */
async function running(): Promise<{ world: PoolWorld; agent: WorldAgent }> {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  return { world, agent };
}

const HELD = { held: [{ build: "b1", attempt: 1 }] };

test("an assign that is not accepted in two seconds goes to another agent under a new number", async () => {
  const world = new PoolWorld();
  const deaf = await world.agent("deaf");
  await world.enqueue("b1");
  assert.deepEqual(deaf.assigned(), ["b1/1"]);
  const other = await world.agent("other");
  await world.pass(2_000, [deaf, other]);
  assert.deepEqual(other.assigned(), ["b1/2"]);
  assert.equal(world.pool.agents().find(({ name }) => name === "deaf")?.status, "suspect");
});

test("an accept that comes too late cancels nothing: the Build itself refuses that attempt", async () => {
  const world = new PoolWorld();
  const slow = await world.agent("slow");
  await world.enqueue("b1");
  const other = await world.agent("other");
  await world.pass(2_000, [slow, other]);
  await slow.say({ t: "accept", build: "b1", attempt: 1 });
  assert.deepEqual(slow.received("cancel"), []);
  assert.equal(world.pool.agents().find(({ name }) => name === "slow")?.status, "connected");
});

test("the only agent, deaf for a while, gets the build again when it hears", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await world.pass(20_000, [agent]);
  assert.deepEqual(agent.assigned(), ["b1/1", "b1/2"]);
});

test("an agent whose socket closed is suspect at once and gets no work", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  agent.drop();
  assert.equal(world.pool.agents()[0]?.status, "suspect");
  await world.enqueue("b1");
  assert.match(world.pool.place("b1")?.why ?? "", /^no agent that could take it is connected;/);
  await agent.connect();
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

test("an agent without pings is suspect after twelve seconds, though its socket is open", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.pass(12_001);
  assert.equal(world.pool.agents()[0]?.status, "suspect");
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), []);
});

test("an agent that only starts to ping again is found by a waiting build", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.pass(20_000);
  await world.enqueue("b1");
  await world.pass(8_000, [agent]);
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

test("a silent agent keeps its attempt for two minutes and not longer", async () => {
  const { world, agent } = await running();
  const other = await world.agent("other");
  agent.drop();
  await world.pass(LEASE_EXPIRY_MS - 1, [other]);
  assert.deepEqual(other.assigned(), []);
  await world.pass(1, [other]);
  assert.deepEqual(other.assigned(), ["b1/2"]);
});

test("hibernation moves no deadline", async () => {
  const { world, agent } = await running();
  const other = await world.agent("other");
  agent.drop();
  for (let i = 0; i < 11; i++) {
    await world.pass(10_000, [other]);
    world.restart("kept");
  }
  await world.pass(10_000, [other]);
  assert.deepEqual(other.assigned(), ["b1/2"]);
});

test("an agent that pings keeps its attempt for ever", async () => {
  const { world, agent } = await running();
  await world.pass(3_600_000, [agent]);
  assert.deepEqual(world.build("b1").lostCalls, []);
});

test("after a restart of the edge the two minutes count from its start", async () => {
  const { world, agent } = await running();
  await world.pass(600_000, [agent]);
  world.restart("lost");
  await world.pass(LEASE_EXPIRY_MS - 1);
  assert.deepEqual(world.build("b1").lostCalls, []);
  await world.pass(1);
  assert.equal(world.build("b1").lostCalls.length, 1);
});

test("a restart of the edge costs no build its attempt", async () => {
  const { world, agent } = await running();
  world.restart("lost");
  await world.pass(30_000);
  await agent.connect(HELD);
  assert.deepEqual(agent.received("welcome")[0]?.drop, []);
  await world.pass(600_000, [agent]);
  assert.deepEqual(world.build("b1").lostCalls, []);
});

test("a restart between assign and accept costs no attempt either", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  world.restart("lost");
  await world.pass(25_000);
  await agent.connect(HELD);
  await world.pass(60_000, [agent]);
  assert.deepEqual(world.build("b1").lostCalls, []);
});

test("an agent that comes back without its attempt has lost it at once", async () => {
  const { world, agent } = await running();
  agent.drop();
  await agent.connect({ instance: "second", held: [] });
  assert.deepEqual(world.build("b1").lostCalls, [{ attempt: 1, why: "a came back without it" }]);
  assert.deepEqual(agent.assigned(), ["b1/2"]);
});

test("an agent that comes back is told which attempts are over", async () => {
  const { world, agent } = await running();
  const other = await world.agent("other");
  agent.drop();
  await world.pass(LEASE_EXPIRY_MS, [other]);
  assert.deepEqual(other.assigned(), ["b1/2"]);
  await agent.connect(HELD);
  assert.deepEqual(agent.received("welcome")[0]?.drop, HELD.held);
});

test("an attempt that the pool knows nothing of is dropped only when its Build agrees", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  agent.drop();
  const live = world.build("live");
  live.state = "running";
  live.attempt = live.live = 1;
  world.build("over").state = "succeeded";
  world.build("away").unreachable = true;
  const held = ["live", "over", "away"].map((build) => ({ build, attempt: 1 }));
  await agent.connect({ held });
  assert.deepEqual(agent.received("welcome")[0]?.drop, [{ build: "over", attempt: 1 }]);
});

test("a Build that cannot be reached is asked again until it answers", async () => {
  const { world, agent } = await running();
  world.build("b1").unreachable = true;
  agent.drop();
  await agent.connect({ instance: "second", held: [] });
  await world.pass(100_000, [agent]);
  assert.deepEqual(agent.assigned(), []);
  world.build("b1").unreachable = false;
  await world.pass(60_000, [agent]);
  assert.equal(agent.assigned()[0], "b1/2");
});

test("a start whose answer got lost costs a number, not the build", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  const build = world.build("b1");
  const { begin } = build;
  build.begin = async (expected, who) => {
    await begin.call(build, expected, who);
    build.begin = begin;
    throw new Error("the answer got lost");
  };
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), ["b1/2"]);
});

test("a pool that died right after its question asks again and goes on with the same attempt", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.build("b1").begin(1, { agent: agent.id, name: "a", instance: "first" });
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

test("a build that is being published when its agent goes stays with the pool until it has ended", async () => {
  const { world, agent } = await running();
  world.build("b1").publishing = true;
  agent.drop();
  await agent.connect({ held: [] });
  await world.pass(60_000, [agent]);
  assert.ok(world.build("b1").lostCalls.length > 1);
  assert.deepEqual(agent.assigned(), []);
  world.build("b1").state = "succeeded";
  await world.pass(60_000, [agent]);
  const { length } = world.build("b1").lostCalls;
  await world.pass(600_000, [agent]);
  assert.equal(world.build("b1").lostCalls.length, length);
});

test("done without a result gives the build to the next attempt", async () => {
  const { world, agent } = await running();
  await agent.say({ t: "done", build: "b1", attempt: 1 });
  await world.pass(6_000, [agent]);
  assert.deepEqual(agent.assigned(), ["b1/1", "b1/2"]);
});

test("a slot is freed even when the word of the end never came", async () => {
  const { world, agent } = await running();
  world.build("b1").state = "timed_out";
  await world.pass(120_000, [agent]);
  await world.enqueue("b2");
  assert.deepEqual(agent.assigned(), ["b1/1", "b2/1"]);
});

test("a busy agent is passed over, and asked again later", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "reject", build: "b1", attempt: 1, code: "busy", reason: "cleaning up" });
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  await world.pass(8_000, [agent]);
  assert.deepEqual(agent.assigned(), ["b1/1", "b1/2"]);
});

test("finishing a build that the pool knows nothing of frees the slot it took", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "reject", build: "b1", attempt: 1, code: "busy", reason: "one is here" });
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  await agent.say({ t: "done", build: "unknown", attempt: 3 });
  assert.deepEqual(agent.assigned(), ["b1/1", "b1/2"]);
});

test("word of the end of an attempt that is another's by now frees nobody's slot", async () => {
  const { world, agent } = await running();
  await agent.say({ t: "done", build: "b1", attempt: 7 });
  const other = await world.agent("other");
  await other.say({ t: "done", build: "b1", attempt: 1 });
  await other.say({ t: "accept", build: "b1", attempt: 1 });
  await world.pass(120_000, [agent, other]);
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  assert.equal(world.build("b1").lostCalls.length, 0);
});

test("an agent whose policy refuses a build never sees it again; another one may take it", async () => {
  const world = new PoolWorld();
  const strict = await world.agent("strict");
  const open = await world.agent("open");
  await world.enqueue("b1");
  const first = strict.assigned().length === 1 ? strict : open;
  const second = first === strict ? open : strict;
  const policy = { t: "reject", build: "b1", attempt: 1, code: "policy" } as const;
  await first.say({ ...policy, reason: "remote not allowed here" });
  assert.deepEqual(second.assigned(), ["b1/2"]);
});

test("a build that every agent's policy refuses ends with their reasons", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.agent("erlang-only", { recipes: ["erlang"] });
  await world.enqueue("b1");
  const reason = "git.example is not among its remotes";
  await agent.say({ t: "reject", build: "b1", attempt: 1, code: "policy", reason });
  assert.equal(
    world.build("b1").unplaceableReason,
    `Every agent that could build this refuses to. a: ${reason}`,
  );
});

test("a cordoned agent gets nothing new until it is uncordoned", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  world.pool.control.act(agent.id, "cordon", "kernel update");
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), []);
  assert.equal(world.pool.place("b1")?.why, "no agent takes new work: 1 agent is cordoned");
  assert.equal(world.pool.agents()[0]?.cordoned, "kernel update");
  world.pool.control.act(agent.id, "uncordon", "");
  await world.settle();
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

test("an agent that is unwell gets nothing until it is well again", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a", { unwell: "disk 96 % full" });
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), []);
  await agent.say({ t: "status", capacity: 1, unwell: null, draining: false });
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

test("a drained agent is told so, keeps what it runs and gets nothing new", async () => {
  const { world, agent } = await running();
  world.pool.control.act(agent.id, "drain", "");
  assert.equal(agent.received("drain").length, 1);
  agent.drop();
  await agent.connect(HELD);
  assert.equal(agent.received("drain").length, 1);
  await agent.say({ t: "done", build: "b1", attempt: 1 });
  await world.enqueue("b2");
  assert.deepEqual(agent.assigned(), []);
  await agent.connect({ instance: "second", held: [] });
  assert.deepEqual(agent.assigned(), ["b2/1"]);
});

test("a removed agent is closed, its attempt goes elsewhere, and its key opens nothing", async () => {
  const { world, agent } = await running();
  const other = await world.agent("other");
  assert.equal(world.pool.control.act(agent.id, "remove", "")?.name, "a");
  await world.settle();
  assert.deepEqual(world.closes, [{ agent: agent.id, code: 4003 }]);
  assert.deepEqual(other.assigned(), ["b1/2"]);
  assert.equal(world.pool.publicKey(agent.id), null);
  assert.deepEqual(await agent.connect(), { code: 4003 });
});
