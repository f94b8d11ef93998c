/** A process's hold of one container: what agent/docker/run.ts is for a real one. Dies with its process. */
import { Readable } from "node:stream";
import {
  type Chunk,
  DockerError,
  type Exit,
  type KillReason,
  type RunHandle,
} from "../../../agent/docker/contracts.ts";
import type { Life } from "../kernel.ts";
import { type Container, KILLED } from "./container.ts";
import type { SimEngine } from "./engine.ts";
import { readAgain } from "./kept.ts";

/** Bytes that are read ahead of a consumer before the container is paused. */
const WINDOW_BYTES = 4_096;
/** Milliseconds between two tries at an engine that does not answer. */
const RETRY_MS = 500;
/** Milliseconds that a container has to end by itself at its deadline. */
const DEADLINE_GRACE_MS = 10_000;
/** Milliseconds that the engine has to end a container it was told to kill. */
const KILL_MS = 30_000;
/** Milliseconds after which an end is seen, at the most. */
const SEEN_MS = 300;

export class SimRun implements RunHandle {
  readonly id: string;
  readonly name: string;
  readonly #container: Container;
  readonly #engine: SimEngine;
  readonly #life: Life;
  readonly #exit = Promise.withResolvers<Exit>();
  /** What was read and not yet taken by the consumer. */
  readonly #queue: Chunk[] = [];
  /** Chunks of `kept` that were read. */
  #read = 0;
  #adopted = false;
  #complete = true;
  #following = false;
  #started = false;
  #killed: KillReason | null = null;
  #over = false;
  #outputOver = false;
  #wake: () => void = () => {};
  #pausedByUs = false;

  constructor(container: Container, engine: SimEngine, life: Life) {
    this.id = container.id;
    this.name = container.name;
    this.#container = container;
    this.#engine = engine;
    this.#life = life;
    this.#exit.promise.catch(() => {});
  }

  get container(): Container {
    return this.#container;
  }

  async start(): Promise<void> {
    if (this.#started) return;
    if (this.#killed !== null) throw new DockerError("conflict", `${this.name} was killed already`);
    try {
      await this.#request("start the container", () => {
        this.#follow(this.#container.spec.deadline_ms);
        this.#engine.start(this.#container);
      });
    } catch (error) {
      this.#end(() => this.#exit.reject(error));
      throw error;
    }
  }

