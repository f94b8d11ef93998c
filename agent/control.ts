/**
 * The agent's line to its pool: proves who it is, says hello with what it holds, takes assignments, renews the lease.
 * It comes back after every cut, and ends only when the edge says that it should.
 */
import { nonceSchema } from "../shared/identity.ts";
import { SUSPECT_AFTER_MS } from "../shared/limits.ts";
import {
  CLOSE,
  type ControlDown,
  type ControlUp,
  PROTOCOL_VERSION,
  parseControlDown,
} from "../shared/protocol.ts";
import { pause } from "./backoff.ts";
import { EdgeRefusal, edgeUrl } from "./edge.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { Latch } from "./latch.ts";
import type { Lease } from "./lease.ts";
import type { Logger } from "./logger.ts";
import type { AgentPorts, LineEnd } from "./ports.ts";
import { describeEnd, Socket } from "./socket.ts";
import { VERSION } from "./version.ts";

/** Milliseconds a connection must last before the next pause starts small again. */
const STEADY_MS = 10_000;
/** Milliseconds the edge has to answer hello. */
const WELCOME_MS = SUSPECT_AFTER_MS;
/** Milliseconds between two looks at the lease. */
const TICK_MS = 1_000;
/** Statuses of refusals that no later try changes: not registered, removed, or not this agent's key. */
const FINAL_STATUS = new Set([401, 403, 404]);

type Frame<T extends ControlDown["t"]> = Extract<ControlDown, { t: T }>;
export type Hello = Omit<
  Extract<ControlUp, { t: "hello" }>,
  "t" | "protocol" | "version" | "instance"
>;

export type ControlEvents = {
  hello(): Hello;
  welcomed(drop: Frame<"welcome">["drop"]): void;
  assign(frame: Frame<"assign">): void;
  cancel(frame: Frame<"cancel">): void;
  drain(): void;
  /** The edge's clock (ms since the epoch), told in an answer to what was asked at `asked`. */
  edgeTime(time_ms: number, asked: number): void;
  /** The lease ran out: others may have the attempts by now. */
  expired(): void;
};

type ControlPorts = Pick<AgentPorts, "clock" | "random" | "net" | "prove">;

export class Control {
  readonly #ports: ControlPorts;
  readonly #identity: Identity;
  readonly #instance: string;
  readonly #lease: Lease;
  readonly #log: Logger;
  readonly #events: ControlEvents;
  readonly #stop = new AbortController();
  readonly #changed = new Latch();
  #socket: Socket | null = null;
  #welcomed = false;
  /** What came up between hello and its answer: hello told otherwise. Null outside of that. */
  #behindHello: ControlUp[] | null = null;
  #failures = 0;
  /** Calls the next tick off. */
  #nextTick = () => {};

  constructor(parts: {
    ports: ControlPorts;
    identity: Identity;
    instance: string;
    lease: Lease;
    log: Logger;
    events: ControlEvents;
  }) {
    this.#ports = parts.ports;
    this.#identity = parts.identity;
    this.#instance = parts.instance;
    this.#lease = parts.lease;
    this.#log = parts.log;
    this.#events = parts.events;
  }

  /**
   * Holds the line until `stop`.
   * @throws AgentExit when the edge refuses this agent (removed, unknown) or another process took over
   */
  async run(): Promise<void> {
    this.#keepTicking();
    try {
      while (!this.#stop.signal.aborted) {
        const lasted = await this.#connectOnce();
        if (lasted > STEADY_MS) this.#failures = 0;
        await pause(this.#ports, this.#failures++, this.#stop.signal);
      }
    } finally {
      this.#nextTick();
      this.#socket?.close(1000, "bye");
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#socket?.close(1000, "bye");
  }

  /** False when there is no line now: hello will say it. */
  send(frame: ControlUp): boolean {
    if (this.#behindHello) return this.#behindHello.push(frame) > 0;
    return this.#welcomed && (this.#socket?.send(JSON.stringify(frame)) ?? false);
  }

  /**
   * Settles when this agent may act: at once while the lease is good, after the next welcome when the process stood
   * still (rule 10). Returns early when `signal` aborts: look at it afterwards.
   */
  async mayAct(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#tick();
      if (this.#lease.standing() === "good") return;
      await this.#changed.wait(signal);
    }
  }

  #keepTicking(): void {
    this.#nextTick = this.#ports.clock.after(TICK_MS, () => {
      this.#keepTicking();
      this.#tick();
    });
  }

  #tick(): void {
    const standing = this.#lease.standing();
    this.#lease.tick();
    if (standing === "good") return;
    if (standing === "expired") this.#events.expired();
    // The next hello asks what is still ours.
    if (this.#welcomed) this.#cut(`the lease is ${standing}`);
  }

