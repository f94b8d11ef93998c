/**
 * The agent's own belief about its right to act (rules 9 and 10): a courtesy that ends before the edge
 * gives its attempts to others. It runs from the sending time of the ping that was answered, on a clock
 * that counts the time a host was suspended.
 */
import { AGENT_LEASE_MS, SUSPECT_AFTER_MS } from "../shared/limits.ts";

export type Standing =
  | "good"
  /** This process stood still: hello first, then act. */
  | "stalled"
  /** Others may have the attempts by now. */
  | "expired";

export class Lease {
  /** Milliseconds since the host was started, suspended time included. */
  readonly #clock: () => number;
  /** When the last ping that was answered had been sent. */
  #from: number;
  #ticked: number;
  #stalled = false;
  /** Sending times of pings without an answer yet, oldest first. */
  #pings: number[] = [];

  constructor(clock: () => number) {
    this.#clock = clock;
    this.#from = clock();
    this.#ticked = clock();
  }

  /** Must be called several times a minute; a longer silence is a stall. */
  tick(): void {
    this.#notice();
    this.#ticked = this.#clock();
  }

  pinged(): void {
    this.#pings.push(this.#clock());
  }

  /** Answers arrive in the order of the pings. After a stall they prove nothing: a welcome does. */
  answered(): void {
    const sent = this.#pings.shift();
    this.#notice();
    if (sent !== undefined && !this.#stalled) this.#from = Math.max(this.#from, sent);
  }

  /** A new socket: answers to older pings will not come. */
  reconnected(): void {
    this.#pings = [];
  }

  /** The edge answered the hello that was sent at `sent`, and said what to drop. */
  welcomed(sent: number): void {
    this.tick();
    this.#stalled = false;
    this.#from = Math.max(this.#from, sent);
  }

  /** Evaluated at the moment of acting, so that a stall is noticed before the first act behind it. */
  standing(): Standing {
    this.#notice();
    if (this.#clock() - this.#from > AGENT_LEASE_MS) return "expired";
    return this.#stalled ? "stalled" : "good";
  }

  now(): number {
    return this.#clock();
  }

  #notice(): void {
    if (this.#clock() - this.#ticked > SUSPECT_AFTER_MS) this.#stalled = true;
  }
}
