/** Waiting on a condition, never on a time. */
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 50;

const waits = new Set<{ what: string }>();

/** What this process waits for now. */
export function awaited(): string[] {
  return Array.from(waits, ({ what }) => what);
}

/**
 * Asks until the answer is neither null nor undefined nor false, and gives it back. Throws after
 * `timeout_ms`, naming what was awaited.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  timeout_ms = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeout_ms;
  const wait = { what };
  waits.add(wait);
  try {
    for (;;) {
      const answer = await ask();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      if (performance.now() > deadline)
        throw new Error(`waited ${timeout_ms} ms in vain for ${what}`);
      await sleep(POLL_MS);
    }
  } finally {
    waits.delete(wait);
  }
}
