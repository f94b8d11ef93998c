/** What must hold after every case, whatever was broken: I1 to I9 of the failures we promise to survive, seen from outside. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type BuildRecord, isTerminal } from "../../shared/builds.ts";
import { labelled } from "../support/engine.ts";
import { disksIn } from "../support/host.ts";
import type { Line } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { checkOrder, checkSeen, checkStarts } from "./check-history.ts";
import { checkMemory } from "./check-memory.ts";
import { checkPrivacy } from "./check-privacy.ts";
import { checkPublication } from "./check-publication.ts";
import { checkSecrets } from "./check-secrets.ts";
import type { FaultWorld, Watched } from "./world.ts";

/** A build of the case, ended, with what its readers get. */
export type Found = {
  record: BuildRecord;
  log: Line[];
  /** Headers of a reader. */
  headers: Record<string, string>;
};

/** Milliseconds within which every build must have ended once the case has: a lost agent's lease, and another attempt. */
const END_MS = 240_000;
/** Milliseconds that agents have to tidy up after the last build. */
const IDLE_MS = 30_000;

/**
 * What was violated, one sentence each that begins with its invariant; none when all hold.
 * @param before builds that were there when the case began
 */
export async function violations(
  world: FaultWorld,
  before: ReadonlySet<string>,
): Promise<string[]> {
  const ids = await buildsSince(world, before);
  const found: Found[] = [];
  const wrong: string[] = [];
  for (const id of ids) {
    try {
      found.push(await ended(world, id));
    } catch (error) {
      wrong.push(`I2: ${message(error)}`);
    }
  }
  if (wrong.length > 0) return wrong;
  world.recovered();
  wrong.push(...(await checkPublication(world, found)));
  for (const { record, log } of found) {
    const watched = world.watched.filter(({ id }) => id === record.build_id);
    for (const one of watched) wrong.push(...(await checkView(one, log)));
    wrong.push(...checkOrder(record.build_id, log));
  }
  wrong.push(...(await checkSecrets(world, found)));
  wrong.push(...checkStarts(world.starts.all, ids));
  wrong.push(...(await checkHost(world, ids)));
  wrong.push(...(await checkPrivacy(world, found)));
  wrong.push(...(await checkMemory(world)));
  return wrong;
}

/** Ids of the builds that the case began. */
export async function buildsSince(
  world: FaultWorld,
  before: ReadonlySet<string>,
): Promise<Set<string>> {
  const listed = (await world.stack.builds()).map(({ build_id }) => build_id);
  const all = [...listed, ...world.watched.map(({ id }) => id)];
  return new Set(all.filter((id) => !before.has(id)));
}

function headersOf(world: FaultWorld, id: string): Record<string, string> {
  const watched = world.watched.find((one) => one.id === id);
  return (watched?.init.headers ?? {}) as Record<string, string>;
}

/** I2: a terminal state, and the same one a moment later. */
async function ended(world: FaultWorld, id: string): Promise<Found> {
  const headers = headersOf(world, id);
  const { stack } = world;
  const record = await until(
    `the end of build ${id}`,
    async () => {
      const now = await stack.record(id, { headers });
      return isTerminal(now.state) ? now : null;
    },
    END_MS,
  );
  return { record, log: await stack.log(id, { headers }), headers };
}

/** I3: what a viewer saw live is the stored log, to its end. */
async function checkView({ id, viewer }: Watched, log: readonly Line[]): Promise<string[]> {
  await until("the viewer to see the end", () => viewer.sawEnd).catch(() => {});
  return checkSeen(id, viewer.seen, log);
}

/** I7: nothing of an ended build is left on the host. */
async function checkHost(world: FaultWorld, ids: ReadonlySet<string>): Promise<string[]> {
  const { stack } = world;
  const left = async () => {
    const agents = await stack.agents();
    const things = await Promise.all(
      agents.map(({ agent }) => labelled(`railhead.agent=${agent}`, "railhead.build")),
    );
    const folders = await Promise.all(
      agents.map((_, index) =>
        readdir(join(stack.agentHome(index), "attempts")).catch((): string[] => []),
      ),
    );
    // An idle agent's own work on its caches has containers and disks too, and belongs to no build.
    const ofBuilds = (names: string[]) =>
      names.filter((name) => [...ids].some((id) => name.includes(id)));
    const disks = ofBuilds(await disksIn(stack.folder));
    const running = agents.flatMap(({ name, running }) =>
      running.map(({ build, attempt }) => `the slot of ${build} ${attempt} on ${name}`),
    );
    return [
      ...ofBuilds(things.flat()),
      ...folders.flat().map((name) => `the journal ${name}`),
      ...disks.map((file) => `the disk ${file}`),
      ...running,
    ];
  };
  try {
    await until("a clean host", async () => (await left()).length === 0, IDLE_MS);
    return [];
  } catch {
    return [`I7: left on the host: ${(await left()).join(", ")}`];
  }
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
