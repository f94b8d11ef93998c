import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "./health.ts";
import { createLogger } from "./logger.ts";
import { clock } from "./machine.ts";
import { emptyEngine, recipe, registerAt, serviceOf, testHome } from "./testing/agent.ts";
import { TestEdge } from "./testing/edge.ts";

const HOUR_MS = 3_600_000;
const OWNER = { agent: "default.0123456789abcdef", build: "b".repeat(32), attempt: 2 };

/** A host that is well until something of `engine` or `disk` is changed, or its wall clock by `off.ms`. */
async function host() {
  const engine = emptyEngine();
  const off = { ms: 0 };
  const disk = { writeWhole: async () => {} };
  const health = new Health({
    clock: { ...clock, date: () => new Date(Date.now() + off.ms) },
    disk,
    home: "/var/lib/railhead",
    docker: engine,
    images: ["golang:1"],
    min_free_bytes: 2 ** 31,
    log: createLogger({ json: true, write: () => {} }),
  });
  await health.look();
  assert.equal(health.unwell, null);
  return { health, engine, disk, off };
}

test("an agent whose disk is full says how full, until there is room again", async () => {
  const { health, engine } = await host();
  const well = engine.facts_now;
  engine.facts_now = { ...well, disk_free_bytes: 2 ** 30, disk_total_bytes: 2 ** 35 };
  await health.look();
  assert.equal(
    health.unwell,
    "the disk of /var/lib/docker is 97 % full, with 1.0 GiB free of the 2.0 GiB wanted",
  );
  engine.facts_now = well;
  await health.look();
  assert.equal(health.unwell, null);
});

test("an agent that cannot write to its own folder says so, until it can", async () => {
  const { health, disk } = await host();
  const { writeWhole } = disk;
  disk.writeWhole = () => Promise.reject(new Error("ENOSPC: no space left on device"));
  await health.look();
  assert.equal(health.unwell, "its disk cannot be written: ENOSPC: no space left on device");
  disk.writeWhole = writeWhole;
  await health.look();
  assert.equal(health.unwell, null);
});

test("an agent whose engine does not answer says so, until it does", async () => {
  const { health, engine } = await host();
  const { facts } = engine;
  engine.facts = () => Promise.reject(new Error("connect ENOENT"));
  await health.look();
  assert.equal(health.unwell, "the Docker engine does not answer: connect ENOENT");
  engine.facts = facts;
  await health.look();
  assert.equal(health.unwell, null);
});

test("an agent without a builder image says which, until it is there", async () => {
  const { health, engine } = await host();
  const { imageId } = engine;
  engine.imageId = async () => null;
  await health.look();
  assert.match(health.unwell ?? "", /^image golang:1 is not on this host and cannot be pulled: /);
  engine.imageId = imageId;
  await health.look();
  assert.equal(health.unwell, null);
});

test("an agent that could not clean up says so, until the reaper went through", async () => {
  const { health } = await host();
  const cleaned = health.reaping();
  health.unclean(OWNER, "the engine refuses");
  cleaned();
  assert.match(health.unwell ?? "", /could not be cleaned away: the engine refuses$/);
  health.reaping()();
  assert.equal(health.unwell, null);
});

test("an agent whose clock is wrong by minutes says so, until it is right again", async () => {
  const { health, off } = await host();
  off.ms = HOUR_MS;
  assert.equal(health.unwell, null, "nobody knows before the edge said its time");
  off.ms = 0;
  health.edgeClock.heard(Date.now(), clock.now());
  for (const [ms, said] of [
    [HOUR_MS, "the clock is 60 min ahead of the edge's"],
    [-2 * HOUR_MS, "the clock is 120 min behind the edge's"],
    [60_000, null],
    [0, null],
  ] as const) {
    off.ms = ms;
    assert.equal(health.unwell, said);
  }
});

test("an agent tells the edge that its clock is wrong, and that it is right again", async () => {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  await registerAt(edge, home);
  edge.clock_ahead_ms = HOUR_MS;
  const { service } = await serviceOf(home, async () => [], { recipe: recipe(async () => []) });
  const running = service.run();
  await edge.until("it is connected", () => edge.control !== null);
  assert.match(edge.answersOf("hello")[0]?.unwell ?? "", /^the clock is 60 min behind the edge's$/);
  edge.clock_ahead_ms = 0;
  edge.control?.close();
  await edge.until("it is back", () => edge.answersOf("hello").length === 2);
  assert.equal(edge.answersOf("hello")[1]?.unwell, null);
  service.drain("the test is over");
  await running;
  await edge.stop();
  remove();
});
