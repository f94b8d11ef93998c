import assert from "node:assert/strict";
import { test } from "node:test";
import { NEXT } from "../../test/support/build.ts";
import { PoolWorld } from "../../test/support/pool-world.ts";

test("a build goes to an idle agent at once, as attempt 1", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  assert.deepEqual(await world.enqueue("b1"), { kind: "ok", place: NEXT });
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  assert.equal(world.build("b1").begun.length, 1);
});

test("nothing is assigned before the Build has said yes, and its slot is taken meanwhile", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  let open = () => {};
  world.build("b1").gate = new Promise((resolve) => {
    open = resolve;
  });
  world.pool.enqueue(world.job("b1"));
  world.pool.enqueue(world.job("b2"));
  assert.deepEqual(agent.assigned(), []);
  open();
  await world.settle();
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  assert.equal(world.pool.place("b2")?.position, 1);
});

test("a build that its Build refuses is dropped and the slot goes to the next", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  world.build("b1").state = "cancelled";
  world.pool.enqueue(world.job("b1"));
  await world.enqueue("b2");
  assert.deepEqual(agent.assigned(), ["b2/1"]);
  assert.equal(world.pool.stats().queued, 0);
});

test("an outdated attempt number is corrected by the Build", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  world.build("b1").attempt = 4;
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), ["b1/5"]);
});

test("enqueueing a build again changes nothing, whatever it waits for", async () => {
  const world = new PoolWorld();
  await world.enqueue("b1");
  await world.enqueue("b1");
  const agent = await world.agent("a");
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), ["b1/1"]);
});

test("builds start in the order they came, and a requeued one keeps its place", async () => {
  const world = new PoolWorld();
  const first = await world.agent("a");
  await world.enqueue("b1");
  for (const id of ["b2", "b3"]) {
    world.now += 1;
    await world.enqueue(id);
  }
  assert.equal(world.pool.place("b3")?.position, 2);
  first.drop();
  await world.pass(2_000);
  const second = await world.agent("b", { capacity: 2 });
  assert.deepEqual(second.assigned(), ["b1/2", "b2/1"]);
});

test("a build whose label only an absent agent has does not block the others, and gets it when it returns", async () => {
  const world = new PoolWorld();
  await world.enqueue("odd", { needs: { erlang: "27" } });
  assert.equal(world.pool.place("odd")?.why, "no agent serves go");
  const fitting = await world.agent("b", { labels: { erlang: "25,27" }, capacity: 0 });
  fitting.drop();
  const agent = await world.agent("a", { capacity: 2 });
  await world.enqueue("b1");
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  assert.deepEqual(world.pool.place("odd"), {
    position: 1,
    expected_wait_ms: null,
    why: "no agent that could take it is connected; one was last seen at 2027-01-15T08:00:00Z",
    held_back: ["b was last seen at 2027-01-15T08:00:00Z"],
  });
  await fitting.connect({ capacity: 1 });
  assert.deepEqual(fitting.assigned(), ["odd/1"]);
});

test("a build whose label nobody has ends at once, and says which there are", async () => {
  const world = new PoolWorld();
  await world.agent("a", { labels: { erlang: "27,9" } });
  await world.agent("b", { labels: { erlang: "27,25" } });
  await world.agent("c", { labels: { erlang: "19" }, recipes: ["image"] });
  await world.enqueue("b1", { needs: { erlang: "19" } });
  assert.equal(
    world.build("b1").unplaceableReason,
    "No agent has erlang=19. There are: erlang=9, erlang=25, erlang=27.",
  );
  assert.equal(world.pool.place("b1"), null);
  assert.equal(world.pool.stats().queued, 0);
  await world.enqueue("b2", { needs: { erlang: "27", disk: "fast" } });
  assert.match(world.build("b2").unplaceableReason ?? "", /^No agent has erlang=27, disk=fast\./);
  const bare = new PoolWorld();
  await bare.agent("a");
  await bare.enqueue("b1", { needs: { erlang: "19" } });
  assert.equal(bare.build("b1").unplaceableReason, "No agent has erlang=19. There is none.");
  await bare.enqueue("b2", { needs: { buildkit: "yes" } });
  assert.match(
    bare.build("b2").unplaceableReason ?? "",
    /^Build secrets need .* BuildKit .*: there is none\.$/,
  );
});