  /** Takes over a container that another process, or another handle, created. */
  resume(): void {
    const container = this.#container;
    if (container.status === "created") return;
    container.unpause();
    const again = readAgain(container.kept, this.#engine.random, this.#engine.cutsKept);
    this.#queue.push(...again.chunks);
    this.#read = container.kept.length;
    this.#complete = again.complete;
    this.#adopted = true;
    this.#engine.counts[container.ended ? "found_ended" : "adopted"] += 1;
    if (!again.complete) this.#engine.counts.cut += 1;
    this.#follow(container.spec.deadline_ms);
  }

  async *output(): AsyncGenerator<Chunk> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk) {
        this.#flow();
        yield chunk;
      } else if (this.#outputOver) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async complete(): Promise<boolean> {
    if (!this.#adopted) return true;
    return this.#request("read the container's output", () => this.#complete);
  }

  wait(): Promise<Exit> {
    return this.#exit.promise;
  }

  async kill(reason: KillReason, grace_ms: number): Promise<void> {
    if (this.#over) return;
    this.#killed ??= reason;
    if (!this.#started) {
      const exit: Exit = { code: KILLED, oom: false, killed: this.#killed };
      this.#end(() => this.#exit.resolve(exit));
      return;
    }
    this.#container.unpause();
    if (grace_ms > 0) {
      await this.#signal("SIGTERM");
      await this.#sleep(grace_ms);
    }
    await this.#signal("SIGKILL");
    for (let waited = 0; !this.#over; waited += RETRY_MS) {
      if (waited >= KILL_MS) throw new DockerError("timeout", `${this.name} does not end`);
      await this.#sleep(RETRY_MS);
    }
  }

  /** The one file that the container made, without a tar around it. */
  async get(path: string): Promise<Readable> {
    const bytes = await this.#request(`read ${path} in the container`, () => {
      this.#present();
      return Buffer.from(artifactOf(this.#container));
    });
    return Readable.from([bytes]);
  }

  async put(): Promise<void> {
    throw new DockerError("invalid", "no recipe of the simulation puts files into a container");
  }

  /** Before the container is removed, by whoever. */
  letGo(): void {
    this.#outputOver = true;
    this.#wake();
    if (!this.#started) this.#gone();
  }

  async remove(): Promise<void> {
    this.letGo();
    await this.#request("remove the container", () => {
      if (this.#container.status !== "removed") this.#engine.remove(this.#container);
    });
    await this.#exit.promise.catch(() => {});
  }

  #follow(deadline_ms: number): void {
    if (this.#following) return;
    this.#following = true;
    this.#started = true;
    const look = () => this.#life.do(() => this.#look());
    this.#container.watchers.add(look);
    this.#life.after(deadline_ms, `${this.name} is over its time`, () => void this.#expire());
    look();
  }

  async #expire(): Promise<void> {
    while (!this.#over)
      await this.kill("deadline", DEADLINE_GRACE_MS).catch(() => this.#sleep(RETRY_MS));
  }

  /** Reads what is new, unless nobody takes it or the engine is away. */
  #look(): void {
    if (this.#over) return;
    if (!this.#engine.answers) {
      this.#engine.whenBack(() => this.#life.do(() => this.#look()));
      return;
    }
    const { kept, outgrown } = this.#container;
    if (!this.#outputOver) this.#queue.push(...kept.slice(this.#read));
    this.#read = kept.length;
    this.#flow();
    this.#wake();
    if (outgrown && this.#killed === null)
      this.#life.after(this.#engine.random.between(0, 1_000), "the volume is full", () => {
        void this.kill("disk", 0).catch(() => {});
      });
    if (this.#container.ended) this.#seen();
  }

  /** Its output ends and its end is told: in either order, as on two connections. */
  #seen(): void {
    const { random } = this.#engine;
    this.#life.after(random.between(0, SEEN_MS), "its output ends", () => {
      this.#outputOver = true;
      this.#wake();
    });
    this.#life.after(random.between(0, SEEN_MS), "its end is told", () => {
      const { end, status, started_at, finished_at, spec } = this.#container;
      if (status === "removed" || end === null) return this.#gone();
      if (finished_at - started_at >= spec.deadline_ms) this.#killed ??= "deadline";
      this.#end(() => this.#exit.resolve({ ...end, killed: this.#killed }));
    });
  }

  #flow(): void {
    const waiting = this.#queue.reduce((sum, { data }) => sum + data.length, 0);
    if (waiting > WINDOW_BYTES && this.#killed === null && !this.#pausedByUs) {
      this.#pausedByUs = true;
      this.#engine.counts.paused += 1;
      this.#container.pause();
    } else if (this.#pausedByUs && waiting <= WINDOW_BYTES / 2) {
      this.#pausedByUs = false;
      this.#container.unpause();
    }
  }

  async #signal(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    while (!this.#over) {
      try {
        return await this.#request("kill the container", () => this.#container.signal(signal));
      } catch {
        await this.#sleep(RETRY_MS);
      }
    }
  }

  #gone(): void {
    this.#end(() =>
      this.#exit.reject(new DockerError("gone", `${this.name} was removed`, { status: 404 })),
    );
  }

  #end(settle: () => void): void {
    this.#over = true;
    settle();
  }

  #present(): void {
    if (this.#container.status === "removed")
      throw new DockerError("gone", `no ${this.name}`, { status: 404 });
  }

  #request<T>(what: string, body: () => T): Promise<T> {
    return this.#engine.request(this.#life, what, body);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#life.after(ms, `${this.name} is waited for`, resolve);
    });
  }
}

/** What a container makes: it tells whose it is. */
export function artifactOf({ id, spec: { owner } }: Container): string {
  return `made by ${owner.build}/${owner.attempt} in ${id}\n`;
}
