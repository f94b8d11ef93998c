/**
 * `npm run sim`: the edge and the agents in virtual time, with faults that a seed decides.
 *
 *   --seeds A..B | N | N,M   which (1..1000)
 *   --trace                  tell what happens, line by line
 *   --hole NAME              with a known bug planted (--holes lists them)
 *   --jobs N                 threads (one a core)
 *   --json                   verdicts as NDJSON instead of the table
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { runSeeds } from "./crew.ts";
import { HOLES } from "./holes.ts";
import { plant } from "./plant.ts";
import type { Verdict } from "./run.ts";
import { parseSeeds } from "./seeds.ts";
import { Tally } from "./tally.ts";

const HELP = `npm run sim -- [options]: the edge and the agents in virtual time, with seeded faults

  --seeds A..B | N | N,M   the seeds to run (1..1000)
  --trace                  tell what happens, line by line
  --hole NAME              plant a known bug: ${HOLES.map(({ name }) => name).join(", ")}
  --jobs N                 threads (one a core)
  --json                   one JSON object a seed, and no table
  --help`;

process.exitCode = await main();

/** The exit status: 0, 1 when a seed failed, 2 for a wrong call, 130 when interrupted. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1..1000" },
      trace: { type: "boolean", default: false },
      hole: { type: "string" },
      jobs: { type: "string", default: String(availableParallelism()) },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const seeds = parseSeeds(values.seeds);
  const jobs = Number(values.jobs);
  const hole = HOLES.find(({ name }) => name === values.hole);
  const wrong =
    seeds === null
      ? "--seeds takes A..B, N or N,M"
      : !Number.isInteger(jobs) || jobs < 1
        ? "--jobs takes a number from 1"
        : values.hole !== undefined && hole === undefined
          ? `--hole takes one of ${HOLES.map(({ name }) => name).join(", ")}`
          : null;
  if (seeds === null || wrong !== null) {
    console.error(wrong);
    return 2;
  }
  if (values.trace) return traced(seeds, hole);
  return counted(seeds, jobs, values.hole ?? null, values.json);
}

/** One seed after the other, in this thread, telling everything. */
async function traced(seeds: Iterable<number>, hole: (typeof HOLES)[number] | undefined) {
  const check = hole && plant(hole);
  const { runSeed } = await import("./run.ts");
  check?.();
  let status = 0;
  for (const seed of seeds) {
    const { failure } = await runSeed(seed, (line) => console.log(line));
    console.log(
      failure === null ? `seed ${seed}: all invariants hold` : told(seed, failure, hole?.name),
    );
    if (failure !== null) status = 1;
  }
  return status;
}

async function counted(
  seeds: Iterable<number>,
  jobs: number,
  hole: string | null,
  json: boolean,
): Promise<number> {
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  const tally = new Tally();
  const live = process.stderr.isTTY && !json;
  await runSeeds(seeds, {
    jobs,
    hole,
    signal: abort.signal,
    verdict: (verdict: Verdict) => {
      tally.add(verdict);
      if (json) console.log(JSON.stringify(verdict));
      else if (verdict.failure !== null) console.log(told(verdict.seed, verdict.failure, hole));
      if (live) process.stderr.write(`\r${tally.line()}`);
      // A planted bug is found once.
      return hole === null || verdict.failure === null;
    },
  });
  if (live) process.stderr.write("\r\n");
  if (!json) console.log(tally.table());
  if (abort.signal.aborted) return 130;
  return tally.failed > 0 ? 1 : 0;
}

function told(seed: number, failure: string, hole: string | null | undefined): string {
  const planted = hole ? ` --hole ${hole}` : "";
  return `FAILED ${failure}\n  npm run sim -- --seeds ${seed}${planted} --trace`;
}
