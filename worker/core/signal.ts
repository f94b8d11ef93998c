import type { Timer } from "./build-ports.ts";

/** Lets readers wait in memory for "something has changed". What they wait for is theirs to look at. */
export class Signal {
  #next = Promise.withResolvers<void>();
  #waiting = 0;

  /** Readers that wait now. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Wakes everybody who waits. */
  notify(): void {
    if (this.#waiting === 0) return;
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
  }

  /** Resolves at the next `notify`, or after `ms` milliseconds. */
  async wait(timer: Timer, ms: number): Promise<void> {
    const timeout = timer.after(ms);
    this.#waiting++;
    try {
      await Promise.race([this.#next.promise, timeout.done]);
    } finally {
      this.#waiting--;
      timeout.cancel();
    }
  }
}
