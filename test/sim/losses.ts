/** Whether an attempt that a pool gives up deserved it (rules 9 and 12): a deploy, a cut or a restarted agent costs no build its attempt. */
import { LEASE_EXPIRY_MS } from "../../shared/limits.ts";
import type { Known } from "./invariants.ts";
import type { Kernel } from "./kernel.ts";

/** Milliseconds for which what happened to a machine explains a loss. */
const EXCUSED_MS = 6 * 60_000;
/** Milliseconds of silence after which an agent has stopped its attempts by itself. */
const LONG_SILENCE_MS = 60_000;
/** Milliseconds by which clocks are rounded. */
const ROUNDING_MS = 5;

type Machine = { heardAt: number; excusedUntil: number };

export class Losses {
  readonly #kernel: Kernel;
  readonly #wrong: (what: string) => void;
  readonly #builds: ReadonlyMap<string, Known>;
  readonly #machines = new Map<string, Machine>();
  readonly #judged = new Set<string>();

  constructor(kernel: Kernel, builds: ReadonlyMap<string, Known>, wrong: (what: string) => void) {
    this.#kernel = kernel;
    this.#builds = builds;
    this.#wrong = wrong;
  }

  /** The edge got a sign of life from a machine's agent. */
  heard(name: string): void {
    const machine = this.#machine(name);
    if (this.#kernel.now - machine.heardAt > LONG_SILENCE_MS) this.excuse(name);
    machine.heardAt = this.#kernel.now;
  }

  /** Something happened to a machine that may cost it its attempts. */
  excuse(name: string): void {
    this.#machine(name).excusedUntil = this.#kernel.now + EXCUSED_MS;
  }

  /** The pool gives up attempt `n`, which the agent on `machine` had. */
  judge(build: string, n: number, why: string): void {
    const key = `${build}/${n}`;
    const known = this.#builds.get(build);
    const runs = known?.stage === "running" && known.attempt === n;
    const [name = ""] = why.split(" ");
    const machine = this.#machines.get(name);
    if (!runs || machine === undefined || this.#judged.has(key)) return;
    this.#judged.add(key);
    const silence = this.#kernel.now - machine.heardAt;
    if (why.includes("not heard of") && silence < LEASE_EXPIRY_MS - ROUNDING_MS)
      this.#wrong(
        `rule 9: ${key} is taken from ${name} after ${Math.round(silence)} ms of silence`,
      );
    if (why.includes("came back without it") && this.#kernel.now > machine.excusedUntil)
      this.#wrong(`rule 12: ${name} came back without ${key}, for no reason`);
  }

  #machine(name: string): Machine {
    let machine = this.#machines.get(name);
    if (machine === undefined) {
      machine = { heardAt: this.#kernel.now, excusedUntil: 0 };
      this.#machines.set(name, machine);
    }
    return machine;
  }
}
