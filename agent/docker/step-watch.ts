/** Keeps the steps of an image build within their disk: the engine's builder has no limit for that. */
import type { Engine } from "./engine.ts";
import { isKind } from "./errors.ts";
import { atMost } from "./time.ts";

/** Milliseconds between two looks at what a step has written. */
const LOOK_MS = 2_000;
/** The engine's line for the container of a step. A container can print the like: its cgroup tells. */
const RUNNING = /^ ---> Running in ([0-9a-f]{12})\n$/;

export class StepWatch {
  readonly #engine: Engine;
  readonly #cgroup: string;
  readonly #max_bytes: number;
  readonly #over = Promise.withResolvers<void>();
  #container: string | null = null;
  #outgrown = false;

  /** @param cgroup that the build's containers are in */
  constructor(engine: Engine, cgroup: string, max_bytes: number) {
    this.#engine = engine;
    this.#cgroup = cgroup;
    this.#max_bytes = max_bytes;
    void this.#watch();
  }

  /** Whether a step was killed for what it wrote. */
  get outgrown(): boolean {
    return this.#outgrown;
  }

  /** Learns from the builder's output which container runs. */
  hear(said: string): void {
    this.#container = RUNNING.exec(said)?.[1] ?? this.#container;
  }

  end(): void {
    this.#container = null;
    this.#over.resolve();
  }

  async #watch(): Promise<void> {
    const over = this.#over.promise.then(() => true as const);
    while (!(await atMost(over, LOOK_MS))) {
      const id = this.#container;
      if (id !== null) await this.#look(id).catch(() => {});
    }
  }

  async #look(id: string): Promise<void> {
    try {
      const { cgroup, bytes } = await this.#engine.written(id);
      if (cgroup !== this.#cgroup || bytes <= this.#max_bytes) return;
      this.#outgrown = true;
      await this.#engine.kill(id, "SIGKILL");
    } catch (error) {
      // The step is over.
      if (!isKind(error, "gone", "conflict")) throw error;
      if (this.#container === id) this.#container = null;
    }
  }
}
