/**
 * A pool in virtual time: the real scheduler over node:sqlite, with sockets and Builds in memory. The Builds
 * keep the contract of BuildRpc (compare-and-set of attempts), nothing more.
 */
import type { BuildState } from "../../shared/builds.ts";
import type { ControlDown, ControlUp } from "../../shared/protocol.ts";
import type { GoTarget } from "../../shared/recipes/go.ts";
import type { BeginAnswer, BuildSummary, Job, LostAnswer } from "../../worker/core/contracts.ts";
import { migrate } from "../../worker/core/migrations.ts";
import type { Hello, Wire } from "../../worker/core/registry.ts";
import { Scheduler } from "../../worker/core/scheduler.ts";
import { SCHEDULER_MIGRATIONS } from "../../worker/core/scheduler-schema.ts";
import { openSql } from "./sql.ts";

export const TARGET: GoTarget = {
  recipe: "go",
  remote: "git.example",
  path: ["owner", "repo"],
  goos: "linux",
  goarch: "amd64",
  version: "v1.0.0",
  make: null,
  commit: "0123456789abcdef0123456789abcdef01234567",
  visibility: "public",
  advertised: true,
};

/** A Build as the pool knows it. */
export class WorldBuild {
  state: BuildState = "queued";
  /** Highest attempt minted. */
  attempt = 0;
  /** The attempt that may act; null between two. */
  live: number | null = null;
  publishing = false;
  unreachable = false;
  unplaceableReason: string | null = null;
  begun: { attempt: number; agent: string; instance: string }[] = [];
  lostCalls: { attempt: number; why: string }[] = [];
  /** Resolves before `begin` answers. */
  gate: Promise<void> = Promise.resolve();

  async begin(
    expected: number,
    agent: { agent: string; name: string; instance: string },
  ): Promise<BeginAnswer> {
    await this.gate;
    this.#reach();
    const next = this.attempt + 1;
    if (this.#over()) return { kind: "refused", code: "terminal", next };
    if (this.publishing) return { kind: "refused", code: "publishing", next };
    const last = this.begun.at(-1);
    const again =
      this.live === expected && last?.agent === agent.agent && last.instance === agent.instance;
    if (!again && (this.live !== null || expected !== next))
      return { kind: "refused", code: "attempt", next };
    this.attempt = expected;
    this.live = expected;
    this.state = "running";
    this.begun.push({ attempt: expected, agent: agent.agent, instance: agent.instance });
    return { kind: "ok", lease: "x".repeat(32), target: TARGET, deadline_ms: 60_000 };
  }

  async lost(attempt: number, why: string): Promise<LostAnswer> {
    this.#reach();
    this.lostCalls.push({ attempt, why });
    if (this.#over()) return { kind: "terminal" };
    if (this.publishing) return { kind: "ignored" };
    if (attempt === this.attempt + 1) return { kind: "requeue", next: attempt };
    if (attempt !== this.live) return { kind: "ignored" };
    this.live = null;
    this.state = "queued";
    return { kind: "requeue", next: attempt + 1 };
  }

  async unplaceable(_attempt: number, reason: string): Promise<void> {
    this.#reach();
    this.unplaceableReason = reason;
    this.state = "failed";
  }

  async summary(): Promise<BuildSummary | null> {
    this.#reach();
    return {
      build_id: "",
      state: this.state,
      class: null,
      reason: null,
      position: null,
      queue: null,
      attempt: this.attempt,
      commit: null,
    };
  }

  #over(): boolean {
    return this.state !== "queued" && this.state !== "running";
  }

  #reach(): void {
    if (this.unreachable) throw new Error("unreachable");
  }
}

type Socket = { agent: string; epoch: number; lastPing: number; frames: ControlDown[] };

export type Limits = { ratePerMinute: number; queueLimit: number };

export class PoolWorld {
  now = 1_800_000_000_000;
  alarmAt: number | null = null;
  alarms = 0;
  readonly builds = new Map<string, WorldBuild>();
  readonly sockets = new Set<Socket>();
  readonly closes: { agent: string; code: number }[] = [];
  readonly #sql = openSql();
  readonly #limits: Limits;
  readonly #work = new Set<Promise<void>>();
  #serial = 0;
  pool: Scheduler;

