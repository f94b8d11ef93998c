/** One seed, from its beginning to its verdict. */
import { isTerminal } from "../../shared/builds.ts";
import { live } from "./scenario.ts";
import { Violation, World } from "./world.ts";

export type Verdict = {
  seed: number;
  /** What was wrong first; null when nothing was. */
  failure: string | null;
  events: number;
  /** Virtual milliseconds. */
  elapsed: number;
  /** How often each thing happened. */
  counts: Record<string, number>;
};

/** Runs a seed; `tell` gets the trace, line by line. */
export async function runSeed(
  seed: number,
  tell: ((line: string) => void) | null = null,
): Promise<Verdict> {
  const world = new World(seed, tell);
  let failure: string | null = null;
  try {
    await live(world);
  } catch (error) {
    failure = error instanceof Violation ? error.message : String((error as Error).stack ?? error);
  }
  const verdict = {
    seed,
    failure,
    events: world.events,
    elapsed: world.elapsed,
    counts: countsOf(world),
  };
  world.close();
  return verdict;
}

function countsOf({ faults, users, invariants, hosts }: World): Record<string, number> {
  const counts: Record<string, number> = {};
  const add = (what: string, n = 1) => {
    counts[what] = (counts[what] ?? 0) + n;
  };
  for (const [fault, n] of faults.counts) add(`fault ${fault}`, n);
  for (const [what, n] of users.counts) add(what, n);
  for (const { outcome, class: end, started } of invariants.builds.values()) {
    if (outcome !== null && isTerminal(outcome)) add(`end ${end ?? outcome}`);
    if (started > 1) add("builds with several attempts");
  }
  add("builds", invariants.builds.size);
  if (invariants.followers > 0) add("builds that others led to", invariants.followers);
  for (const { engine } of hosts)
    for (const [what, n] of Object.entries(engine.counts)) add(`containers ${what}`, n);
  for (const host of hosts) for (const status of host.exits) add(`agent exits ${status}`);
  return counts;
}
