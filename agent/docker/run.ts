/** One container from its creation, or adoption, to its end. */
import { type Readable, Transform } from "node:stream";
import {
  type Chunk,
  DockerError,
  type Exit,
  type KillReason,
  type RunHandle,
} from "./contracts.ts";
import type { Engine, Inspected } from "./engine.ts";
import { isKind, mapped } from "./errors.ts";
import { KILLED_CODE, killedForMemory } from "./killed.ts";
import { LABEL, numberLabel } from "./labels.ts";
import { type Life, Output } from "./output.ts";
import { atMost, sleep, within } from "./time.ts";
import type { Volumes, Watched } from "./volumes.ts";

/** Milliseconds between two looks at a container whose end the engine has not told. */
const POLL_MS = 2_000;
/** Milliseconds between two looks at a volume that only we keep within its limit. */
const WATCH_MS = 1_000;
/** Milliseconds that a container has to end by itself at its deadline. */
const DEADLINE_GRACE_MS = 10_000;
/** Milliseconds that the engine has to end a container it was told to kill. */
const KILL_MS = 30_000;
/** Milliseconds between two attempts at an engine that does not answer. */
const RETRY_MS = 500;

/** What a container is known by when it is created or found. */
export type Known = {
  id: string;
  name: string;
  deadline_ms: number;
  /** Volumes it may write to. */
  volumes: string[];
  stdin: string | null;
};

export class Run implements RunHandle {
  readonly id: string;
  readonly name: string;
  readonly #engine: Engine;
  readonly #volumes: Volumes;
  readonly #known: Known;
  readonly #output: Output;
  /** Settles when it has ended or is gone; never rejects. */
  readonly ended: Promise<void>;
  readonly #exit = Promise.withResolvers<Exit>();
  readonly #over = new AbortController();
  #killed: KillReason | null = null;
  #killing: Promise<void> | null = null;
  #started = false;
  #witnessed = false;
  #deadline: NodeJS.Timeout | undefined;

  constructor(engine: Engine, volumes: Volumes, known: Known) {
    this.id = known.id;
    this.name = known.name;
    this.#engine = engine;
    this.#volumes = volumes;
    this.#known = known;
    this.ended = this.#exit.promise.then(
      () => this.#over.abort(),
      () => this.#over.abort(),
    );
    const run = this;
    const life: Life = {
      ended: this.ended,
      get witnessed() {
        return run.#witnessed;
      },
      isOver: async () => (await run.#look()) !== null,
    };
    this.#output = new Output(engine, known.id, life);
  }

