/** Area "host": builds that attack their host, and a host that fails the agent. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Disks } from "../../../agent/docker/disks.ts";
import type { BuildRecord } from "../../../shared/builds.ts";
import type { AgentView } from "../../../shared/identity.ts";
import { EngineProxy } from "../../support/engine-proxy.ts";
import { LAYOUTS } from "../../support/fixtures.ts";
import { cordoned } from "../../support/liar.ts";
import { SmallDisk } from "../../support/small-disk.ts";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import { makefile, pathOf } from "../makefile.ts";
import type { FaultWorld } from "../world.ts";

/** A build that needs no compiler. */
const FINE = makefile("echo fine >fine.txt");
/** Name of the agent that these cases fail. */
const FIRST = "local-1";
const MIB = 2 ** 20;
/** Milliseconds in which an agent sees that its host is unwell, or well again: its round is a minute. */
const ROUND_MS = 120_000;
/** Bytes of the agent's disk in the cases that fill it. */
const DISK_BYTES = 64 * MIB;

export const cases: FaultCase[] = [
  attack(
    "a fork bomb",
    "bomb() { bomb | bomb & }; bomb; for i in $$(seq 2000); do sleep 60 & done",
    "too_many_processes",
  ),
  attack(
    "a memory hog of many processes",
    `seq 16 | xargs -P16 -I_ perl -e '$$x = "x" x (1 << 29); sleep 5'`,
    "out_of_memory",
  ),
  attack("a disk filler", "fallocate -l 3900M fill; head -c 500m /dev/zero >more", "disk_full"),
  {
    area: "host",
    name: "TERM ignored: a cancelled build ends all the same",
    quick: false,
    async run(world) {
      const watched = await world.start(await pathOf(world, LAYOUTS.stubborn));
      await until("its container", () => world.stack.building(watched.id));
      world.healed();
      assert.ok((await world.stack.cancel(watched.id)).ok);
      const { record } = await world.stack.ended(watched.id);
      assert.equal(record.state, "cancelled");
    },
  },
  {
    area: "host",
    name: "the workspace's disk is full in the clone",
    quick: false,
    async run(world) {
      await alone(world, { RAILHEAD_AGENT_LIMITS_DISK: "32m" }, async () => {
        const large = randomBytes(48 * MIB);
        const watched = await world.start(await pathOf(world, { large, "go.mod": "module x\n" }));
        const { record } = await world.stack.ended(watched.id);
        assert.equal(record.class, "disk_full", record.reason ?? "");
      });
    },
  },
  {
    area: "host",
    name: "the agent's disk is full when it is assigned a build",
    quick: false,
    impossible: withoutLoopDevices,
    async run(world) {
      await onSmallDisk(world, async (disk) => {
        await disk.fill();
        const watched = await world.start(await pathOf(world, FINE));
        await until("the agent to say why", () => cordonOf(world, /disk/), ROUND_MS);
        world.healed();
        await disk.empty();
        await world.succeeds(watched, null);
      });
    },
  },
  {
    area: "host",
    name: "the agent's disk is full in the build",
    quick: false,
    impossible: withoutLoopDevices,
    async run(world) {
      await onSmallDisk(world, async (disk) => {
        const watched = await world.held();
        await disk.fill();
        const { record } = await world.stack.ended(watched.id);
        assert.equal(record.class, "disk_full", record.reason ?? "");
        world.healed();
        await disk.empty();
        await world.succeeds(await world.start(await pathOf(world, FINE)), null);
      });
    },
  },
  {
    area: "host",
    name: "the agent's disk is full when it takes what was made",
    quick: false,
    impossible: withoutLoopDevices,
    async run(world) {
      await onSmallDisk(world, async (disk) => {
        const script = `head -c ${DISK_BYTES} /dev/zero >zeros`;
        const watched = await world.start(await pathOf(world, makefile(script)));
        const { record } = await world.stack.ended(watched.id);
        assert.equal(record.class, "disk_full", record.reason ?? "");
        world.healed();
        await disk.empty();
        await world.succeeds(await world.start(await pathOf(world, FINE)), null);
      });
    },
  },
  {
    area: "host",
    name: "a container cannot be removed: the agent cordons itself and says why",
    quick: false,
    async run(world) {
      await behindProxy(world, async (proxy) => {
        proxy.refuses = ({ method, path }) =>
          method === "DELETE" && path.includes("/containers/") ? "the driver is busy" : null;
        const watched = await world.start(await pathOf(world, FINE));
        await world.succeeds(watched, null);
        await until("the agent to say why", () => cordonOf(world, /the driver is busy/), ROUND_MS);
        assert.notDeepEqual(await world.stack.containers(watched.id), []);
        world.healed();
        proxy.heal();
        await until("the agent to be well", () => isWell(world), ROUND_MS);
        assert.deepEqual(await world.stack.containers(watched.id), []);
      });
    },
  },
  {
    area: "host",
    name: "the engine hangs in a build: the agent says so, and goes on when it answers",
    quick: false,
    async run(world) {
      await behindProxy(world, async (proxy) => {
        const watched = await world.held();
        proxy.hang();
        await until("the agent to say why", () => cordonOf(world, /engine/), ROUND_MS);
        world.healed();
        proxy.heal();
        await world.goesOn(watched);
        await world.stack.release(watched.id);
        await world.succeeds(watched);
        await until("the agent to be well", () => isWell(world), ROUND_MS);
      });
    },
  },
];