test("builds wait for a label as long as no agent of their recipe is there to judge by", async () => {
  const world = new PoolWorld();
  await world.agent("a", { recipes: ["image"] });
  const away = await world.agent("b");
  away.drop();
  await world.enqueue("b1", { needs: { erlang: "27" } });
  await world.enqueue("b2", { needs: { erlang: "27" } });
  assert.equal(world.pool.place("b1")?.why, "no agent has erlang=27; there is none");
  await away.connect();
  for (const id of ["b1", "b2"])
    assert.equal(world.build(id).unplaceableReason, "No agent has erlang=27. There is none.", id);
});

test("the last agent that had a label takes the builds that wait for it along when it is gone", async () => {
  const world = new PoolWorld();
  const other = await world.agent("other");
  const unwell = "disk full";
  const fitting = await world.agent("fitting", { labels: { erlang: "27" }, unwell });
  await world.enqueue("b1", { needs: { erlang: "27" } });
  fitting.drop();
  await world.pass(100_000, [other]);
  assert.equal(world.build("b1").unplaceableReason, null);
  await world.pass(21_000, [other]);
  const gone = "No agent has erlang=27. There is none.";
  assert.equal(world.build("b1").unplaceableReason, gone);
  const removed = new PoolWorld();
  await removed.agent("other");
  const last = await removed.agent("last", { labels: { erlang: "27" }, unwell });
  await removed.enqueue("b1", { needs: { erlang: "27" } });
  assert.equal(removed.build("b1").unplaceableReason, null);
  removed.pool.control.act(last.id, "remove", "");
  await removed.settle();
  assert.equal(removed.build("b1").unplaceableReason, gone);
});

test("a Build that could not be told why nobody takes it is told later, in the same words", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a", { labels: { erlang: "27" } });
  world.build("b1").unreachable = true;
  await world.enqueue("b1", { needs: { erlang: "19" } });
  world.restart("kept");
  world.build("b1").unreachable = false;
  await world.pass(61_000, [agent]);
  assert.match(world.build("b1").unplaceableReason ?? "", /^No agent has erlang=19\./);
});

test("work spreads over the agents by load", async () => {
  const world = new PoolWorld();
  const small = await world.agent("small", { capacity: 1 });
  const large = await world.agent("large", { capacity: 3 });
  for (let i = 1; i <= 4; i++) await world.enqueue(`b${i}`);
  assert.equal(small.assigned().length, 1);
  assert.equal(large.assigned().length, 3);
  await world.enqueue("b5");
  assert.equal(world.pool.place("b5")?.why, "all 4 slots are busy");
});

test("an end frees the slot and is counted once", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  await world.enqueue("b2");
  const end = {
    build_id: "b1",
    recipe: "go",
    outcome: "succeeded",
    class: null,
    queued_ms: 10,
    running_ms: 4_000,
  } as const;
  world.pool.ended(end);
  world.pool.ended(end);
  await world.settle();
  assert.deepEqual(agent.assigned(), ["b1/1", "b2/1"]);
  assert.deepEqual(world.pool.stats().ended, [
    { recipe: "go", outcome: "succeeded", class: null, count: 1 },
  ]);
  await agent.say({ t: "done", build: "b1", attempt: 1 });
  assert.deepEqual(agent.assigned(), ["b1/1", "b2/1"]);
});

test("done frees the slot before the Build has told of the end", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  await world.enqueue("b2");
  await agent.say({ t: "done", build: "b1", attempt: 1 });
  assert.deepEqual(agent.assigned(), ["b1/1", "b2/1"]);
});

test("an attempt that yields leaves its slot to others and keeps its lease", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await world.enqueue("b2");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  assert.deepEqual(agent.assigned(), ["b1/1"]);
  await agent.say({ t: "yield", build: "b1", attempt: 1 });
  assert.deepEqual(agent.assigned(), ["b1/1", "b2/1"]);
  world.restart("kept");
  await world.enqueue("b3");
  assert.deepEqual(agent.assigned(), ["b1/1", "b2/1"]);
  world.pool.withdraw("b1", "enough");
  assert.deepEqual(
    agent.received("cancel").map(({ build }) => build),
    ["b1"],
  );
});

