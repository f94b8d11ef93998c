/** Area "agent": the Docker engine under it dies and comes back. It is a second one: the machine's own is left alone. */
import assert from "node:assert/strict";
import { findCheckout } from "../../../cli/dev/checkout.ts";
import { readyImages } from "../../../cli/dev/engine.ts";
import { engine } from "../../support/engine.ts";
import { SecondEngine } from "../../support/second-engine.ts";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import { checkOrder } from "../check-history.ts";
import { FaultWorld } from "../world.ts";

/** Milliseconds within which an agent removes what it could not before. */
const CLEAN_MS = 180_000;

export const cases: FaultCase[] = [
  {
    area: "agent",
    name: "dockerd SIGKILLed in a build, started again",
    quick: false,
    impossible: SecondEngine.impossible,
    async run(shared) {
      const { go } = await readyImages(findCheckout(), new AbortController().signal);
      const second = await SecondEngine.open(go);
      shared.defer(() => second.close());
      const world = await FaultWorld.open({
        agents: 1,
        agentSettings: {
          RAILHEAD_AGENT_DOCKER_SOCKET: second.socket,
          // It has no image but Go's.
          RAILHEAD_AGENT_IMAGES_ERLANG: "",
        },
      });
      shared.defer(() => world.close());
      const watched = await world.start(await world.source("slow"));
      await world.sees(watched, "slow: line 20");
      await second.kill();
      await until("the agent to be unwell", async () =>
        (await world.stack.agents()).some(({ cordoned }) => cordoned !== null),
      );
      await second.start();
      shared.healed();
      await world.succeeds(watched);
      const { log } = await world.stack.ended(watched.id);
      assert.deepEqual(checkOrder(watched.id, log), []);
      if (!log.some(({ gap }) => gap !== undefined))
        assert.equal(log.filter(({ msg }) => msg.startsWith("slow: line ")).length, 100);
      // The engine holds on to the volumes of containers that outlived it, until it starts once more
      // (seen with moby 20.10); the agent tries again until they are gone.
      await second.stop();
      await second.start();
      await until("a clean host", async () => (await leftOn(second.socket)).length === 0, CLEAN_MS);
      shared.recovered();
    },
  },
];

/** What builds have on the engine behind this socket. */
async function leftOn(socket: string): Promise<unknown[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: ["railhead.build"] }));
  const ask = <T>(path: string) => engine<T>("GET", `${path}filters=${filters}`, undefined, socket);
  const { Volumes } = await ask<{ Volumes: unknown[] | null }>("/volumes?");
  return [...(await ask<unknown[]>("/containers/json?all=1&")), ...(Volumes ?? [])];
}
