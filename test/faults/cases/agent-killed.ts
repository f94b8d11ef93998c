/** Area "agent": its process is killed at every step of a build, and comes back. */
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import { type Place, standstill } from "../standstill.ts";

const PLACES: readonly (Place & { name: string; quick: boolean })[] = [
  { name: "before accept", halt: "before accept", source: "prompt", quick: true },
  { name: "after accept", halt: "before phase", source: "prompt", quick: false },
  { name: "in clone", halt: "after started fetch", source: "private", quick: false },
  { name: "between exit and upload", halt: "before made", source: "prompt", quick: false },
  { name: "in part 2 of 3", halt: "before part 2", source: "large", quick: true },
  { name: "between part 2 and its journal", halt: "after part 2", source: "large", quick: false },
  { name: "after upload", halt: "after uploaded", source: "prompt", quick: false },
  { name: "before its result", halt: "before verdict", source: "prompt", quick: false },
  { name: "after its result", halt: "before remove", source: "prompt", quick: false },
  { name: "before done", halt: "before done", source: "prompt", quick: false },
];

const killedAt: FaultCase[] = PLACES.map((place) => ({
  area: "agent",
  name: `SIGKILL ${place.name}, started again`,
  quick: place.quick,
  async run(world) {
    const { index, watched } = await standstill(world, place);
    await world.stack.killAgent(index);
    world.healed();
    world.stack.startAgent(index);
    await world.succeeds(watched, place.name === "before accept" ? null : 1);
  },
}));

export const cases: FaultCase[] = [
  ...killedAt,
  {
    area: "agent",
    name: "SIGKILL in compile, started again: it adopts its container",
    quick: true,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      await world.stack.killAgent(index);
      world.healed();
      world.stack.startAgent(index);
      await world.goesOn(watched);
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  {
    area: "agent",
    name: "SIGKILL in compile, away until after its container's end",
    quick: false,
    async run(world) {
      const watched = await world.held();
      const index = await world.agentOf(watched);
      const container = await world.stack.building(watched.id);
      await world.stack.killAgent(index);
      await world.stack.release(watched.id);
      await until("the end of the container", async () => {
        const found = await world.stack.containers(watched.id);
        return found.find(({ Id }) => Id === container.Id)?.State !== "running";
      });
      world.healed();
      world.stack.startAgent(index);
      await world.succeeds(watched);
    },
  },
];
