/** Runs seeds on all cores. A verdict does not depend on who runs it, or on what runs beside it. */
import { Worker } from "node:worker_threads";
import type { Verdict } from "./run.ts";

/** Seeds that a thread has under way: it never waits for the next one. */
const AHEAD = 2;

export type CrewOptions = {
  jobs: number;
  /** Name of a planted bug. */
  hole: string | null;
  signal: AbortSignal;
  /** Called with each verdict as it comes; false ends the run. */
  verdict: (verdict: Verdict) => boolean;
};

/** Settles when all seeds have run, or `verdict` or the signal ended it. @throws what broke a thread */
export async function runSeeds(seeds: Iterable<number>, options: CrewOptions): Promise<void> {
  const next = seeds[Symbol.iterator]();
  const workers = Array.from({ length: options.jobs }, () => hire(options.hole));
  try {
    await Promise.all(workers.map((worker) => employ(worker, next, options)));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function hire(hole: string | null): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), { workerData: { hole } });
}

function employ(worker: Worker, seeds: Iterator<number>, options: CrewOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let under = 0;
    let over = false;
    const end = () => {
      over = true;
      resolve();
    };
    const give = () => {
      const { done, value } = seeds.next();
      if (done) return under === 0 && end();
      under++;
      worker.postMessage(value);
    };
    worker.on("message", (message: Verdict | "ready") => {
      if (over) return;
      if (message === "ready") {
        for (let i = 0; i < AHEAD && !over; i++) give();
        return;
      }
      under--;
      if (options.verdict(message)) return give();
      // Nobody gets another one.
      while (!seeds.next().done);
      end();
    });
    worker.on("error", reject);
    options.signal.addEventListener("abort", end, { once: true });
  });
}
