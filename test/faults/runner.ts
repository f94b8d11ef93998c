/** Runs cases one after another on one world, and opens another when a case has broken it. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { FaultCase } from "./case.ts";
import { buildsSince, message, violations } from "./checker.ts";
import { telling } from "./still.ts";
import type { Outcome } from "./table.ts";
import { FaultWorld } from "./world.ts";

/** Milliseconds that one case may take before it counts as failed. */
const CASE_MS = 15 * 60_000;
/** Lines of each log that are shown of a case that failed. */
const TAIL_LINES = 12;

export class Runner {
  #world: Promise<FaultWorld> | null = null;
  readonly #say: (line: string) => void;

  /** @param say is told now and then what a long case waits for */
  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  run(one: FaultCase): Promise<Outcome> {
    return telling(this.#say, this.#run(one));
  }

  async #run(one: FaultCase): Promise<Outcome> {
    const began = performance.now();
    const outcome: Outcome = {
      area: one.area,
      name: one.name,
      result: "held",
      seconds: 0,
      recovery_s: null,
      peaks: null,
      reasons: [],
    };
    const why = (await one.impossible?.()) ?? null;
    if (why !== null) return { ...outcome, result: "cannot run", reasons: [why] };
    this.#world ??= FaultWorld.open();
    const world = await this.#world;
    await world.begin();
    const before = await buildsSince(world, new Set());
    try {
      await withinTime(one.run(world)).finally(() => world.finish());
      await world.back();
      outcome.reasons = await violations(world, before);
    } catch (error) {
      outcome.reasons = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    }
    const recovery = world.recovery_ms;
    outcome.recovery_s = recovery === null ? null : recovery / 1_000;
    outcome.peaks = await world.peaks().catch(() => null);
    outcome.seconds = (performance.now() - began) / 1_000;
    if (outcome.reasons.length === 0) return outcome;
    outcome.reasons.push(
      ...(await evidence(world, before)),
      `npm run faults -- --only '${one.name}'`,
    );
    outcome.reasons.push(...(await this.close()));
    return { ...outcome, result: "VIOLATED" };
  }

  /** Ends the world; answers what was wrong with that. */
  async close(): Promise<string[]> {
    const world = this.#world;
    this.#world = null;
    try {
      await (await world)?.close();
      return [];
    } catch (error) {
      return [message(error)];
    }
  }
}

async function withinTime(work: Promise<void>): Promise<void> {
  const late = new AbortController();
  const tooLate = sleep(CASE_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`the case took more than ${CASE_MS / 60_000} minutes`);
  });
  tooLate.catch(() => {});
  try {
    await Promise.race([work, tooLate]);
  } finally {
    late.abort();
  }
}

/** Ends of the logs of agents, edge and builds. */
async function evidence(world: FaultWorld, before: ReadonlySet<string>): Promise<string[]> {
  const { stack } = world;
  const files = [...world.proxies.keys()].map((index) => stack.agentLog(index));
  const tails = await Promise.all(
    [...files, stack.edgeLog].map(async (file) => {
      const text = await readFile(file, "utf8").catch(() => "");
      return `${file.slice(stack.folder.length + 1)} ends with:\n${tail(text.trimEnd().split("\n"))}`;
    }),
  );
  const builds = await buildsSince(world, before).catch(() => []);
  for (const id of builds) {
    const headers = world.watched.find((one) => one.id === id)?.init.headers ?? {};
    const log = await stack.log(id, { headers }).catch(() => []);
    const { state = "unknown", attempt = 0 } = await stack
      .record(id, { headers })
      .catch(() => ({}) as { state?: string; attempt?: number });
    const lines = log.map((line) => `${line.position} ${line.attempt} ${line.msg}`);
    tails.push(`build ${id} is ${state} in attempt ${attempt}; its log ends with:\n${tail(lines)}`);
  }
  return tails;
}

function tail(lines: readonly string[]): string {
  return lines
    .slice(-TAIL_LINES)
    .map((line) => `  ${line.slice(0, 300)}`)
    .join("\n");
}
