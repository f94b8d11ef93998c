/** The engine as one agent process sees it: the agent's own contract (agent/docker/contracts.ts), in virtual time. */
import {
  DockerError,
  type DockerHost,
  type Owner,
  type RunHandle,
  type RunSpec,
} from "../../../agent/docker/contracts.ts";
import { isKind } from "../../../agent/docker/errors.ts";
import { containerName, LABEL, type Labels } from "../../../agent/docker/labels.ts";
import { NO_APPS } from "../../../agent/testing/no-apps.ts";
import { NO_IMAGES } from "../../../agent/testing/no-images.ts";
import type { Life } from "../kernel.ts";
import { IMAGE, type SimEngine } from "./engine.ts";
import { SimRun } from "./run-handle.ts";

/** Milliseconds that a call waits for its answer. */
const CALL_MS = 60_000;
/** Tries at something that is still in use, and the milliseconds between them. */
const REMOVE_ATTEMPTS = 20;
const REMOVE_RETRY_MS = 250;

export class SimDockerHost implements DockerHost {
  readonly images = NO_IMAGES;
  readonly apps = NO_APPS;
  readonly #engine: SimEngine;
  readonly #life: Life;
  readonly #agent: string;
  readonly #runs = new Set<SimRun>();

  constructor(engine: SimEngine, life: Life, agent: string) {
    this.#engine = engine;
    this.#life = life;
    this.#agent = agent;
  }

  facts() {
    return this.#call("ask the engine about itself", () => this.#engine.facts());
  }

  imageId(reference: string): Promise<string | null> {
    return this.#call("inspect the image", () =>
      this.#engine.hasImage && reference === IMAGE ? "sha256:1" : null,
    );
  }

  async pull(reference: string): Promise<void> {
    await this.#call(`pull the image ${reference}`, () => {
      if (this.#engine.random.chance(0.5))
        throw new DockerError("unavailable", `cannot pull the image ${reference}`);
      this.#engine.hasImage = true;
    });
  }

  async create(spec: RunSpec): Promise<RunHandle> {
    this.#own(spec.owner);
    const container = await this.#call("create the container", () => this.#engine.create(spec));
    return this.#handle(new SimRun(container, this.#engine, this.#life));
  }

  async adopt(owner: Owner, phase: string): Promise<RunHandle | null> {
    this.#own(owner);
    const name = containerName(owner, phase);
    const found = await this.#call("inspect the container", () =>
      this.#engine.containers.get(name),
    );
    if (!found) return null;
    const run = this.#handle(new SimRun(found, this.#engine, this.#life));
    run.resume();
    return run;
  }

  async createVolume(spec: Parameters<DockerHost["createVolume"]>[0]): Promise<void> {
    const labels = { ...spec.labels, [LABEL.agent]: this.#agent };
    await this.#call("create the volume", () => this.#engine.createVolume({ ...spec, labels }));
  }

  async removeVolume(name: string): Promise<void> {
    await this.#call("remove the volume", () => this.#engine.removeVolume(name));
  }

  async volumes(label: string): ReturnType<DockerHost["volumes"]> {
    const [key = "", value] = label.split("=");
    const all = await this.#call("list volumes", () => [...this.#engine.volumes.values()]);
    return all
      .map(({ spec: { name, labels } }) => ({ name, labels, bytes: null }))
      .filter(({ labels }) => key in labels && (value === undefined || labels[key] === value));
  }

  async clean(owner: Owner): Promise<void> {
    this.#own(owner);
    await this.#remove(
      (labels) =>
        labels[LABEL.build] === owner.build && labels[LABEL.attempt] === String(owner.attempt),
    );
  }

  async reap(agent: string, live: { build: string; attempt: number }[]): Promise<string[]> {
    const alive = new Set(live.map(({ build, attempt }) => `${build} ${attempt}`));
    return this.#remove(
      (labels) =>
        labels[LABEL.agent] === agent &&
        labels[LABEL.build] !== undefined &&
        !alive.has(`${labels[LABEL.build]} ${labels[LABEL.attempt]}`),
    );
  }

  async retire(): Promise<void> {
    await this.#remove((labels) => labels[LABEL.agent] === this.#agent);
  }

  /** Containers first, which hold the rest; each is a call of its own, so that a crash leaves some. */
  async #remove(condemned: (labels: Labels) => boolean): Promise<string[]> {
    const engine = this.#engine;
    const removed: string[] = [];
    const containers = await this.#call("list containers", () =>
      [...engine.containers.values()].filter((container) => condemned(engine.labelsOf(container))),
    );
    for (const container of containers) {
      for (const run of this.#runs) if (run.container === container) run.letGo();
      await this.#insist("remove the container", () => engine.remove(container));
      removed.push(container.name);
    }
    const volumes = await this.#call("list volumes", () =>
      [...engine.volumes.values()].filter(({ spec }) => condemned(spec.labels)),
    );
    for (const { spec } of volumes) {
      await this.#insist("remove the volume", () => engine.removeVolume(spec.name));
      removed.push(spec.name);
    }
    return removed;
  }

  async #insist(what: string, body: () => void): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#call(what, body);
      } catch (error) {
        if (isKind(error, "gone")) return;
        if (!isKind(error, "conflict") || attempt === REMOVE_ATTEMPTS) throw error;
        await new Promise<void>((resolve) => {
          this.#life.after(REMOVE_RETRY_MS, "tries to remove again", resolve);
        });
      }
    }
  }

  #handle(run: SimRun): SimRun {
    this.#runs.add(run);
    const ended = () => void this.#runs.delete(run);
    run.wait().then(ended, ended);
    return run;
  }

  /** As every call of the real one: it settles, whatever the engine does. */
  #call<T>(what: string, body: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const off = this.#life.after(CALL_MS, "an engine's answer is overdue", () =>
      reject(new DockerError("timeout", `cannot ${what}: no answer in ${CALL_MS / 1000} seconds`)),
    );
    this.#engine.request(this.#life, what, body).then(
      (value) => {
        off();
        resolve(value);
      },
      (error: unknown) => {
        off();
        reject(error);
      },
    );
    return promise;
  }

  #own(owner: Owner): void {
    if (owner.agent === this.#agent) return;
    throw new DockerError("invalid", `${owner.agent} is not this agent, ${this.#agent}`);
  }
}
