/** The simulation itself: what it proves, and that it can fail. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runSeeds } from "./crew.ts";
import { HOLES } from "./holes.ts";
import { runSeed, type Verdict } from "./run.ts";
import { parseSeeds } from "./seeds.ts";
import { Tally } from "./tally.ts";

const JOBS = 2;
/** Seeds that must hold here; `npm run sim` runs as many as one likes. */
const SEEDS = "401..800";
/** Seeds within which a planted bug must be found. */
const WITHIN = "1..1000";
/** Ends that a run must have come to: one that never gets there proves nothing about it. */
const ENDS = [
  "succeeded",
  "cancelled",
  "timed_out",
  "compile_error",
  "clone_error",
  "out_of_memory",
  "disk_full",
  "agent_lost",
];
const OTHERS = [
  "post: admitted",
  "post: joined",
  "post: published",
  "cancel: cancelled",
  "cancel: cancelling",
  "cancel: withdrawn",
  "cancel: publishing",
  "cancel: already_ended",
  "builds with several attempts",
  "builds that others led to",
  "containers adopted",
  "containers found_ended",
  "containers paused",
];

function seedsOf(text: string): number[] {
  const seeds = parseSeeds(text);
  assert.ok(seeds);
  return seeds;
}

/** Runs until `verdict` says no. */
function run(seeds: string, hole: string | null, verdict: (verdict: Verdict) => boolean) {
  const { signal } = new AbortController();
  return runSeeds(seedsOf(seeds), { jobs: JOBS, hole, signal, verdict });
}

test("every invariant holds whatever breaks, and every kind of fault and end was met", async () => {
  const tally = new Tally();
  const failures: string[] = [];
  await run(SEEDS, null, (verdict) => {
    tally.add(verdict);
    if (verdict.failure !== null) failures.push(`seed ${verdict.seed}: ${verdict.failure}`);
    return true;
  });
  assert.deepEqual(failures, []);
  assert.deepEqual(tally.missing(), []);
  const met = [...ENDS.map((end) => `end ${end}`), ...OTHERS];
  assert.deepEqual(
    met.filter((what) => !tally.counts.has(what)),
    [],
  );
});

test("a seed is the same run every time, to the line", async () => {
  const traceOf = async (seed: number) => {
    const lines: string[] = [];
    await runSeed(seed, (line) => lines.push(line));
    return lines;
  };
  for (const seed of [3, 17]) {
    const first = await traceOf(seed);
    assert.ok(first.length > 100, `seed ${seed} tells something`);
    assert.deepEqual(await traceOf(seed), first);
  }
});

for (const { name, rule } of HOLES)
  test(`the bug ${name} is found (rule ${rule})`, async (t) => {
    let found: Verdict | null = null;
    await run(WITHIN, name, (verdict) => {
      if (verdict.failure === null) return true;
      found ??= verdict;
      return false;
    });
    assert.ok(found, `not found within ${WITHIN}`);
    const { seed, failure }: Verdict = found;
    t.diagnostic(`seed ${seed}: ${failure}`);
    const { failure: without } = await runSeed(seed);
    assert.equal(without, null, "the same seed holds without the bug");
  });
