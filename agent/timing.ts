/** Waiting, and bounds on work that may never end by itself. */
import type { Clock } from "./ports.ts";

/** Settles after `ms`, or when `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = () => {
      callOff();
      resolve();
    };
    const callOff = clock.after(ms, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Rejects with `complaint` after `ms`; the work itself goes on unseen. */
export async function within<T>(
  clock: Clock,
  work: Promise<T>,
  ms: number,
  complaint: string,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const callOff = clock.after(ms, () => reject(new Error(complaint)));
  try {
    return await Promise.race([work, late]);
  } finally {
    callOff();
  }
}

/** Rejects with the signal's reason as soon as it aborts; the work itself goes on unseen. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
