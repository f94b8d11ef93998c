/** The containers of one image build: kept within their disk, for which the builder has no limit, and ended on demand. */
import type { Engine } from "./engine.ts";
import { atMost } from "./time.ts";

/** Milliseconds between two looks at what a step has written. */
const LOOK_MS = 2_000;
/** Milliseconds between two looks for a step's container that must end. */
const KILL_MS = 250;
/** Milliseconds that a stopped build has to end. */
const STOP_MS = 6_000;

export class StepWatch {
  readonly #engine: Engine;
  readonly #cgroup: string;
  readonly #max_bytes: number;
  readonly #end = Promise.withResolvers<true>();
  /** Containers on the engine, and whether they are this build's: what the build prints is no proof. */
  #known = new Map<string, boolean>();
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

  /** The build has ended. */
  end(): void {
    this.#end.resolve(true);
  }

  /** Kills steps as they come, so that the build fails and says all that it made; `late` is called when it does not. */
  async stop(late: () => void): Promise<void> {
    for (let waited = 0; waited < STOP_MS; waited += KILL_MS) {
      for (const id of await this.#containers().catch(() => []))
        await this.#engine.kill(id, "SIGKILL").catch(() => {});
      if (await atMost(this.#end.promise, KILL_MS)) return;
    }
    late();
  }

  async #watch(): Promise<void> {
    // A container that ends meanwhile, or an engine that does not answer, is looked at next time or never.
    while (!(await atMost(this.#end.promise, LOOK_MS))) await this.#look().catch(() => {});
  }

  async #look(): Promise<void> {
    for (const id of await this.#containers()) {
      if ((await this.#engine.written(id)) <= this.#max_bytes) continue;
      this.#outgrown = true;
      await this.#engine.kill(id, "SIGKILL");
    }
  }

  async #containers(): Promise<string[]> {
    const known = new Map<string, boolean>();
    for (const { Id } of await this.#engine.containers({})) {
      // One that is gone by now is nobody's to watch.
      const ours = this.#known.get(Id) ?? (await this.#isOurs(Id).catch(() => null));
      if (ours !== null) known.set(Id, ours);
    }
    this.#known = known;
    return [...known].flatMap(([id, ours]) => (ours ? [id] : []));
  }

  async #isOurs(id: string): Promise<boolean> {
    const { HostConfig } = await this.#engine.inspect(id);
    return HostConfig.CgroupParent === this.#cgroup;
  }
}