  constructor(limits: Limits = { ratePerMinute: 1_000, queueLimit: 1_000 }) {
    this.#limits = limits;
    migrate(this.#sql, SCHEDULER_MIGRATIONS);
    this.pool = this.#open();
  }

  close(): void {
    this.#sql.close();
  }

  /** The object dies and comes back: with its sockets (hibernation) or without (deploy, crash). */
  restart(sockets: "kept" | "lost"): void {
    if (sockets === "lost") this.sockets.clear();
    this.pool = this.#open();
  }

  #open(): Scheduler {
    return new Scheduler({
      pool: "default",
      sql: this.#sql,
      clock: { now: () => this.now },
      random: { hex: (bytes) => (++this.#serial).toString(16).padStart(bytes * 2, "0") },
      alarm: {
        set: (at) => {
          this.alarmAt = at;
        },
      },
      wire: this.#wire(),
      limits: this.#limits,
      builds: (id) => this.build(id),
      background: (work) => {
        const tracked = work.finally(() => this.#work.delete(tracked));
        this.#work.add(tracked);
      },
    });
  }

  #wire(): Wire {
    const find = (agent: string, epoch: number) =>
      [...this.sockets].find((socket) => socket.agent === agent && socket.epoch === epoch);
    return {
      send: (agent, epoch, frame) => {
        const socket = find(agent, epoch);
        socket?.frames.push(frame);
        return socket !== undefined;
      },
      lastPing: (agent, epoch) => find(agent, epoch)?.lastPing ?? null,
      close: (agent, keep, code) => {
        for (const socket of this.sockets)
          if (socket.agent === agent && socket.epoch !== keep) {
            this.sockets.delete(socket);
            this.closes.push({ agent, code });
          }
      },
    };
  }

  build(id: string): WorldBuild {
    const build = this.builds.get(id) ?? new WorldBuild();
    this.builds.set(id, build);
    return build;
  }

  /** Resolves when no background work is left. */
  async settle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  /** Lets time pass, with the alarms that fall into it; agents in `pinging` ping all the while. */
  async pass(ms: number, pinging: WorldAgent[] = []): Promise<void> {
    const end = this.now + ms;
    await this.settle();
    for (;;) {
      const next = Math.min(end, this.alarmAt ?? end, this.now + 4_000);
      this.now = Math.max(this.now, next);
      for (const agent of pinging) agent.ping();
      if (this.alarmAt !== null && this.alarmAt <= this.now) {
        this.alarmAt = null;
        this.alarms += 1;
        await this.pool.alarm();
        await this.settle();
      }
      if (this.now >= end) return;
    }
  }

  job(id: string, extra: Partial<Job> = {}): Job {
    return {
      build_id: id,
      expected: 1,
      recipe: "go",
      needs: {},
      avoid: [],
      caller: "admin",
      admission: true,
      queued_at: this.now,
      ...extra,
    };
  }

  /** Enqueues, and waits until nothing moves any more. */
  async enqueue(id: string, extra: Partial<Job> = {}) {
    const answer = this.pool.enqueue(this.job(id, extra));
    await this.settle();
    return answer;
  }

  /** Registers an agent and connects it. */
  async agent(name: string, hello: Partial<Hello> = {}): Promise<WorldAgent> {
    const registered = this.pool.register({
      name,
      pool: "default",
      labels: {},
      public_key: { kty: "OKP", crv: "Ed25519", x: "k".repeat(43) },
    });
    if (registered.kind !== "ok") throw new Error(`${name} is taken`);
    const agent = new WorldAgent(this, registered.agent, { engine: `engine-${name}`, ...hello });
    await agent.connect();
    return agent;
  }
}

/** An agent's process and its socket. */
export class WorldAgent {
  readonly id: string;
  readonly #world: PoolWorld;
  #hello: Hello;
  socket: Socket;

  constructor(world: PoolWorld, id: string, hello: Partial<Hello>) {
    this.#world = world;
    this.id = id;
    this.socket = { agent: id, epoch: 0, lastPing: world.now, frames: [] };
    this.#hello = {
      t: "hello",
      protocol: 1,
      version: "0.0.0",
      instance: "first",
      engine: "engine",
      capacity: 1,
      labels: {},
      recipes: ["go"],
      unwell: null,
      draining: false,
      held: [],
      ...hello,
    };
  }

  /** Opens a new socket and says hello; what it answers when it refuses. */
  async connect(hello: Partial<Hello> = {}): Promise<{ code: number } | null> {
    this.#hello = { ...this.#hello, ...hello };
    this.socket = { agent: this.id, epoch: 0, lastPing: this.#world.now, frames: [] };
    const answer = this.#world.pool.control.hello(this.id, this.#hello);
    if (answer.kind === "refused") return { code: answer.code };
    this.socket.epoch = answer.epoch;
    for (const old of this.#world.sockets)
      if (old.agent === this.id) {
        this.#world.sockets.delete(old);
        this.#world.closes.push({ agent: this.id, code: answer.others.code });
      }
    this.#world.sockets.add(this.socket);
    await this.#world.pool.control.welcome(this.id, answer.epoch, this.#hello.held);
    await this.#world.settle();
    return null;
  }

  ping(): void {
    if (this.#world.sockets.has(this.socket)) this.socket.lastPing = this.#world.now;
  }

  /** The socket is closed, and the pool hears of it. */
  drop(code = 1006): void {
    const { epoch, lastPing } = this.socket;
    this.#world.sockets.delete(this.socket);
    this.#world.pool.control.closed(this.id, epoch, lastPing, code);
  }

  async say(frame: Exclude<ControlUp, Hello>, epoch = this.socket.epoch): Promise<void> {
    this.#world.pool.control.frame(this.id, epoch, frame);
    await this.#world.settle();
  }

  received<T extends ControlDown["t"]>(t: T): Extract<ControlDown, { t: T }>[] {
    return this.socket.frames.filter(
      (frame): frame is Extract<ControlDown, { t: T }> => frame.t === t,
    );
  }

  /** What it was told to build: `build/attempt`. */
  assigned(): string[] {
    return this.received("assign").map(({ build, attempt }) => `${build}/${attempt}`);
  }
}
