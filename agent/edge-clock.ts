/**
 * How far this host's wall clock is from the edge's. It tells people what to mend; leases never hang on it (protocol
 * rule 10). The edge says its time with each nonce; from then on the clock that counts suspended time carries it, so
 * that a wall clock that is set wrong, or right again, shows without another question.
 */
import type { Clock } from "./ports.ts";

export class EdgeClock {
  readonly #clock: Clock;
  /** The edge's time less `now()`, at the least and at the most. */
  #offset: { least: number; most: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The edge said its time (ms since the epoch) in an answer to what was asked at `asked`, of the clock's `now()`. */
  heard(time_ms: number, asked: number): void {
    this.#offset = { least: time_ms - this.#clock.now(), most: time_ms - asked };
  }

  /** Milliseconds by which this host is ahead (negative: behind) beyond the doubt of the way; null before the edge said its time. */
  get ahead_ms(): number | null {
    if (this.#offset === null) return null;
    const own = this.#clock.date().getTime() - this.#clock.now();
    const least = own - this.#offset.most;
    return least > 0 ? least : Math.min(own - this.#offset.least, 0);
  }
}
