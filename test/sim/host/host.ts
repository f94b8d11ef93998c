/**
 * One machine of the simulation: its disk, its engine and its clocks outlive the agent processes that run on it one
 * after the other, each the agent's own Service.
 */
import type { AgentSettings } from "../../../agent/config.ts";
import { AgentExit, EXIT } from "../../../agent/errors.ts";
import { Service } from "../../../agent/service.ts";
import { type Kernel, Life } from "../kernel.ts";
import type { Network } from "../network.ts";
import type { SeededRandom } from "../random.ts";
import { SimDisk } from "./disk.ts";
import { SimDockerHost } from "./docker-host.ts";
import { SimEngine } from "./engine.ts";
import { simLogger } from "./logger.ts";
import { MachineClock, simPorts } from "./ports.ts";
import { simRecipe } from "./recipe.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const HOME = "/agent";
const JOURNALS = `${HOME}/attempts`;
/** How wrong a machine's second may be: as the worst of quartz. */
const DRIFT = 2e-4;

const SETTINGS: AgentSettings = {
  capacity: 2,
  labels: { erlang: "25,27" },
  remotes: {},
  build_network: "none",
  allow_addresses: [],
  goproxy: "",
  goprivate: "",
  gosumdb: "",
  hex: "",
  docker_socket: "/var/run/docker.sock",
  images: { go: "", erlang: {} },
  limits: { cpus: 1, memory_bytes: GIB, pids: 100, disk_bytes: GIB, time_ms: 4 * 60_000 },
  cache: { repository_bytes: 0, total_bytes: 0 },
  image: {
    enabled: false,
    builder: "classic",
    buildkit_network: "none",
    max_bytes: 0,
    context_bytes: 0,
    allow_from: [],
    registries: [],
    cache_bytes: 0,
  },
  app: {
    enabled: false,
    network: null,
    traefik_network: null,
    limits: { memory_bytes: GIB, cpus: 1, pids: 100 },
  },
  mail: null,
  min_free_bytes: 2 * GIB,
  // So small that programs reach both.
  log: { head_bytes: 8_000, tail_bytes: 2_000 },
};

/** What may happen to an engine. `stuck`: containers cannot be removed; `cut`: kept output lost its beginning. */
export const ENGINE_FAULTS = ["restart", "crash", "hang", "stuck", "image", "cut"] as const;
export type EngineFault = (typeof ENGINE_FAULTS)[number];

export type HostParts = {
  kernel: Kernel;
  network: Pick<Network, "dial" | "request">;
  random: SeededRandom;
  /** Name of the machine. */
  name: string;
  /** The registered agent's id. */
  agent: string;
  pool: string;
  /** Address of the edge. */
  edge: string;
  settings?: Partial<AgentSettings>;
};

type Process = { life: Life; service: Service };

export class SimHost {
  readonly name: string;
  readonly agent: string;
  readonly engine: SimEngine;
  readonly disk: SimDisk;
  readonly clock: MachineClock;
  /** What a process called a bug, in its words. */
  readonly bugs: string[] = [];
  /** Exit statuses of processes that ended by themselves. */
  readonly exits: number[] = [];
  /** Called when a process is dead, for whatever reason. */
  onDeath: () => void = () => {};
  /** True time (ms) since when, or from when, its process runs without a stop and its engine does what it should. */
  steady_since: number;
  readonly #parts: HostParts;
  readonly #random: SeededRandom;
  #process: Process | null = null;
  #boot = 1;
  #starts = 0;
  /** Changes of the disk until the process dies in the midst of one; null: it does not. */
  #doom: number | null = null;

  constructor(parts: HostParts) {
    const { kernel, random, name, agent } = parts;
    this.#parts = parts;
    this.#random = random.fork();
    this.steady_since = kernel.now;
    this.name = name;
    this.agent = agent;
    this.clock = new MachineClock(() => kernel.now, 1 + random.between(-DRIFT, DRIFT));
    this.disk = new SimDisk(random.fork());
    this.engine = new SimEngine({
      id: `engine of ${name}`,
      kernel,
      random: random.fork(),
      wallClock: () => this.clock.wall(),
    });
  }

  /** Whether an agent process is there, suspended or not. */
  get running(): boolean {
    return this.#process !== null;
  }

  get suspended(): boolean {
    return this.#process?.life.suspended ?? false;
  }

  /** The life of the process that is there. */
  get life(): Life | null {
    return this.#process?.life ?? null;
  }

  get containers(): string[] {
    return [...this.engine.containers.keys()];
  }

