/** Calls to an object that restarts (a deploy, an eviction) fail once and work the next time. */

const TRIES = 5;
/** Milliseconds between two tries, times the number of tries so far. */
const PAUSE_MS = 200;

/** Calls until it works, five times at most. For calls that only read: one that fails may have run. */
export async function retrying<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
    }
  }
}