async function withoutLoopDevices(): Promise<string | null> {
  return (await Disks.able()) ? null : "A small disk needs root and loop devices.";
}

/** Builds go to the first agent only, which runs with these variables meanwhile. */
async function alone(
  world: FaultWorld,
  environment: Record<string, string>,
  act: () => Promise<void>,
): Promise<void> {
  await world.restartAgent(0, environment);
  try {
    const others = (await world.stack.agents())
      .map(({ name }) => name)
      .filter((name) => name !== FIRST);
    await cordoned(world.stack, act, others);
  } finally {
    await world.restartAgent(0);
  }
}

/** The first agent, whose journals and what builds made lie on a small disk. */
async function onSmallDisk(
  world: FaultWorld,
  act: (disk: SmallDisk) => Promise<void>,
): Promise<void> {
  const { stack } = world;
  await stack.killAgent(0);
  const disk = await SmallDisk.over(join(stack.agentHome(0), "attempts"), DISK_BYTES);
  try {
    await alone(world, {}, () => act(disk));
  } finally {
    await stack.killAgent(0);
    await disk.close();
    await world.restartAgent(0);
  }
}

/** The first agent, whose engine can be made to fail it. */
async function behindProxy(
  world: FaultWorld,
  act: (proxy: EngineProxy) => Promise<void>,
): Promise<void> {
  const proxy = await EngineProxy.open();
  try {
    await alone(world, { RAILHEAD_AGENT_DOCKER_SOCKET: proxy.socket }, () => act(proxy));
  } finally {
    await proxy.close();
  }
}

async function first({ stack }: FaultWorld): Promise<AgentView | undefined> {
  return (await stack.agents()).find(({ name }) => name === FIRST);
}

/** Whether the first agent gets no work, for a reason like this. */
async function cordonOf(world: FaultWorld, reason: RegExp): Promise<boolean> {
  return reason.test((await first(world))?.cordoned ?? "");
}

async function isWell(world: FaultWorld): Promise<boolean> {
  const agent = await first(world);
  return agent?.status === "connected" && agent.cordoned === null;
}

/** A makefile that attacks its host ends with the class that says so, and the next build is fine. */
function attack(name: string, script: string, class_: BuildRecord["class"]): FaultCase {
  return {
    area: "host",
    name,
    quick: true,
    async run(world) {
      const watched = await world.start(await pathOf(world, makefile(script)));
      const { record } = await world.stack.ended(watched.id);
      assert.equal(record.state, "failed");
      assert.equal(record.class, class_, record.reason ?? "");
      world.healed();
      await world.succeeds(await world.start(await pathOf(world, FINE)));
    },
  };
}
