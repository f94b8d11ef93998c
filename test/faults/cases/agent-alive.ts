/** Area "agent": it lives, but is starved, asleep, mistaken about the time, copied, or told to end. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { CLOSE } from "../../../shared/protocol.ts";
import { execIn } from "../../support/engine.ts";
import { RELEASE_FILE } from "../../support/fixtures.ts";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import { otherEngine, twin } from "../copies.ts";
import { standstill } from "../standstill.ts";

const HOUR_MS = 3_600_000;
/** Milliseconds of which a starved agent gets the first, and of the pauses between. */
const SLICE_MS = 30;
const PAUSE_MS = 270;
/** Milliseconds for a lease to run out and another agent to finish. */
const LOST_MS = 240_000;
/** Exit status of an agent whose place another process took. */
const SUPERSEDED = 4;

const clocks: FaultCase[] = [
  {
    area: "agent",
    name: "started with its clock an hour slow: says so, and the other one builds",
    quick: false,
    async run(world) {
      await world.restartAgent(0, { FAULT_CLOCK_MS: String(-HOUR_MS) });
      const unwell = async () => (await world.stack.agents())[0]?.cordoned ?? null;
      assert.match(await until("word of its clock", unwell), /clock/);
      const watched = await world.startPrivate("prompt");
      await world.succeeds(watched);
      assert.notEqual((await world.stack.record(watched.id, watched.init)).agent, "local-1");
      await world.restartAgent(0);
      await until("it to be well", async () => (await unwell()) === null);
    },
  },
  {
    area: "agent",
    name: "its clock leaps an hour in mid-build, and back",
    quick: false,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      const isAhead = () =>
        watched.viewer.seen.some(({ time }) => Date.parse(time) - Date.now() > HOUR_MS / 2);
      await world.stack.signalAgent(index, "SIGUSR2");
      await until("a line from the future", isAhead);
      await world.goesOn(watched);
      await world.stack.signalAgent(index, "SIGUSR2");
      world.healed();
      await world.goesOn(watched);
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
];

const asleep: FaultCase[] = [
  { name: "with everything uploaded", halt: "before verdict" },
  { name: "between two parts", halt: "before part 2" },
  { name: "in clone", halt: "after started fetch" },
].map(({ name, halt }) => ({
  area: "agent",
  name: `suspended past its lease ${name}: publishes nothing`,
  quick: false,
  async run(world) {
    const { index, watched } = await standstill(world, { halt, source: "large" });
    await until(
      "another agent's publication",
      async () => (await world.stack.record(watched.id)).state === "succeeded",
      LOST_MS,
    );
    world.healed();
    await world.goOn(index);
    await world.succeeds(watched, 2);
  },
}));

export const cases: FaultCase[] = [
  {
    area: "agent",
    name: "container killed for its memory",
    quick: false,
    async run(world) {
      const watched = await world.start(await world.source("hungry"));
      const { record } = await world.stack.ended(watched.id);
      assert.equal(record.state, "failed");
      assert.equal(record.class, "out_of_memory");
    },
  },
  ...clocks,
  {
    area: "agent",
    name: "starved: a tenth of the processor",
    quick: false,
    async run(world) {
      const path = await world.source("prompt");
      const starved = new AbortController();
      const pulses = Promise.all(
        [...world.proxies.keys()].map(async (index) => {
          while (!starved.signal.aborted) {
            await world.stack.signalAgent(index, "SIGSTOP");
            await sleep(PAUSE_MS);
            await world.stack.signalAgent(index, "SIGCONT");
            await sleep(SLICE_MS);
          }
        }),
      );
      try {
        await world.succeeds(await world.start(path), null);
      } finally {
        starved.abort();
        await pulses;
      }
      world.healed();
    },
  },
  ...asleep,
  {
    area: "agent",
    name: "asleep for a while in compile: goes on in the same attempt",
    quick: false,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      await world.stack.signalAgent(index, "SIGSTOP");
      await until("the agent to be suspect", async () =>
        (await world.stack.agents()).some(({ status }) => status !== "connected"),
      );
      await world.goOn(index);
      world.healed();
      await world.goesOn(watched);
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  {
    area: "agent",
    name: "a second process with its identity takes over; the first comes back",
    quick: false,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      const other = await twin(world.stack, index);
      try {
        assert.equal(await world.stack.agentExit(index), SUPERSEDED);
      } finally {
        await other.kill();
      }
      world.stack.startAgent(index);
      world.healed();
      await world.back(index);
      // Which attempt goes on is the pool's to choose.
      await until(
        "the build's end",
        async () => {
          for (const { Id, State } of await world.stack.containers(watched.id))
            if (State === "running") await execIn(Id, ["touch", RELEASE_FILE]).catch(() => {});
          return (await world.stack.record(watched.id)).state === "succeeded";
        },
        LOST_MS,
      );
    },
  },
  {
    area: "agent",
    name: "its identity on another host is refused while it is there",
    quick: true,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      const { code } = await otherEngine(world.stack, index);
      assert.equal(code, CLOSE.forbidden);
      await world.goesOn(watched);
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  {
    area: "agent",
    name: "SIGTERM drains: it finishes, takes nothing new, and ends",
    quick: true,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      await world.stack.signalAgent(index, "SIGTERM");
      await until("the agent to drain", async () =>
        (await world.stack.agents()).some(({ draining }) => draining),
      );
      const next = await world.held();
      assert.notEqual(await world.agentOf(next), index, "a draining agent takes nothing new");
      await world.stack.release(watched.id);
      await world.succeeds(watched);
      assert.equal(await world.stack.agentExit(index), 0);
      await world.stack.release(next.id);
      await world.succeeds(next);
      world.stack.startAgent(index);
    },
  },
  {
    area: "agent",
    name: "SIGTERM twice cancels",
    quick: false,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      await world.stack.signalAgent(index, "SIGTERM");
      await until("the agent to drain", async () =>
        (await world.stack.agents()).some(({ draining }) => draining),
      );
      await world.stack.signalAgent(index, "SIGTERM");
      const { record } = await world.stack.ended(watched.id);
      assert.equal(record.state, "cancelled");
      assert.equal(await world.stack.agentExit(index), 0);
      world.stack.startAgent(index);
    },
  },
];
