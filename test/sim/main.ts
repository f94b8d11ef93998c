/**
 * `npm run sim`: the edge and the agents in virtual time, with faults that a seed decides.
 * Prints a table of what was exercised; for a seed that failed, the one line that repeats it.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { runSeeds } from "./crew.ts";
import { HOLES, type Hole } from "./holes.ts";
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

// A reader that has seen enough (`… --trace | head`) is no error.
process.stdout.on("error", (error) => {
  if ("code" in error && error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await main();

type Asked = {
  help: boolean;
  seeds: number[];
  trace: boolean;
  hole: Hole | null;
  jobs: number;
  json: boolean;
};

/** The exit status: 0, 1 when a seed failed, 2 for a wrong call, 130 when interrupted. */
async function main(): Promise<number> {
  let asked: Asked;
  try {
    asked = parse();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 2;
  }
  if (asked.help) {
    console.log(HELP);
    return 0;
  }
  return asked.trace ? traced(asked) : counted(asked);
}

/** @throws Error with what is wrong with the arguments */
function parse(): Asked {
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
  const seeds = parseSeeds(values.seeds);
  if (seeds === null) throw new Error("--seeds takes A..B, N or N,M");
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error("--jobs takes a number from 1");
  const hole = HOLES.find(({ name }) => name === values.hole) ?? null;
  if (values.hole !== undefined && hole === null)
    throw new Error(`--hole takes one of ${HOLES.map(({ name }) => name).join(", ")}`);
  return { ...values, seeds, jobs, hole };
}

/** One seed after the other, in this thread, telling everything. */
async function traced({ seeds, hole }: Asked): Promise<number> {
  const check = hole && plant(hole);
  const { runSeed } = await import("./run.ts");
  check?.();
  let status = 0;
  for (const seed of seeds) {
    const { failure } = await runSeed(seed, (line) => console.log(line));
    console.log(failure === null ? `seed ${seed}: all invariants hold` : told(seed, failure, hole));
    if (failure !== null) status = 1;
  }
  return status;
}

async function counted({ seeds, jobs, hole, json }: Asked): Promise<number> {
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  const tally = new Tally();
  const live = process.stderr.isTTY && !json;
  await runSeeds(seeds, {
    jobs,
    hole: hole?.name ?? null,
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
  if (hole !== null && !json)
    console.log(
      `The planted bug ${hole.name} was ${tally.failed > 0 ? "found: it stopped there" : "not found"}.`,
    );
  if (abort.signal.aborted) return 130;
  return tally.failed > 0 ? 1 : 0;
}

function told(seed: number, failure: string, hole: Hole | null): string {
  const planted = hole === null ? "" : ` --hole ${hole.name}`;
  return `FAILED ${failure}\n  npm run sim -- --seeds ${seed}${planted} --trace`;
}
