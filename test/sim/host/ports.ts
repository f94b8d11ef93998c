/** What an agent process is given in virtual time: everything it asks for is answered in its own life, or never. */
import { CALL_MS, EdgeUnreachable, understood } from "../../../agent/edge.ts";
import type { AgentPorts, Clock, Disk, Net } from "../../../agent/ports.ts";
import type { Life } from "../kernel.ts";
import type { Network } from "../network.ts";
import { proofOf } from "../proof.ts";
import type { SeededRandom } from "../random.ts";

export type MachineParts = {
  /** Of the process. */
  life: Life;
  /** Name of the machine, which is where the network finds it. */
  host: string;
  clock: MachineClock;
  disk: Disk;
  network: Pick<Network, "dial" | "request">;
  random: SeededRandom;
  /** Which boot of the machine this is. */
  boot: string;
  agent: string;
};

/** The clocks of one machine: wrong by as much as the scenario says. */
export class MachineClock {
  /** Milliseconds by which its wall clock is ahead. */
  skew_ms = 0;
  /** Its seconds for each true one. */
  readonly rate: number;
  readonly #now: () => number;
  #booted_at: number;

  /** @param now true time in milliseconds since the epoch */
  constructor(now: () => number, rate: number) {
    this.#now = now;
    this.rate = rate;
    this.#booted_at = now();
  }

  /** Milliseconds since it was started. */
  sinceBoot(): number {
    return (this.#now() - this.#booted_at) * this.rate;
  }

  wall(): number {
    return this.#now() + this.skew_ms;
  }

  boot(): void {
    this.#booted_at = this.#now();
  }
}

export function simPorts(parts: MachineParts): AgentPorts {
  const { life, random, boot, agent } = parts;
  const clock: Clock = {
    now: () => parts.clock.sinceBoot(),
    date: () => new Date(parts.clock.wall()),
    after: (ms, then) => life.after(ms / parts.clock.rate, `${life.name} wakes`, then),
  };
  return {
    clock,
    random: { hex: (bytes) => random.hex(bytes), fraction: () => random.fraction() },
    disk: parts.disk,
    net: simNet(parts, clock),
    boot: async () => boot,
    prove: async (nonce) => proofOf(agent, nonce),
  };
}

function simNet({ life, host, network }: MachineParts, clock: Clock): Net {
  return {
    dial: (url, bearer, events) => network.dial(life, host, url, bearer, events),
    download() {
      throw new Error("no recipe of the simulation downloads anything");
    },
    call(url, init, schema) {
      const { timeout_ms = CALL_MS, signal } = init;
      const request = {
        method: init.method ?? "GET",
        headers: Object.fromEntries(new Headers(init.headers)),
        body: init.body instanceof Uint8Array ? init.body : null,
      };
      return new Promise((resolve, reject) => {
        const fail = (why: string) => () => {
          settle();
          reject(new EdgeUnreachable(`${url.host} cannot be reached: ${why}`));
        };
        const aborted = fail("aborted");
        const callOff = clock.after(timeout_ms, fail("no answer in time"));
        const settle = () => {
          callOff();
          signal?.removeEventListener("abort", aborted);
        };
        if (signal?.aborted) return aborted();
        signal?.addEventListener("abort", aborted, { once: true });
        network
          .request(life, host, url, request)
          .finally(settle)
          .then((answer) => resolve(understood(url, answer, schema)))
          .catch((error: unknown) => {
            if (error instanceof EdgeUnreachable || !(error instanceof Error)) reject(error);
            else if (error.name === "EdgeRefusal") reject(error);
            else reject(new EdgeUnreachable(`${url.host} cannot be reached: ${error.message}`));
          });
      });
    },
  };
}