  async start(): Promise<void> {
    if (this.#started) return;
    if (this.#killed !== null) throw new DockerError("conflict", `${this.name} was killed already`);
    try {
      await this.#output.attach(this.#known.stdin);
      await this.#engine.start(this.id);
    } catch (error) {
      this.#output.detach();
      this.#exit.reject(error);
      throw error;
    }
    this.#output.begin();
    this.#follow(this.#known.deadline_ms, true);
  }

  /**
   * Takes over a container that another process started. Its deadline counts anew: when it started, only a wall clock
   * could tell, which may have been set since. Its attempt knows better what is left, and ends it in time.
   */
  async resume(found: Inspected): Promise<void> {
    if (found.State.Status === "created") return;
    if (found.State.Paused) await this.#engine.unpause(this.id);
    this.#follow(this.#known.deadline_ms, false);
  }

  output(): AsyncIterable<Chunk> {
    return this.#output.read();
  }

  complete(): Promise<boolean> {
    return this.#output.complete();
  }

  wait(): Promise<Exit> {
    return this.#exit.promise;
  }

  async kill(reason: KillReason, grace_ms: number): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#killed ??= reason;
    if (!this.#started) {
      this.#exit.resolve({ code: KILLED_CODE, oom: false, killed: this.#killed });
      return;
    }
    this.#killing ??= this.#slay(grace_ms).finally(() => {
      this.#killing = null;
    });
    await this.#killing;
  }

  async get(path: string, max_bytes: number): Promise<Readable> {
    const source = await this.#engine.getArchive(this.id, path);
    let seen = 0;
    const cap = new Transform({
      transform(bytes: Buffer, _encoding, done) {
        seen += bytes.length;
        if (seen <= max_bytes) return done(null, bytes);
        done(new DockerError("invalid", `${path} holds more than ${max_bytes} bytes`));
      },
    });
    source.once("error", (error) => cap.destroy(mapped(error, `read ${path} in the container`)));
    source.once("close", () => {
      if (!source.readableEnded) cap.destroy(mapped("the connection broke", `read ${path}`));
    });
    cap.once("close", () => source.destroy());
    return source.pipe(cap);
  }

  async put(path: string, tar: Readable | Buffer): Promise<void> {
    await this.#engine.putArchive(this.id, path, tar);
  }

  /** Before the container is removed, by whoever: an output that nobody reads would keep the engine from it. */
  letGo(): void {
    this.#output.detach();
    if (!this.#started) this.#exit.reject(new DockerError("gone", `${this.name} was removed`));
  }

  async remove(): Promise<void> {
    this.letGo();
    try {
      await this.#engine.removeContainer(this.id);
    } catch (error) {
      if (!isKind(error, "gone")) throw error;
    }
    await this.ended;
  }

  #follow(deadline_ms: number, attached: boolean): void {
    this.#started = true;
    this.#deadline = setTimeout(() => this.#expire(), deadline_ms);
    this.ended.then(() => clearTimeout(this.#deadline));
    this.#watchEnd(attached).then(this.#exit.resolve, this.#exit.reject);
    this.#watchVolumes().catch(() => {});
  }

  /** Asks the engine to tell, and looks every now and then since a broken connection may never say so. */
  async #watchEnd(attached: boolean): Promise<Exit> {
    let first = attached;
    let told = this.#told();
    for (;;) {
      const answer = await atMost(told, POLL_MS);
      const exit = await this.#look().catch((error: unknown) => {
        if (isKind(error, "unavailable", "timeout")) return null;
        throw error;
      });
      if (exit !== null) {
        this.#witnessed = first && answer === true;
        return exit;
      }
      if (answer === null) continue;
      first = false;
      await sleep(RETRY_MS);
      told = this.#told();
    }
  }

  /** True when the engine told the end, false when it will not any more; may never settle. */
  #told(): Promise<boolean> {
    return this.#engine.waited(this.id, this.#over.signal).then(
      () => true,
      () => false,
    );
  }

  /** How it ended; null when it has not. */
  async #look(): Promise<Exit | null> {
    const { State } = await this.#engine.inspect(this.id);
    if (State.Status !== "exited" && State.Status !== "dead") return null;
    const killed = this.#killed;
    return { code: State.ExitCode, oom: killed === null && killedForMemory(State), killed };
  }

  async #expire(): Promise<void> {
    while (!this.#over.signal.aborted) {
      await this.kill("deadline", DEADLINE_GRACE_MS).catch(() => sleep(RETRY_MS));
    }
  }

  async #slay(grace_ms: number): Promise<void> {
    await this.#output.free();
    if (grace_ms > 0) {
      await this.#signal("SIGTERM");
      if (await within(this.ended, grace_ms)) return;
    }
    await this.#signal("SIGKILL");
    if (await within(this.ended, KILL_MS)) return;
    throw new DockerError("timeout", `${this.name} does not end: look at it with docker inspect`);
  }

  async #signal(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    while (!this.#over.signal.aborted) {
      try {
        return await this.#engine.kill(this.id, signal);
      } catch (error) {
        if (isKind(error, "gone", "conflict")) return;
        if (!isKind(error, "unavailable", "timeout")) throw error;
        await sleep(RETRY_MS);
      }
    }
  }

  async #watchVolumes(): Promise<void> {
    const watched = await this.#volumes.watched(this.#known.volumes);
    while (watched.length > 0 && !(await within(this.ended, WATCH_MS))) {
      for (const volume of watched) {
        if (await this.#outgrown(volume)) await this.kill("disk", 0);
      }
    }
  }

  async #outgrown(volume: Watched): Promise<boolean> {
    const bytes = await this.#volumes.size(volume.name).catch(() => null);
    return bytes !== null && bytes > volume.limit;
  }
}

/** What a container's own record says of it. */
export function knownFrom(found: Inspected): Known {
  const { Config, Mounts } = found;
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ""),
    deadline_ms: numberLabel(Config.Labels, LABEL.deadline) ?? 0,
    volumes: Mounts.flatMap((mount) => (mount.RW && mount.Name !== undefined ? [mount.Name] : [])),
    stdin: null,
  };
}
