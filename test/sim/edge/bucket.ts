/** The bucket over the network: its operations take time, get lost before they happen, or after. */
import type { ArtifactStore } from "../../../worker/core/build-ports.ts";
import { Bucket, MemoryStore } from "../../support/store.ts";
import { type Faults, Lost } from "../faults.ts";
import type { Kernel } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";
import type { Caller } from "./rpc.ts";

const TAKES_MS = { least: 2, most: 25 };
const SLOW_MS = { least: 500, most: 20_000 };

export class RemoteBucket {
  readonly contents = new Bucket();
  readonly #kernel: Kernel;
  readonly #random: SeededRandom;
  readonly #faults: Faults;

  constructor(kernel: Kernel, random: SeededRandom, faults: Faults) {
    this.#kernel = kernel;
    this.#random = random;
    this.#faults = faults;
  }

  /** As `from` reaches it. */
  storeOf(from: Caller): ArtifactStore {
    return new MemoryStore(this.contents, (operation, body) => this.run(from, operation, body));
  }

  /** An operation happens once its question arrived, whatever became of who asked. */
  run<T>(from: Caller, operation: string, body: () => T): Promise<T> {
    const faults = this.#faults;
    const takes = () => {
      const { least, most } = faults.strikes("bucket: slow") ? SLOW_MS : TAKES_MS;
      return this.#random.between(least, most);
    };
    return new Promise((resolve, reject) => {
      const lose = () =>
        from.life.after(takes(), "no answer of the bucket", () =>
          reject(new Lost(`the bucket did not answer ${operation}`)),
        );
      const happen = () => {
        let finish: () => void;
        try {
          const result = body();
          finish = () => resolve(result);
        } catch (error) {
          finish = () => reject(error);
        }
        if (faults.strikes("bucket: answer lost")) lose();
        else from.life.after(takes(), `the bucket answers ${operation}`, finish);
      };
      from.gate(() => {
        if (faults.strikes("bucket: no answer")) lose();
        else this.#kernel.after(takes(), `${operation} at the bucket`, happen);
      });
    });
  }
}