test("a build that waits is withdrawn without ever reaching an agent", async () => {
  const world = new PoolWorld();
  await world.enqueue("b1");
  world.pool.withdraw("b1", "cancelled by its caller");
  const agent = await world.agent("a");
  assert.deepEqual(agent.assigned(), []);
  assert.equal(world.pool.place("b1"), null);
});

test("a build that runs is cancelled on its agent, also when it only comes back later", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  world.pool.withdraw("b1", "cancelled by its caller");
  assert.equal(agent.received("cancel").length, 1);
  agent.drop();
  await agent.connect({ held: [{ build: "b1", attempt: 1 }] });
  assert.deepEqual(agent.received("cancel"), [
    { t: "cancel", build: "b1", attempt: 1, reason: "cancelled by its caller" },
  ]);
});

test("a build withdrawn while its Build is being asked is not sent", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  let open = () => {};
  world.build("b1").gate = new Promise((resolve) => {
    open = resolve;
  });
  world.pool.enqueue(world.job("b1"));
  world.build("b1").state = "cancelled";
  world.pool.withdraw("b1", "cancelled by its caller");
  open();
  await world.settle();
  assert.deepEqual(agent.assigned(), []);
  assert.equal(world.pool.stats().running, 0);
});

test("only new builds count against the rate: joins and requeues never do", async () => {
  const world = new PoolWorld({ ratePerMinute: 2, queueLimit: 100 });
  assert.equal((await world.enqueue("b1")).kind, "ok");
  assert.equal((await world.enqueue("b1")).kind, "ok");
  assert.equal((await world.enqueue("b2", { admission: false })).kind, "ok");
  assert.equal((await world.enqueue("b3")).kind, "ok");
  const refused = await world.enqueue("b4");
  assert.deepEqual(refused, { kind: "refused", code: "rate_limited", retry_after_s: 30 });
  assert.equal(world.pool.stats().queued, 3);
});

test("a full queue refuses new builds with a time to come back", async () => {
  const world = new PoolWorld({ ratePerMinute: 100, queueLimit: 1 });
  await world.enqueue("b1");
  const refused = await world.enqueue("b2");
  assert.equal(refused.kind === "refused" && refused.code, "queue_full");
  assert.equal((await world.enqueue("b3", { admission: false })).kind, "ok");
});

test("a thousand idle agents cause no wake-up", async () => {
  const world = new PoolWorld();
  for (let i = 0; i < 1_000; i++) await world.agent(`agent-${i}`);
  await world.pass(3_600_000);
  assert.equal(world.alarms, 0);
  assert.equal(world.alarmAt, null);
});

test("once the last build has ended the pool falls silent", async () => {
  const world = new PoolWorld();
  const agent = await world.agent("a");
  await world.enqueue("b1");
  await agent.say({ t: "accept", build: "b1", attempt: 1 });
  world.pool.ended({
    build_id: "b1",
    recipe: "go",
    outcome: "succeeded",
    class: null,
    queued_ms: 1,
    running_ms: 1,
  });
  await world.pass(60_000, [agent]);
  assert.equal(world.alarmAt, null);
  const { alarms } = world;
  await world.pass(3_600_000, [agent]);
  assert.equal(world.alarms, alarms);
});

test("stats tell agents by standing and dispatch by time", async () => {
  const world = new PoolWorld();
  const well = await world.agent("well");
  const full = await world.agent("full", { unwell: "disk 96 % full" });
  const away = await world.agent("away");
  away.drop();
  world.now += 11_000;
  well.ping();
  full.ping();
  await world.enqueue("b1");
  const stats = world.pool.stats();
  assert.deepEqual(stats.agents, { connected: 1, suspect: 1, gone: 0, cordoned: 1 });
  assert.equal(stats.capacity, 1);
  assert.equal(stats.running, 1);
  const dispatch = stats.histograms.find(({ name }) => name === "dispatch_seconds");
  assert.equal(dispatch?.count, 1);
  assert.equal(dispatch?.buckets[0]?.count, 1);
});
