/** Area "control plane": the edge dies at every step of a build, and comes back on the same state. */
import assert from "node:assert/strict";
import type { FaultCase } from "../case.ts";
import { type Place, standstill } from "../standstill.ts";
import { Viewer } from "../viewer.ts";

const PLACES: readonly (Place & { name: string; quick: boolean })[] = [
  { name: "before accept", halt: "before accept", source: "prompt", quick: false },
  { name: "after accept", halt: "before phase", source: "prompt", quick: false },
  { name: "in clone", halt: "after started fetch", source: "private", quick: false },
  { name: "between exit and upload", halt: "before made", source: "prompt", quick: false },
  { name: "in part 2 of 3", halt: "before part 2", source: "large", quick: true },
  { name: "after part 2 of 3", halt: "after part 2", source: "large", quick: false },
  { name: "after upload", halt: "after uploaded", source: "prompt", quick: false },
  { name: "before the result", halt: "before verdict", source: "prompt", quick: false },
  { name: "after the result", halt: "before remove", source: "prompt", quick: false },
  { name: "before done", halt: "before done", source: "prompt", quick: false },
];

const killedAt: FaultCase[] = PLACES.map((place) => ({
  area: "control plane",
  name: `workerd SIGKILLed ${place.name}, started again`,
  quick: place.quick,
  async run(world) {
    const { index, watched } = await standstill(world, place);
    await world.stack.killEdge();
    await world.goOn(index);
    await world.stack.startEdge();
    world.healed();
    await world.succeeds(watched, place.name === "before accept" ? null : 1);
  },
}));

export const cases: FaultCase[] = [
  ...killedAt,
  {
    area: "control plane",
    name: "workerd SIGKILLed in compile, started again",
    quick: false,
    async run(world) {
      const watched = await world.held();
      await world.stack.killEdge();
      await world.stack.building(watched.id);
      await world.stack.startEdge();
      world.healed();
      await world.goesOn(watched);
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  {
    area: "control plane",
    name: "workerd SIGKILLed twice in mid-log, with followers",
    quick: true,
    async run(world) {
      const watched = await world.start(await world.source("talkative"));
      const followers = Array.from({ length: 3 }, () => new Viewer(world.stack, watched.id, {}));
      for (const viewer of followers) world.watched.push({ ...watched, viewer });
      for (const line of [500, 5_000]) {
        await world.sees(watched, `talk: line ${line}`);
        await world.stack.killEdge();
        await world.stack.startEdge();
      }
      world.healed();
      await world.succeeds(watched);
      const { log } = await world.stack.ended(watched.id);
      assert.equal(log.filter(({ msg }) => msg.startsWith("talk: line ")).length, 20_000);
    },
  },
  {
    area: "control plane",
    name: "workerd and an agent die; the edge comes back alone",
    quick: false,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      await world.stack.killAgent(index);
      await world.stack.killEdge();
      await world.stack.startEdge();
      world.healed();
      await world.runs(watched, 2);
      await world.stack.release(watched.id, 2);
      await world.succeeds(watched, 2);
      world.stack.startAgent(index);
    },
  },
];
