/** One replica of a web app on this host: how its container is, its socket to the App, the requests that it is at. */
import { Agent } from "node:http";
import type { AppDown, AppUp } from "../../shared/apps.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import type { OpenHead, StreamEvents, TunnelStream } from "../../shared/tunnel/index.ts";
import type { Logger } from "../logger.ts";
import type { AgentPorts } from "../ports.ts";
import { abortable, sleep, within } from "../timing.ts";
import { type AppContainers, type AppFacts, Refused } from "./contracts.ts";
import { ReplicaLine } from "./line.ts";
import { proxyLogs } from "./proxy-logs.ts";
import { proxyRequest } from "./proxy-request.ts";
import { proxySocket } from "./proxy-socket.ts";
import type { ReplicaState } from "./state.ts";

/** Milliseconds between two looks at a container. */
const LOOK_MS = 3_000;
/** Milliseconds for which a look counts: the engine may give its address to another container after its end. */
const FRESH_MS = 1_000;
/** Milliseconds that an idle connection to the container is kept. */
const IDLE_MS = 4_000;
/** Idle connections. */
const IDLE_CONNECTIONS = 64;
/** Milliseconds between two looks at the requests that are under way. */
const DRAIN_LOOK_MS = 100;

type How = Pick<Extract<AppUp, { t: "state" }>, "state" | "restarts">;

export type ReplicaParts = {
  ports: Pick<AgentPorts, "clock" | "random" | "net">;
  apps: AppContainers;
  edge: string;
  /** Id and name of the agent. */
  agent: string;
  name: string;
  log: Logger;
  /** Notes that the App let it serve. */
  live: (replica: Replica) => Promise<void>;
  /** The App wants it no more. */
  removed: (replica: Replica, drain_ms: number) => void;
  keep: (project: string, fingerprints: readonly string[]) => void;
};