  /** Starts an agent process, unless there is one: two cannot have one home. */
  start(): void {
    if (this.#process) return;
    const { kernel, network, name, agent, pool, edge } = this.#parts;
    const life = new Life(kernel, `${name} process ${++this.#starts}`);
    const disk = this.disk.port(life, () => this.#strike(life));
    const service = new Service({
      ports: simPorts({
        life,
        host: name,
        clock: this.clock,
        disk,
        network,
        random: this.#random.fork(),
        boot: `${name} boot ${this.#boot}`,
        agent,
      }),
      home: HOME,
      identity: { url: edge, agent, name, pool, key: { kty: "OKP", crv: "Ed25519", x: "", d: "" } },
      settings: { ...SETTINGS, ...this.#parts.settings },
      docker: new SimDockerHost(this.engine, life, agent),
      recipes: { go: simRecipe("go", disk), erlang: simRecipe("erlang", disk) },
      apps: null,
      once: false,
      log: simLogger(kernel, life.name, (what) => life.alive && this.bugs.push(what)),
    });
    this.#process = { life, service };
    this.#disturbed();
    kernel.tell(() => `${life.name}: starts`);
    service.run().then(
      () => this.#exited(life, EXIT.ok),
      (error: unknown) => {
        if (error instanceof AgentExit) return this.#exited(life, error.status);
        if (life.alive) this.bugs.push(`the process broke: ${String(error)}`);
        this.#exited(life, EXIT.failed);
      },
    );
  }

  /** SIGKILL. */
  kill(): void {
    if (this.#process) this.#die(this.#process.life, "is killed");
  }

  /** SIGKILL at the change of its disk that comes after `changes` others, just before or just after it. */
  killAtWrite(changes: number): void {
    if (this.#process) this.#doom = changes;
  }

  /** SIGSTOP. */
  suspend(): void {
    this.#process?.life.suspend();
  }

  resume(): void {
    this.#process?.life.resume();
    this.#disturbed();
  }

  /** SIGTERM: the first drains, the second cancels. */
  sigterm(): void {
    const process = this.#process;
    process?.life.do(() => process.service.interrupt());
  }

  /** The power goes and comes back; the engine is up again after `down_ms`, `start` is the caller's affair. */
  reboot(down_ms: number): void {
    if (this.#process) this.#die(this.#process.life, "loses its power");
    this.disk.losePower();
    this.engine.losePower();
    this.#boot += 1;
    this.clock.boot();
    this.#parts.kernel.after(down_ms, `${this.name} is up`, () => this.engine.restart());
  }

  /** Sets the wall clock wrong by that much. */
  skewClock(ms: number): void {
    this.clock.skew_ms = ms;
  }

  fillDisk(on: boolean): void {
    this.disk.full = on;
    this.engine.free_bytes = on ? MIB : 64 * GIB;
  }

  /** Breaks the engine in one of the ways for `ms`. */
  breakDocker(fault: EngineFault, ms: number): void {
    const { engine } = this;
    this.#disturbed(ms);
    const until = (mend: () => void) =>
      this.#parts.kernel.after(ms, `${this.name}: the engine is mended`, mend);
    switch (fault) {
      case "restart":
      case "crash":
        engine.stop(fault === "restart");
        until(() => engine.restart());
        break;
      case "hang":
        engine.hang(true);
        until(() => engine.hang(false));
        break;
      case "stuck":
        engine.stuck_until = this.#parts.kernel.now + ms;
        break;
      case "image":
        engine.hasImage = false;
        until(() => {
          engine.hasImage = true;
        });
        break;
      case "cut":
        engine.cutsKept = true;
        until(() => {
          engine.cutsKept = false;
        });
        break;
    }
  }

  /** What is here of attempts that are not `live`, in words (invariant I7). */
  leftovers(live: (build: string, attempt: number) => boolean): string[] {
    const left: string[] = [];
    for (const { name, spec } of this.engine.containers.values())
      if (!live(spec.owner.build, spec.owner.attempt)) left.push(`container ${name}`);
    for (const name of this.engine.volumes.keys()) {
      const [, build = "", attempt = ""] = name.split("-");
      if (!live(build, Number(attempt))) left.push(`volume ${name}`);
    }
    for (const name of this.disk.has(JOURNALS) ? this.disk.names(JOURNALS) : []) {
      const [build = "", attempt = ""] = name.split("-");
      if (!live(build, Number(attempt))) left.push(`journal ${name}`);
    }
    return left;
  }

  #disturbed(for_ms = 0): void {
    this.steady_since = Math.max(this.steady_since, this.#parts.kernel.now + for_ms);
  }

  /** False when the process died before the change. */
  #strike(life: Life): boolean {
    if (!life.alive) return false;
    if (this.#doom === null || this.#doom-- > 0) return true;
    this.#die(life, "is killed at a write");
    return this.#random.chance(0.5);
  }

  #exited(life: Life, status: number): void {
    if (!life.alive) return;
    this.exits.push(status);
    this.#die(life, `exits with ${status}`);
  }

  #die(life: Life, how: string): void {
    this.#parts.kernel.tell(() => `${life.name}: ${how}`);
    this.#doom = null;
    this.#process = null;
    life.end();
    this.onDeath();
  }
}