  #cut(why: string): void {
    this.#log.warn("reconnecting", { why });
    this.#welcomed = false;
    this.#socket?.terminate();
  }

  /** One connection from proof to end; answers how long it was welcome. */
  async #connectOnce(): Promise<number> {
    let proof: string;
    try {
      proof = await this.#proof();
    } catch (error) {
      this.#refused(error);
      this.#log.warn("edge unreachable", { why: messageOf(error) });
      return 0;
    }
    if (this.#stop.signal.aborted) return 0;
    const { end, welcome_ms } = await this.#session(proof);
    if (this.#stop.signal.aborted) return welcome_ms;
    if (end.kind === "refused") this.#refused(end.refusal);
    if (end.kind === "closed") this.#told(end);
    this.#log.warn("disconnected", { why: describeEnd(end) });
    return welcome_ms;
  }

  async #proof(): Promise<string> {
    const url = edgeUrl(this.#identity.url, "agent/nonce");
    url.searchParams.set("agent", this.#identity.agent);
    const asked = this.#ports.clock.now();
    const { net } = this.#ports;
    const { nonce, time_ms } = await net.call(url, { signal: this.#stop.signal }, nonceSchema);
    if (time_ms !== undefined) this.#events.edgeTime(time_ms, asked);
    return this.#ports.prove(nonce);
  }

  #session(proof: string): Promise<{ end: LineEnd; welcome_ms: number }> {
    const url = edgeUrl(this.#identity.url, "agent/control", true);
    url.searchParams.set("agent", this.#identity.agent);
    return new Promise((resolve) => {
      let helloAt = 0;
      let welcomeAt: number | null = null;
      let inTime = () => {};
      const socket = new Socket(this.#ports, url, proof, {
        opened: () => {
          this.#lease.reconnected();
          helloAt = this.#lease.now();
          socket.send(JSON.stringify(this.#hello()));
          this.#behindHello = [];
          inTime = this.#ports.clock.after(WELCOME_MS, () => socket.terminate());
        },
        text: (text) => {
          const frame = this.#parse(text, socket);
          if (frame?.t === "welcome") {
            inTime();
            welcomeAt ??= this.#lease.now();
            this.#welcome(frame, helloAt, socket);
          } else if (frame && welcomeAt !== null) this.#dispatch(frame);
        },
        pinged: () => this.#lease.pinged(),
        answered: () => this.#lease.answered(),
        ended: (end) => {
          inTime();
          this.#welcomed = false;
          this.#behindHello = null;
          if (this.#socket === socket) this.#socket = null;
          resolve({ end, welcome_ms: welcomeAt === null ? 0 : this.#lease.now() - welcomeAt });
        },
      });
      this.#socket = socket;
    });
  }

  #hello(): ControlUp {
    return {
      t: "hello",
      protocol: PROTOCOL_VERSION,
      version: VERSION,
      instance: this.#instance,
      ...this.#events.hello(),
    };
  }

  #parse(text: string, socket: Socket): ControlDown | null {
    const parsed = parseControlDown(text);
    if ("frame" in parsed) return parsed.frame;
    this.#log.error("bad frame from the edge", { what: parsed.error });
    socket.close(CLOSE.badFrame, "bad frame");
    return null;
  }

  #welcome(frame: Frame<"welcome">, helloAt: number, socket: Socket): void {
    this.#lease.welcomed(helloAt);
    this.#welcomed = true;
    const behindHello = this.#behindHello ?? [];
    this.#behindHello = null;
    for (const later of behindHello) this.send(later);
    this.#log.info("connected", { edge: this.#identity.url, name: frame.name });
    socket.startHeartbeat();
    this.#events.welcomed(frame.drop);
    this.#changed.open();
  }

  #dispatch(frame: ControlDown): void {
    if (frame.t === "assign") this.#events.assign(frame);
    else if (frame.t === "cancel") this.#events.cancel(frame);
    else if (frame.t === "drain") this.#events.drain();
  }

  #refused(error: unknown): void {
    if (error instanceof EdgeRefusal && FINAL_STATUS.has(error.status))
      throw this.#gone("not registered, or removed");
  }

  #told({ code, reason }: { code: number; reason: string }): void {
    const why = reason.replace(/\.$/, "");
    if (code === CLOSE.superseded)
      throw new AgentExit(
        EXIT.superseded,
        `Another process of agent ${this.#identity.name} took over. Each agent needs a home of its own.`,
      );
    if (code === CLOSE.forbidden) throw this.#gone(why || "removed");
  }

  #gone(why: string): AgentExit {
    const { url } = this.#identity;
    return new AgentExit(
      EXIT.refused,
      `${url} refuses this agent (${why}): to come back, run \`railhead agent register --force --url ${url} --token-file …\`.`,
    );
  }
}
