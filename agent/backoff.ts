/** Pauses between two tries: full jitter, so that a thousand agents do not come back in one moment. */
import { RECONNECT_MAX_MS } from "../shared/limits.ts";
import type { Clock, Random } from "./ports.ts";
import { sleep } from "./timing.ts";

/** Milliseconds of the longest first pause: short for one agent, long enough to spread a thousand. */
const FIRST_MS = 1_000;

/** Milliseconds to wait before try `failures` + 1; `random` is in [0, 1). */
export function pauseMs(failures: number, random: number): number {
  const ceiling = Math.min(RECONNECT_MAX_MS, FIRST_MS * 2 ** Math.min(failures, 20));
  return Math.floor(ceiling * random);
}

/** Waits out the pause; returns early, without an error, when `signal` aborts. */
export function pause(
  { clock, random }: { clock: Clock; random: Random },
  failures: number,
  signal: AbortSignal,
): Promise<void> {
  return sleep(clock, pauseMs(failures, random.fraction()), signal);
}
