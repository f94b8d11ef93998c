/** Waiting: always for something, and never longer than said. */
import { setTimeout as delay } from "node:timers/promises";

export const sleep = (ms: number): Promise<void> => delay(ms);

/** What `promise` resolves with, or null after `ms`; a rejection is thrown. */
export async function atMost<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  const over = new AbortController();
  const late = delay(ms, null, { signal: over.signal }).catch(() => null);
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}

/** True when `promise` resolves within `ms`; a rejection is thrown. */
export async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return (
    (await atMost(
      promise.then(() => true),
      ms,
    )) === true
  );
}
