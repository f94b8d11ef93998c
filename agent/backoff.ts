/** Pauses between two tries: full jitter, so that a thousand agents do not come back in one moment. */
import { setTimeout as sleep } from "node:timers/promises";
import { RECONNECT_MAX_MS } from "../shared/limits.ts";

/** Milliseconds of the longest first pause: short for one agent, long enough to spread a thousand. */
const FIRST_MS = 1_000;

/** Milliseconds to wait before try `failures` + 1; `random` is in [0, 1). */
export function pauseMs(failures: number, random: number, max_ms = RECONNECT_MAX_MS): number {
  const ceiling = Math.min(max_ms, FIRST_MS * 2 ** Math.min(failures, 20));
  return Math.floor(ceiling * random);
}

/** Waits out the pause; returns early, without an error, when `signal` aborts. */
export async function pause(failures: number, signal: AbortSignal): Promise<void> {
  await sleep(pauseMs(failures, Math.random()), undefined, { signal }).catch(() => {});
}
