/**
 * The Docker engine of one machine in virtual time: containers and volumes that outlive every agent process, and the
 * ways in which an engine fails. docker-host.ts is what a process sees of it.
 */
import {
  DockerError,
  type HostFacts,
  type RunSpec,
  type VolumeSpec,
} from "../../../agent/docker/contracts.ts";
import { containerName, type Labels, ownerLabels } from "../../../agent/docker/labels.ts";
import type { Kernel } from "../kernel.ts";
import { Life } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";
import { Container, KILLED } from "./container.ts";
import { programOf } from "./program.ts";

export type Volume = { spec: VolumeSpec; state: "empty" | "partial" | "source" };

/** What went through an engine, for the table of what a run exercised. */
export type EngineCounts = {
  created: number;
  /** Found by a later process, while they ran and when they had ended. */
  adopted: number;
  found_ended: number;
  /** Adopted without the beginning of their output. */
  cut: number;
  oom: number;
  outgrown: number;
  paused: number;
};

export const IMAGE = "railhead/sim:1";
/** Milliseconds from one look of an engine at what it may answer to the next, at the most. */
const SLOWEST_MS = 25;
const GIB = 2 ** 30;

export class SimEngine {
  readonly id: string;
  readonly containers = new Map<string, Container>();
  readonly volumes = new Map<string, Volume>();
  /** How many lines containers had written that came to a good end, by name. */
  readonly printed = new Map<string, { stdout: number; stderr: number }>();
  readonly counts: EngineCounts = {
    created: 0,
    adopted: 0,
    found_ended: 0,
    cut: 0,
    oom: 0,
    outgrown: 0,
    paused: 0,
  };
  /** Removals do not work before this true time (ms). */
  stuck_until = 0;
  hasImage = true;
  /** Bytes free on its disk. */
  free_bytes = 64 * GIB;
  /** Drops the beginning of what is read again, as a full log driver does. */
  cutsKept = false;
  /** What no right agent asks for, in words. */
  readonly broken: string[] = [];
  /** Called when a container starts, for those who watch that no attempt runs twice. */
  onStart: (container: Container) => void = () => {};
  readonly random: SeededRandom;
  readonly #kernel: Kernel;
  readonly #wallClock: () => number;
  #power: Life;
  #up = true;
  #hanging = false;
  /** Requests that it took and did not look at yet. */
  #limbo: (() => void)[] = [];
  /** Called when it answers again. */
  readonly #back = new Set<() => void>();
  #serial = 0;

  constructor(parts: {
    id: string;
    kernel: Kernel;
    random: SeededRandom;
    /** The wall clock of its host. */
    wallClock: () => number;
  }) {
    this.id = parts.id;
    this.random = parts.random;
    this.#kernel = parts.kernel;
    this.#wallClock = parts.wallClock;
    this.#power = new Life(parts.kernel, parts.id);
  }

  get answers(): boolean {
    return this.#up && !this.#hanging;
  }

  /** True time in milliseconds. */
  get now(): number {
    return this.#kernel.now;
  }

  /** Calls `then` at the next moment at which it answers, unless called off by what this returns. */
  whenBack(then: () => void): () => void {
    this.#back.add(then);
    return () => this.#back.delete(then);
  }

  /**
   * One request: it reaches the engine whatever becomes of who sent it, and is answered in the sender's life.
   * @throws DockerError
   */
  request<T>(from: Life, what: string, body: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (!from.alive) return promise;
    const look = () => {
      try {
        if (!this.#up)
          throw new DockerError("unavailable", `cannot ${what}: is the engine running?`);
        const value = body();
        from.do(() => resolve(value));
      } catch (error) {
        from.do(() => reject(error));
      }
    };
    this.#kernel.after(this.random.between(0.2, SLOWEST_MS), what, () => {
      if (this.#hanging) this.#limbo.push(look);
      else look();
    });
    return promise;
  }

  facts(): HostFacts {
    return {
      engine_id: this.id,
      engine_version: "20.10.24",
      cpus: 2,
      memory_bytes: 16 * GIB,
      cgroup_version: "2",
      cgroup_driver: "cgroupfs",
      live_restore: true,
      userns: false,
      seccomp: true,
      firewall: true,
      quota: false,
      data_root: "/var/lib/docker",
      disk_free_bytes: this.free_bytes,
      disk_total_bytes: 128 * GIB,
    };
  }