export class Replica {
  readonly state: ReplicaState;
  /** It is to go: only what is under way ends. */
  leaving = false;
  /** Streams that read its log: they are no request, and end with it. */
  #viewers = 0;
  readonly #parts: ReplicaParts;
  readonly #line: ReplicaLine;
  readonly #over = new AbortController();
  readonly #agent = new Agent({
    keepAlive: true,
    timeout: IDLE_MS,
    maxFreeSockets: IDLE_CONNECTIONS,
  });
  #look: { at: number; facts: Promise<AppFacts | null> } | null = null;
  #address: string | null = null;
  #how: How = { state: "starting", restarts: 0 };
  #wasHealthy: boolean;
  /** Who waits for the App's word. */
  #asking: PromiseWithResolvers<void> | null = null;

  constructor(state: ReplicaState, parts: ReplicaParts) {
    this.state = state;
    this.#parts = parts;
    this.#wasHealthy = state.live;
    const { project, build, serve } = state;
    this.#line = new ReplicaLine({
      ...parts,
      project,
      build,
      serve,
      greeting: () => this.#greeting(),
      heard: (frame) => this.#heard(frame),
      opened: (stream, head) => this.#opened(stream, head),
      disowned: () => this.#removed("The edge knows this replica no more.", 0),
    });
  }

  /** Opens its socket and watches its container, until `stop`. */
  begin(): void {
    const bug = (error: unknown) => this.#parts.log.bug("app broke", error);
    this.#line.run().catch(bug);
    this.#watch().catch(bug);
  }

  /** Lets go of it: the container runs on. */
  stop(): void {
    this.#over.abort();
    this.#line.stop();
    this.#agent.destroy();
    this.#asking?.reject(new Refused("The agent lets go of it."));
  }

  /** It is healthy: asks whether it may serve, on every connection until the App has answered. Throws Refused. */
  async ask(signal: AbortSignal): Promise<void> {
    if (this.leaving) throw new Refused("It was removed.");
    this.#wasHealthy = true;
    this.#asking ??= Promise.withResolvers();
    this.#asking.promise.catch(() => {});
    // The last look may have been before its container was made.
    this.#look = null;
    await this.#see(await this.look());
    this.#line.send(this.#ready());
    await abortable(this.#asking.promise, signal);
  }

  /** Settles when no request is under way, or after `drain_ms`. */
  async drain(drain_ms: number): Promise<void> {
    const { clock } = this.#parts.ports;
    const until = clock.now() + drain_ms;
    while (this.#line.streams > this.#viewers && clock.now() < until && !this.#over.signal.aborted)
      await sleep(clock, DRAIN_LOOK_MS, this.#over.signal);
  }

  /** How its container is, seen within the last second; null when it is gone. */
  look(): Promise<AppFacts | null> {
    const { ports, apps } = this.#parts;
    const now = ports.clock.now();
    if (this.#look !== null && now - this.#look.at < FRESH_MS) return this.#look.facts;
    const facts = apps.inspect(this.state.build);
    this.#look = { at: now, facts };
    facts.catch(() => {
      this.#look = null;
    });
    return facts;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      try {
        await this.#see(await this.look());
      } catch {
        // The engine is away: what serves goes on, and is looked at again.
      }
      await sleep(this.#parts.ports.clock, LOOK_MS, signal);
    }
  }

  async #see(facts: AppFacts | null): Promise<void> {
    if (this.#over.signal.aborted) return;
    if (facts === null && this.state.live) {
      this.#look = null;
      // Somebody removed it: where nothing is connected, the App makes it anew.
      if ((await this.look()) === null) this.#removed("Its container was removed.", 0);
      return;
    }
    const how = howOf(facts, this.#wasHealthy);
    if (how.state === "healthy") this.#wasHealthy = true;
    const same = how.state === this.#how.state && how.restarts === this.#how.restarts;
    this.#how = how;
    if (!same) this.#line.send({ t: "state", ...how });
  }

  #greeting(): AppUp[] {
    const { agent, name } = this.#parts;
    const hello: AppUp = { t: "hello", protocol: PROTOCOL_VERSION, agent, name, ...this.#how };
    return this.#asking === null ? [hello] : [hello, this.#ready()];
  }

  #ready(): AppUp {
    return { t: "ready", attempt: this.state.attempt };
  }

  #heard(frame: AppDown): void {
    const { keep } = this.#parts;
    switch (frame.t) {
      case "live":
        void this.#goLive();
        break;
      case "refused":
        this.#asking?.reject(new Refused(frame.reason));
        break;
      case "remove":
        this.#removed("The App wants another version, or none.", frame.drain_ms);
        break;
      case "keep":
        keep(this.state.project, frame.fingerprints);
        break;
    }
  }

  async #goLive(): Promise<void> {
    const asking = this.#asking;
    this.#asking = null;
    try {
      if (!this.state.live) {
        this.state.live = true;
        await this.#parts.live(this);
      }
      asking?.resolve();
    } catch (error) {
      asking?.reject(error);
    }
  }

  #removed(why: string, drain_ms: number): void {
    this.leaving = true;
    this.#asking?.reject(new Refused(why));
    this.#parts.removed(this, drain_ms);
  }

  #opened(stream: TunnelStream, head: OpenHead): StreamEvents {
    const { apps, ports } = this.#parts;
    const { build, port } = this.state;
    if (head.kind === "logs") {
      const wait = (ms: number, signal: AbortSignal) => sleep(ports.clock, ms, signal);
      this.#viewers++;
      return proxyLogs({ apps, build, sleep: wait }, stream, head, () => {
        this.#viewers--;
      });
    }
    if (this.leaving) {
      stream.reset("refused", "this version is going away");
      return { reset: () => {} };
    }
    const upstream = { where: () => this.#where(), port, agent: this.#agent };
    return head.upgrade
      ? proxySocket(upstream, stream, head)
      : proxyRequest(upstream, stream, head);
  }

  /** Address of its container; the last one that was seen while the engine does not answer. */
  async #where(): Promise<string | null> {
    try {
      const look = within(this.#parts.ports.clock, this.look(), FRESH_MS, "no answer");
      this.#address = (await look)?.address ?? null;
    } catch {
      // A container runs on without its engine.
    }
    return this.#address;
  }
}

function howOf(facts: AppFacts | null, wasHealthy: boolean): How {
  if (facts === null) return { state: wasHealthy ? "unhealthy" : "starting", restarts: 0 };
  const { restarts } = facts;
  if (facts.restarting) return { state: "restarting", restarts };
  if (!facts.running) return { state: "unhealthy", restarts };
  if (facts.health === null) return { state: wasHealthy ? "healthy" : "starting", restarts };
  const { status } = facts.health;
  return { state: status === "starting" && wasHealthy ? "restarting" : status, restarts };
}
