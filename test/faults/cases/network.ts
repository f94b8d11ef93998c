/** Area "network": whatever lies between an agent and the edge, a build goes on where it was, once. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { isTerminal } from "../../../shared/builds.ts";
import { LEASE_EXPIRY_MS } from "../../../shared/limits.ts";
import { until } from "../../support/until.ts";
import type { FaultCase } from "../case.ts";
import type { Page, Request } from "../proxy.ts";
import type { FaultWorld, Watched } from "../world.ts";

const CUT_SECONDS = [1, 5, 20, 60, 300];
const HALF_OPEN_SECONDS = [20, 150];
/** Seconds of a fault that `npm test` has time for. */
const QUICK_SECONDS = 1;
/** Milliseconds an attempt that is given up may take to be running elsewhere. */
const ELSEWHERE_MS = 30_000;

/** What proxies and load balancers say while what is behind them is away. */
const PAGES = [200, 413, 502];
/** Answers of the proxy before a request to the same place gets through. */
const PAGES_EACH = 2;

export const cases: FaultCase[] = [
  ...CUT_SECONDS.map((seconds) => ({
    ...broken(seconds),
    name: `the network is cut for ${seconds} s, both ways`,
    run: (world: FaultWorld) => breaks(world, seconds, (agent) => world.proxies[agent]?.cut()),
  })),
  ...HALF_OPEN_SECONDS.map((seconds) => ({
    ...broken(seconds),
    name: `the network is half-open for ${seconds} s: packets vanish`,
    run: (world: FaultWorld) => breaks(world, seconds, (agent) => world.proxies[agent]?.silence()),
  })),
  {
    area: "network",
    name: "every frame of an agent arrives twice",
    quick: false,
    async run(world) {
      for (const proxy of world.proxies) proxy.duplicates = () => true;
      const watched = await world.held();
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  {
    area: "network",
    name: "frames of an old socket arrive after a new hello",
    quick: true,
    async run(world) {
      const watched = await world.held();
      const agent = await world.agentOf(watched);
      const proxy = proxyOf(world, agent);
      const before = proxy.requests.length;
      const late = proxy.hold(({ path }) => isSocket(path));
      // Its pings are not answered, so that it gives both connections up.
      const again = (part: string) =>
        until(`a new ${part} socket`, () =>
          proxy.requests.slice(before).some(({ path }) => isSocket(path) && path.includes(part)),
        );
      await again("/control");
      await again("/attempts/");
      assert.ok(late.frames() > 0, "frames were kept back");
      await world.back(agent);
      await world.goesOn(watched);
      late.release();
      world.healed();
      await world.goesOn(watched);
      world.recovered();
      await world.stack.release(watched.id);
      await world.succeeds(watched);
    },
  },
  ...PAGES.map((status) => ({
    area: "network" as const,
    name: `a proxy answers ${status} and a page of HTML in the edge's place`,
    quick: status === 200,
    run: (world: FaultWorld) => pages(world, status),
  })),
];

function broken(seconds: number): Pick<FaultCase, "area" | "quick"> {
  return { area: "network", quick: seconds <= QUICK_SECONDS };
}

/** A build whose agent is away for that long: it stays where it is within the lease, and goes elsewhere behind it. */
async function breaks(
  world: FaultWorld,
  seconds: number,
  fault: (agent: number) => void,
): Promise<void> {
  const watched = await world.held();
  const agent = await world.agentOf(watched);
  fault(agent);
  await sleep(seconds * 1_000);
  const lost = seconds * 1_000 > LEASE_EXPIRY_MS;
  if (lost) await runsIn(world, watched, 2);
  proxyOf(world, agent).heal();
  world.healed();
  await world.back(agent);
  await world.goesOn(watched);
  world.recovered();
  await world.stack.release(watched.id);
  await world.succeeds(watched, lost ? 2 : 1);
}

async function runsIn(world: FaultWorld, { id }: Watched, attempt: number): Promise<void> {
  await until(
    `attempt ${attempt} to run`,
    async () => {
      const record = await world.stack.record(id);
      assert.ok(!isTerminal(record.state), record.reason ?? record.state);
      return record.state === "running" && record.attempt === attempt;
    },
    ELSEWHERE_MS,
  );
}

/** A build whose agent has to get past a proxy's pages in every kind of request. */
async function pages(world: FaultWorld, status: number): Promise<void> {
  const path = await world.source("prompt");
  const page: Page = {
    status,
    type: "text/html; charset=utf-8",
    body: `<!doctype html><title>${status}</title><p>Please try again later.`,
  };
  const shown = new Map<string, number>();
  const answers = ({ method, path }: Request): Page | null => {
    const place = `${method} ${path.replace(/\?.*/, "").replaceAll(/[0-9a-f]{32}/g, "*")}`;
    const times = shown.get(place) ?? 0;
    shown.set(place, times + 1);
    return times < PAGES_EACH ? page : null;
  };
  for (const proxy of world.proxies) {
    proxy.answers = answers;
    // So that the control connections have to be opened anew.
    proxy.reset();
  }
  await world.back();
  const watched = await world.start(path);
  await world.succeeds(watched);
  const places = [...shown].filter(([, times]) => times > PAGES_EACH).map(([place]) => place);
  for (const part of ["/agent/nonce", "/agent/control", "/attempts/", "/parts/"])
    assert.ok(
      places.some((place) => place.includes(part)),
      `no request for ${part} met the proxy's page and was tried again: ${places}`,
    );
}

function proxyOf(world: FaultWorld, agent: number) {
  const proxy = world.proxies[agent];
  if (proxy === undefined) throw new Error(`there is no agent ${agent}`);
  return proxy;
}

function isSocket(path: string): boolean {
  return path.includes("/agent/control") || path.includes("/attempts/");
}