  /** @throws DockerError `conflict` when there is one of that name, `not_found` for a missing volume */
  create(spec: RunSpec): Container {
    const name = containerName(spec.owner, spec.phase);
    if (this.containers.has(name))
      throw new DockerError("conflict", `${name} is in use`, { status: 409 });
    for (const { volume } of spec.mounts)
      if (!this.volumes.has(volume))
        throw new DockerError("not_found", `the volume ${volume} does not exist`);
    const container = new Container({
      id: `${name}#${++this.#serial}`,
      name,
      spec,
      program: programOf(spec, this.random),
      power: this.#power,
      random: this.random,
      wallClock: this.#wallClock,
    });
    container.onEnd = () => this.#ended(container);
    this.containers.set(name, container);
    this.counts.created += 1;
    return container;
  }

  start(container: Container): void {
    if (container.status === "removed")
      throw new DockerError("gone", `no ${container.name}`, { status: 404 });
    if (container.status !== "created") return;
    this.onStart(container);
    container.start();
    // A clone that is not there yet is partly there.
    if (container.spec.phase === "fetch") this.#fill(container, "partial");
    else if (
      container.spec.mounts.some(({ volume }) => this.volumes.get(volume)?.state !== "source")
    )
      this.broken.push(`${container.name} was started without a whole source`);
  }

  /** @throws DockerError `gone`, or `conflict` while it cannot be removed */
  remove(container: Container): void {
    if (container.status === "removed")
      throw new DockerError("gone", `no ${container.name}`, { status: 404 });
    if (this.#kernel.now < this.stuck_until) {
      container.signal("SIGKILL");
      throw new DockerError("conflict", `removal of ${container.name} is already in progress`, {
        status: 409,
      });
    }
    container.remove();
    this.containers.delete(container.name);
  }

  createVolume(spec: VolumeSpec): void {
    if (!this.volumes.has(spec.name)) this.volumes.set(spec.name, { spec, state: "empty" });
  }

  /** @throws DockerError `conflict` while a container has it */
  removeVolume(name: string): void {
    for (const { spec } of this.containers.values())
      if (spec.mounts.some((mount) => mount.volume === name))
        throw new DockerError("conflict", `the volume ${name} is in use`, { status: 409 });
    this.volumes.delete(name);
  }

  labelsOf(container: Container): Labels {
    return ownerLabels(container.spec.owner);
  }

  /** The daemon ends; with live-restore its containers go on without it. */
  stop(liveRestore: boolean): void {
    this.#up = false;
    if (!liveRestore) this.#killAll();
    this.#drop();
  }

  /** The daemon is there again. */
  restart(): void {
    this.#up = true;
    this.#tellBack();
  }

  /** Takes requests and answers none, until called with false. */
  hang(on: boolean): void {
    this.#hanging = on;
    if (on) return;
    this.#drop();
    this.#tellBack();
  }

  /** The power goes: everything that ran is dead. Call `restart` when the machine is up again. */
  losePower(): void {
    this.#up = false;
    this.#hanging = false;
    this.#limbo = [];
    this.#power.end();
    this.#killAll();
    this.#power = new Life(this.#kernel, this.id);
  }

  #killAll(): void {
    for (const container of this.containers.values())
      container.finish({ code: KILLED, oom: false });
  }

  #drop(): void {
    for (const look of this.#limbo.splice(0)) look();
  }

  #tellBack(): void {
    const back = [...this.#back];
    this.#back.clear();
    for (const then of back) then();
  }

  #ended(container: Container): void {
    if (container.end?.code === 0)
      this.printed.set(container.name, {
        stdout: container.lines("stdout"),
        stderr: container.lines("stderr"),
      });
    if (container.end?.oom) this.counts.oom += 1;
    if (container.outgrown) this.counts.outgrown += 1;
    if (container.spec.phase === "fetch" && container.end?.code === 0)
      this.#fill(container, "source");
  }

  #fill({ spec }: Container, state: Volume["state"]): void {
    for (const mount of spec.mounts) {
      const volume = this.volumes.get(mount.volume);
      if (volume && !mount.read_only) volume.state = state;
    }
  }
}
