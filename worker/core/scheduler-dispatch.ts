/**
 * How a waiting build gets to an agent: a slot is reserved, the Build is asked, and only its yes is sent
 * (protocol rules 1 and 3).
 */
import { ACCEPT_WITHIN_MS } from "../../shared/limits.ts";
import type { BeginAnswer, Job } from "./contracts.ts";
import type { Agent } from "./registry.ts";
import type { SchedulerParts } from "./scheduler-parts.ts";
import {
  type Candidate,
  isRefusedByAll,
  noSuchAgent,
  pick,
  refusalText,
  type Standing,
} from "./scheduler-place.ts";
import type { Recovery } from "./scheduler-recovery.ts";
import { type JobRow, toRow } from "./scheduler-store.ts";

export class Dispatcher {
  readonly #parts: SchedulerParts;
  readonly #recovery: Recovery;

  constructor(parts: SchedulerParts, recovery: Recovery) {
    this.#parts = parts;
    this.#recovery = recovery;
  }

  /** Gives every waiting build that can run to an agent: oldest first, and none blocks those behind it. */
  dispatch(): void {
    const { store, registry, background } = this.#parts;
    this.#turnAway();
    const candidates = this.#candidates();
    if (candidates.size === 0 && !store.anyRefused()) return;
    // Kinds of builds that found nobody in this round: the next of their kind need not look.
    const hopeless = new Set<string>();
    for (const job of store.inLine()) {
      const refused = Object.keys(job.refusals).length > 0;
      const kind = `${job.recipe} ${JSON.stringify(job.needs)}`;
      if (!refused && hopeless.has(kind)) continue;
      const chosen = pick(candidates, job, (agent) => registry.status(agent) === "connected");
      if (chosen !== null) this.#reserve(job, chosen, candidates);
      else if (!refused) hopeless.add(kind);
      else if (isRefusedByAll(this.standings(), job))
        background(this.#recovery.reportUnplaceable(job, refusalText(job)));
    }
  }

  /** Ends every waiting build that no agent could ever take. */
  #turnAway(): void {
    const { store, background } = this.#parts;
    const kinds = store.kindsInLine();
    if (kinds.length === 0) return;
    const standings = this.standings();
    for (const kind of kinds) {
      const reason = noSuchAgent(standings, kind);
      if (reason === null) continue;
      for (const job of store.inLineOf(kind))
        background(this.#recovery.reportUnplaceable(job, reason));
    }
  }

  /**
   * Begins a new build that nobody waits before, when an agent is free. Call what it returns once the job is
   * stored. The Build is asked before anything is written here: a write would hold the question back until
   * it is on disk. Should both be lost in a crash, the Build's repeated enqueue finds its attempt again.
   */
  placeNow(job: Job): (() => void) | null {
    const { registry, background } = this.#parts;
    const row = toRow(job);
    const chosen = pick(this.#candidates(), row, (agent) => registry.status(agent) === "connected");
    if (chosen === null) return null;
    const offer = this.#offer(row, chosen.agent);
    return () => {
      this.#addLease(row, chosen.agent);
      background(offer);
    };
  }

  /** How each agent stands. `used` counts every lease, those being given up too. */
  standings(): Standing[] {
    const { registry, store } = this.#parts;
    const used = store.slotsUsed();
    return Array.from(registry.all(), (agent) => ({
      agent,
      used: used.get(agent.agent) ?? 0,
      status: registry.status(agent),
      lastSeen: registry.lastSeen(agent),
      heldBack: registry.heldBack(agent),
    }));
  }

  #candidates(): Set<Candidate> {
    const { registry, store, clock } = this.#parts;
    const slots = store.slotsUsed();
    const now = clock.now();
    const candidates = new Set<Candidate>();
    for (const agent of registry.all()) {
      const used = slots.get(agent.agent) ?? 0;
      if (!agent.connected || agent.welcoming || used >= agent.capacity) continue;
      if (now < agent.pausedUntil || registry.heldBack(agent) !== null) continue;
      candidates.add({ agent, used });
    }
    return candidates;
  }

  #reserve(job: JobRow, chosen: Candidate, candidates: Set<Candidate>): void {
    const { agent } = chosen;
    this.#addLease(job, agent);
    chosen.used += 1;
    if (chosen.used >= agent.capacity) candidates.delete(chosen);
    this.#parts.background(this.#offer(job, agent));
  }

  #addLease(job: JobRow, agent: Agent): void {
    const { store, clock } = this.#parts;
    const lookAt = clock.now() + ACCEPT_WITHIN_MS;
    store.addLease({ build: job.build, attempt: job.expected }, agent.agent, "reserved", lookAt);
    agent.assignedAt = clock.now();
  }

  async #offer(job: JobRow, agent: Agent): Promise<void> {
    const { store, clock, metrics } = this.#parts;
    const reservedAt = clock.now();
    const instance = agent.instance ?? "";
    const answer = await this.#recovery.whileAsking(job.build, () =>
      this.#begin(job, agent, instance),
    );
    const lease = store.lease(job.build);
    if (lease?.attempt !== job.expected || lease.state !== "reserved") return;
    // Without an answer it may have begun all the same: then only a loss frees it.
    if (answer === null) return this.#recovery.reportLost(lease, "its start got no answer");
    if (answer.kind === "refused") return this.#refused(job, answer);
    if (lease.cancel !== null) return this.#recovery.reportLost(lease, lease.cancel);
    if (agent.instance !== instance || !this.#assign(agent, job, answer))
      return this.#recovery.reportLost(lease, `${agent.name} was gone before it heard of it`);
    // Written after the frame is on its way: a write before would hold it back until it is on disk.
    store.advance(job.build, "assigned", clock.now() + ACCEPT_WITHIN_MS);
    metrics.observe("dispatch_seconds", (clock.now() - reservedAt) / 1000);
  }

  async #begin(job: JobRow, agent: Agent, instance: string): Promise<BeginAnswer | null> {
    const who = { agent: agent.agent, name: agent.name, instance };
    try {
      return await this.#parts.builds(job.build).begin(job.expected, who);
    } catch {
      return null;
    }
  }

  #assign(agent: Agent, job: JobRow, answer: Extract<BeginAnswer, { kind: "ok" }>): boolean {
    const { registry, wire } = this.#parts;
    if (registry.get(agent.agent) !== agent) return false;
    return wire.send(agent.agent, agent.epoch, {
      t: "assign",
      build: job.build,
      attempt: job.expected,
      target: answer.target,
      lease: answer.lease,
      deadline_ms: answer.deadline_ms,
    });
  }

  #refused(job: JobRow, answer: Extract<BeginAnswer, { kind: "refused" }>): void {
    if (answer.code === "terminal" || answer.code === "unknown") this.#recovery.finish(job.build);
    else if (answer.code === "attempt" && answer.next > job.expected)
      this.#parts.store.queue(job.build, answer.next);
    else this.#recovery.loosen(job.build);
    this.dispatch();
  }
}
