/**
 * What agents say on their control sockets and what operators do to agents (protocol rules 8, 9 and 11).
 * Everything here is followed by `changed`, which gives out work and arms the alarm.
 */
import type { AgentView } from "../../shared/identity.ts";
import { LEASE_EXPIRY_MS, SUSPECT_AFTER_MS } from "../../shared/limits.ts";
import { CLOSE, type ControlUp, type Held } from "../../shared/protocol.ts";
import type { BuildSummary } from "./contracts.ts";
import type { Agent, Hello } from "./registry.ts";
import type { SchedulerParts } from "./scheduler-parts.ts";
import type { Recovery } from "./scheduler-recovery.ts";
import type { Lease } from "./scheduler-store.ts";

export type HelloAnswer =
  /** Bind the socket to `epoch`, close the agent's other sockets as `others` says, then call `welcome`. */
  | { kind: "ok"; epoch: number; others: { code: number; reason: string } }
  | { kind: "refused"; code: number; reason: string };

export type AgentAction = "cordon" | "uncordon" | "drain" | "remove";

/** Milliseconds that an agent which said "busy" gets nothing new. */
const BUSY_PAUSE_MS = 5_000;
/** Close code of an agent that ends because it wants to (RFC 6455 section 7.4.1). */
const NORMAL_CLOSURE = 1000;
/** Close code of a socket that went silent: the agent may come back on another (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;

export class Control {
  readonly #parts: SchedulerParts;
  readonly #recovery: Recovery;
  readonly #changed: () => void;

  constructor(parts: SchedulerParts, recovery: Recovery, changed: () => void) {
    this.#parts = parts;
    this.#recovery = recovery;
    this.#changed = changed;
  }

  /** First frame of a socket, or a later one on the same (rule 10). Synchronous, so that epochs never cross. */
  hello(id: string, hello: Hello): HelloAnswer {
    const { registry } = this.#parts;
    const agent = registry.get(id);
    if (agent === undefined) return refused("This agent is not registered any more.");
    const twin = agent.engine !== null && agent.engine !== hello.engine;
    if (twin && this.#mayStillWork(agent))
      return refused("This identity is in use with another engine. Register this host by itself.");
    const others =
      agent.instance === hello.instance
        ? { code: CLOSE.replaced, reason: "This agent opened a newer socket." }
        : { code: CLOSE.superseded, reason: "Another process of this agent took over." };
    registry.greet(agent, hello);
    agent.welcoming = true;
    return { kind: "ok", epoch: agent.epoch, others };
  }

  /** Second half of hello: settles what the agent holds, then it may have work. */
  async welcome(id: string, epoch: number, held: Held[]): Promise<void> {
    const { registry, store, wire } = this.#parts;
    const verdicts = await Promise.all(held.map((attempt) => this.#mayKeep(id, attempt)));
    const agent = registry.get(id);
    if (agent?.epoch !== epoch) return;
    agent.welcoming = false;
    const drop = held.filter((_, i) => !verdicts[i]);
    wire.send(id, epoch, { t: "welcome", epoch, agent: id, name: agent.name, drop });
    if (agent.draining) wire.send(id, epoch, { t: "drain" });
    for (const lease of store.leasesOf(id)) {
      const holds = held.some((h) => h.build === lease.build && h.attempt === lease.attempt);
      if (holds && lease.cancel !== null) this.tellCancel(lease, lease.cancel);
      else if (!holds && lease.state !== "losing")
        this.#recovery.lose(lease, `${agent.name} came back without it`);
    }
    this.#changed();
  }

  /** Any other frame of a socket that said hello under `epoch`. Frames of a lower epoch are ignored. */
  frame(id: string, epoch: number, frame: Exclude<ControlUp, Hello>): void {
    const { registry } = this.#parts;
    const agent = registry.get(id);
    if (agent?.epoch !== epoch) return;
    agent.doubtedUntil = 0;
    if (frame.t === "accept") this.#accept(agent, frame);
    else if (frame.t === "reject") this.#reject(agent, frame);
    else if (frame.t === "done") this.#done(agent, frame);
    else if (frame.t === "yield") this.#yield(agent, frame);
    else registry.report(agent, frame);
    this.#changed();
  }

  /** A socket that said hello under `epoch` is gone, with `code`; `lastPing` (ms) was its last sign of life. */
  closed(id: string, epoch: number, lastPing: number, code: number): void {
    const { registry, store } = this.#parts;
    const agent = registry.get(id);
    if (agent?.epoch !== epoch || !agent.connected) return;
    const departed = code === NORMAL_CLOSURE && agent.draining && store.leasesOf(id).length === 0;
    registry.disconnected(agent, lastPing, departed);
    this.#changed();
  }

  /** Gives up every attempt of agents that were silent for LEASE_EXPIRY_MS. */
  expire(now: number): void {
    const { registry, store, wire } = this.#parts;
    for (const id of store.slotsUsed().keys()) {
      const agent = registry.get(id);
      const seen = agent ? registry.lastSeen(agent) : null;
      if (agent === undefined || seen === null || now - seen < LEASE_EXPIRY_MS) continue;
      wire.close(id, null, GOING_AWAY, "No ping for too long.");
      if (agent.connected) registry.disconnected(agent, seen, false);
      this.#loseAll(agent, `${agent.name} was not heard of for ${LEASE_EXPIRY_MS / 1000} s`);
    }
  }

  /** An operator's act; the agent after it, null when there is none of that id. */
  act(id: string, action: AgentAction, reason: string): AgentView | null {
    const { registry, wire } = this.#parts;
    const agent = registry.get(id);
    if (agent === undefined) return null;
    if (action === "cordon") registry.setCordon(agent, reason);
    else if (action === "uncordon") registry.setCordon(agent, null);
    else if (action === "drain") {
      registry.setDraining(agent);
      wire.send(id, agent.epoch, { t: "drain" });
    } else {
      registry.remove(agent);
      wire.close(id, null, CLOSE.forbidden, "This agent was removed.");
      agent.connected = false;
      this.#loseAll(agent, `${agent.name} was removed`);
    }
    this.#changed();
    return this.view(agent);
  }

  view(agent: Agent): AgentView {
    const leases = this.#parts.store.leasesOf(agent.agent);
    const running = leases.map(({ build, attempt }) => ({ build, attempt }));
    return this.#parts.registry.view(agent, running);
  }

  tellCancel({ agent, build, attempt }: Held & { agent: string }, reason: string): void {
    const { registry, wire } = this.#parts;
    const known = registry.get(agent);
    if (known) wire.send(agent, known.epoch, { t: "cancel", build, attempt, reason });
  }

  #loseAll(agent: Agent, why: string): void {
    for (const lease of this.#parts.store.leasesOf(agent.agent))
      if (lease.state !== "losing") this.#recovery.lose(lease, why);
  }

  /** Whether the engine that used this identity last may still run something of it. */
  #mayStillWork(agent: Agent): boolean {
    const { registry, store, clock } = this.#parts;
    const seen = registry.lastSeen(agent);
    const patience = store.leasesOf(agent.agent).length > 0 ? LEASE_EXPIRY_MS : SUSPECT_AFTER_MS;
    return seen !== null && clock.now() - seen < patience;
  }

  /** Whether an agent goes on with an attempt it holds. What the pool gave to nobody is the Build's to judge. */
  async #mayKeep(id: string, { build, attempt }: Held): Promise<boolean> {
    const { store, builds } = this.#parts;
    const lease = store.lease(build);
    if (lease !== undefined) {
      if (lease.attempt !== attempt || lease.agent !== id || lease.state === "losing") return false;
      this.#recovery.accepted(lease);
      return true;
    }
    let summary: BuildSummary | null;
    try {
      summary = await builds(build).summary();
    } catch {
      // Nobody knows: its own socket to the Build will tell the agent.
      return true;
    }
    if (summary?.state !== "running" || summary.attempt !== attempt) return false;
    if (store.job(build)?.state === "loose") this.#recovery.adopt({ build, attempt }, id);
    return true;
  }

  #accept(agent: Agent, held: Held): void {
    const lease = this.#leaseOf(agent, held);
    // Too late: the Build refuses the attempt once it is lost. A cancel could come before that, and end the build.
    if (lease === null || lease.state === "losing") return;
    this.#recovery.accepted(lease);
    if (lease.cancel !== null) this.tellCancel(lease, lease.cancel);
  }

  #reject(agent: Agent, frame: Extract<ControlUp, { t: "reject" }>): void {
    const { registry, store, clock } = this.#parts;
    if (frame.code === "busy") agent.pausedUntil = clock.now() + BUSY_PAUSE_MS;
    if (frame.code === "draining") registry.setDraining(agent);
    if (frame.code === "unwell") registry.setUnwell(agent, frame.reason);
    const lease = this.#leaseOf(agent, frame);
    if (lease === null || lease.state === "losing") return;
    const job = store.job(frame.build);
    if (frame.code === "policy" && job)
      store.refuse(job, agent.agent, `${agent.name}: ${frame.reason}`);
    this.#recovery.lose(lease, `${agent.name} refused it: ${frame.reason}`);
  }

  #done(agent: Agent, held: Held): void {
    agent.pausedUntil = 0;
    const lease = this.#leaseOf(agent, held);
    if (lease !== null && lease.state !== "losing") this.#recovery.loosen(lease.build);
  }

  #yield(agent: Agent, held: Held): void {
    const lease = this.#leaseOf(agent, held);
    if (lease !== null) this.#parts.store.yieldSlot(lease.build);
  }

  #leaseOf(agent: Agent, { build, attempt }: Held): Lease | null {
    const lease = this.#parts.store.lease(build);
    return lease?.attempt === attempt && lease.agent === agent.agent ? lease : null;
  }
}

function refused(reason: string): HelloAnswer {
  return { kind: "refused", code: CLOSE.forbidden, reason };
}
