/** What may go wrong at any moment, how often, and how often it did. */
import type { SeededRandom } from "./random.ts";

/** Odds of each fault wherever it can strike, in a run of full weather. */
const ODDS = {
  "call: question lost": 0.01,
  "call: answer lost": 0.01,
  "call: slow": 0.02,
  "object: dies at a call": 0.004,
  "object: dies at a commit": 0.003,
  "storage: commit fails": 0.002,
  "alarm: late": 0.05,
  "alarm: twice": 0.05,
  "alarm: lost": 0.02,
  "bucket: no answer": 0.03,
  "bucket: answer lost": 0.03,
  "bucket: slow": 0.03,
  "http: question lost": 0.02,
  "http: answer lost": 0.02,
  "http: a proxy's page": 0.02,
  "socket: refused by a proxy": 0.02,
  "socket: cut at a frame": 0.003,
  "socket: half-open at a frame": 0.002,
  "socket: frame late": 0.01,
  "socket: end unseen": 0.1,
} as const;

/** Faults that the weather brings about, not a single message. */
export const BLOWS = [
  "edge: deploy",
  "edge: object dies",
  "edge: eviction",
  "bucket: file lost",
  "network: partition",
  "network: all sockets cut",
  "agent: killed",
  "agent: restarted",
  "agent: suspended",
  "agent: rebooted",
  "agent: drained",
  "agent: interrupted",
  "agent: clock off",
  "agent: disk full",
  "agent: engine broken",
] as const;

export type Odds = keyof typeof ODDS;
export type Blow = (typeof BLOWS)[number];
export const FAULTS = [...(Object.keys(ODDS) as Odds[]), ...BLOWS];

/** What a caller is told when a message, an answer or an object went away. */
export class Lost extends Error {
  constructor(what: string) {
    super(what);
    this.name = "Lost";
  }
}

export class Faults {
  readonly counts = new Map<string, number>();
  /** 0: nothing goes wrong. 1: ordinary weather. */
  weight = 0;
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Whether it strikes here; counted when it does. */
  strikes(fault: Odds): boolean {
    if (this.weight === 0 || !this.#random.chance(ODDS[fault] * this.weight)) return false;
    this.count(fault);
    return true;
  }

  count(fault: Odds | Blow): void {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  }
}
