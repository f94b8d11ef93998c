/** Area "control plane": connections, storage and memory of the edge fail while it runs. */
import assert from "node:assert/strict";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import { standstill } from "../standstill.ts";

export const cases: FaultCase[] = [
  {
    area: "control plane",
    name: "all sockets dropped at once",
    quick: true,
    async run(world) {
      const builds = [await world.held(), await world.held()];
      for (const proxy of world.proxies) proxy.reset();
      world.healed();
      for (const build of builds) await world.goesOn(build);
      for (const build of builds) await world.stack.release(build.id);
      for (const build of builds) await world.succeeds(build);
    },
  },
  {
    area: "control plane",
    name: "objects leave memory between two frames",
    quick: false,
    async run(world) {
      const { stack } = world;
      // Nobody follows and nobody asks: that would keep them in memory.
      const path = await world.source("quiet");
      const { build_id } = await stack.start(path);
      const container = await stack.building(build_id);
      await until("the container's end", async () => {
        const found = await stack.containers(build_id);
        return found.find(({ Id }) => Id === container.Id)?.State !== "running";
      });
      const { record, log } = await stack.ended(build_id);
      assert.equal(record.state, "succeeded", record.reason ?? "");
      assert.equal(record.attempt, 1);
      assert.equal(log.filter(({ msg }) => msg.startsWith("quiet: line ")).length, 3);
    },
  },
  {
    area: "control plane",
    name: "the answer to a stored part is lost",
    quick: false,
    async run(world) {
      const { index, watched } = await standstill(world, {
        halt: "before part 2",
        source: "large",
      });
      const proxy = world.proxies[index];
      assert.ok(proxy);
      let lost = 0;
      proxy.loses = ({ path }) => {
        if (!path.endsWith("/parts/2") || lost === 2) return false;
        lost += 1;
        return true;
      };
      await world.goOn(index);
      await until("two lost answers", () => lost === 2);
      world.healed();
      await world.succeeds(watched);
    },
  },
  {
    area: "control plane",
    name: "an alarm rings twice",
    quick: false,
    impossible: async () =>
      "workerd rings an alarm once and offers no way to repeat it; the simulation (npm run sim) does.",
    async run() {},
  },
];
