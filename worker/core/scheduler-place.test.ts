import assert from "node:assert/strict";
import { test } from "node:test";
import { PoolWorld } from "../../test/support/pool-world.ts";
import { noSuchAgent, type Standing } from "./scheduler-place.ts";

/** Counts a build of that recipe that ran so long. */
async function ran(world: PoolWorld, recipe: string, running_ms: number): Promise<void> {
  await world.enqueue("past", { recipe });
  const outcome = "succeeded";
  world.pool.ended({ build_id: "past", recipe, outcome, class: null, queued_ms: 0, running_ms });
  await world.settle();
}

/** Enqueues builds, each a moment after the one before. */
async function line(world: PoolWorld, ...ids: string[]): Promise<void> {
  for (const id of ids) {
    world.now += 1;
    await world.enqueue(id);
  }
}

test("the wait is expected from how long builds ran before, and how many run at once", async () => {
  const world = new PoolWorld();
  await world.agent("a", { capacity: 2 });
  await ran(world, "go", 10_000);
  await line(world, "b1", "b2", "b3", "b4");
  assert.deepEqual(world.pool.place("b4"), {
    position: 2,
    expected_wait_ms: 10_000,
    why: "all 2 slots are busy",
    held_back: [],
  });
});

test("the wait of a build is expected from builds of its own recipe; without any, nothing is claimed", async () => {
  const world = new PoolWorld();
  await world.agent("a", { recipes: ["go", "image"] });
  await ran(world, "image", 600_000);
  await line(world, "b1", "b2");
  assert.equal(world.pool.place("b2")?.expected_wait_ms, null);
  await ran(world, "go", 4_000);
  assert.equal(world.pool.place("b2")?.expected_wait_ms, 4_000);
});

test("what builds took long ago counts less than what they take now", async () => {
  const world = new PoolWorld();
  await world.agent("a");
  for (let i = 0; i < 100; i++) await ran(world, "go", 60_000);
  for (let i = 0; i < 200; i++) await ran(world, "go", 1_000);
  await line(world, "b1", "b2");
  const expected = world.pool.place("b2")?.expected_wait_ms ?? 0;
  assert.ok(expected >= 1_000 && expected < 3_000, `${expected}`);
});

test("a waiting build is told who could take it but does not, by kind; the operator also by name and reason", async () => {
  const world = new PoolWorld();
  await world.enqueue("b1");
  assert.equal(world.pool.place("b1")?.why, "no agent serves go");
  const smithy = await world.agent("smithy", { unwell: "the disk is 96 % full" });
  assert.equal(world.pool.place("b1")?.why, "no agent takes new work: 1 agent is unwell");
  const forge = await world.agent("forge", { unwell: "the Docker engine does not answer" });
  await world.agent("anvil", { draining: true });
  world.pool.control.act(forge.id, "cordon", "kernel update");
  assert.deepEqual(world.pool.place("b1"), {
    position: 1,
    expected_wait_ms: null,
    why: "no agent takes new work: 1 agent is cordoned, 1 agent is draining, 1 agent is unwell",
    held_back: [
      "smithy is unwell: the disk is 96 % full",
      "forge is cordoned: kernel update",
      "anvil is draining: it is about to end",
    ],
  });
  smithy.drop();
  assert.equal(
    world.pool.place("b1")?.why,
    "no agent takes new work: 1 agent is cordoned, 1 agent is draining",
  );
});

test("busy slots and agents held back are both told", async () => {
  const world = new PoolWorld();
  await world.agent("a", { capacity: 2 });
  const [b, c] = [await world.agent("b"), await world.agent("c")];
  for (const { id } of [b, c]) world.pool.control.act(id, "cordon", "kernel update");
  await line(world, "b1", "b2", "b3");
  assert.equal(world.pool.place("b3")?.why, "all 2 slots are busy; 2 agents are cordoned");
});

test("an agent's own finding and its operator's cordon are told apart in the listing", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a", { unwell: "the disk is 96 % full" });
  const shown = () => {
    const [{ cordoned, unwell } = { cordoned: "?", unwell: "?" }] = world.pool.agents();
    return { cordoned, unwell };
  };
  const full = "the disk is 96 % full";
  assert.deepEqual(shown(), { cordoned: full, unwell: full });
  world.pool.control.act(agent.id, "cordon", "kernel update");
  assert.deepEqual(shown(), { cordoned: "kernel update", unwell: full });
  await agent.say({ t: "status", capacity: 1, unwell: null, draining: false });
  assert.deepEqual(shown(), { cordoned: "kernel update", unwell: null });
  world.pool.control.act(agent.id, "uncordon", "");
  assert.deepEqual(shown(), { cordoned: null, unwell: null });
});

test("an agent that is well again gets what waited for it", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a", { unwell: "the disk is 96 % full" });
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), []);
  await agent.say({ t: "status", capacity: 1, unwell: null, draining: false });
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

/** How agents with these labels stand. */
function standings(...agents: [labels: Record<string, string>, status: Standing["status"]][]) {
  const registry = { recipes: ["erlang"], capacity: 1 };
  return agents.map(([labels, status]) => ({
    agent: { ...registry, labels } as unknown as Standing["agent"],
    used: 0,
    status,
    lastSeen: null,
    heldBack: null,
  }));
}

test("only labels that no agent has, not even one that is away for the moment, end a build", () => {
  const kind = { recipe: "erlang", needs: { erlang: "25" } };
  const none = "No agent has erlang=25. There are: erlang=26, erlang=27.";
  const two = { erlang: "27,26" };
  assert.equal(noSuchAgent(standings([two, "connected"]), kind), none);
  assert.equal(noSuchAgent(standings([two, "suspect"]), kind), null);
  assert.equal(noSuchAgent(standings([two, "gone"]), kind), null);
  assert.equal(noSuchAgent(standings(), kind), null);
  const fitting = { erlang: "25" };
  assert.equal(noSuchAgent(standings([two, "connected"], [fitting, "suspect"]), kind), null);
  assert.equal(noSuchAgent(standings([two, "connected"], [fitting, "gone"]), kind), none);
  assert.equal(noSuchAgent(standings([two, "connected"]), { ...kind, recipe: "go" }), null);
  assert.equal(noSuchAgent(standings([{}, "connected"]), { ...kind, needs: {} }), null);
  const parts = standings([{ erlang: "225,2" }, "connected"]);
  assert.match(noSuchAgent(parts, kind) ?? "", /erlang=2, erlang=225/);
});
