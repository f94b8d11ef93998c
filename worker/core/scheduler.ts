/**
 * What a pool decides: who may queue, which agent gets what, when an agent is lost. One instance for each
 * life of the Pool object; its state is in tables, its sockets are behind `Wire`.
 */
import type { AgentView, RegisterRequest } from "../../shared/identity.ts";
import { LEASE_EXPIRY_MS, RECONNECT_MAX_MS } from "../../shared/limits.ts";
import { AdmissionControl, type AdmissionLimits } from "./admission.ts";
import type { Ended, EnqueueAnswer, Job, PoolStats, QueuePlace } from "./contracts.ts";
import { PoolMetrics } from "./pool-metrics.ts";
import type { Alarm, Clock, Random, Sql } from "./ports.ts";
import { Registry, type Wire } from "./registry.ts";
import { Control } from "./scheduler-control.ts";
import { Dispatcher } from "./scheduler-dispatch.ts";
import type { BuildPort, SchedulerParts } from "./scheduler-parts.ts";
import { expectedWait, heldBackFrom, whyNot } from "./scheduler-place.ts";
import { Recovery } from "./scheduler-recovery.ts";
import { SchedulerStore } from "./scheduler-store.ts";

export type SchedulerPorts = {
  pool: string;
  sql: Sql;
  clock: Clock;
  random: Random;
  alarm: Alarm;
  wire: Wire;
  limits: AdmissionLimits;
  builds: (build: string) => BuildPort;
  /** Runs work that no caller waits for, and reports what it throws. */
  background: (work: Promise<void>) => void;
};

/** Milliseconds between two looks at a queue whose agents may come back without a word. */
const QUEUE_TICK_MS = 4_000;
/** Milliseconds before the next alarm at the earliest, so that a fault in handling one makes no hot loop. */
const ALARM_PAUSE_MS = 100;

export class Scheduler {
  /** What agents and operators say. */
  readonly control: Control;
  readonly #ports: SchedulerPorts;
  readonly #parts: SchedulerParts;
  readonly #admission: AdmissionControl;
  readonly #recovery: Recovery;
  readonly #dispatcher: Dispatcher;
  #armedAt: number | null = null;

  /** Expects migrated tables. Arms the alarm for whatever it finds there (rule 8). */
  constructor(ports: SchedulerPorts) {
    const { sql, clock, random, wire } = ports;
    this.#ports = ports;
    this.#parts = {
      clock,
      wire,
      builds: ports.builds,
      background: (work) => ports.background(work.finally(() => this.#arm())),
      registry: new Registry(sql, clock, random, wire),
      store: new SchedulerStore(sql),
      metrics: new PoolMetrics(sql),
    };
    this.#admission = new AdmissionControl(sql, clock, ports.limits);
    this.#recovery = new Recovery(this.#parts, () => this.#dispatcher.dispatch());
    this.#dispatcher = new Dispatcher(this.#parts, this.#recovery);
    this.control = new Control(this.#parts, this.#recovery, () => this.#changed());
    this.#awaitReturns();
    this.#arm();
  }

  /** Takes a build into the queue, and on to an agent at once when one is free. Idempotent. */
  enqueue(job: Job): EnqueueAnswer {
    const { store } = this.#parts;
    const known = store.job(job.build_id);
    if (known === undefined) {
      const queued = store.queuedCount();
      if (job.admission) {
        const admission = this.#admission.check(job.caller, queued);
        if (admission.kind === "refused") return admission;
      }
      const place = queued === 0 ? this.#dispatcher.placeNow(job) : null;
      store.addJob(job);
      place?.();
      if (job.admission) this.#admission.count(job.caller);
    } else if (job.expected > known.expected || known.state === "over" || known.state === "loose") {
      const outdated = store.lease(job.build_id);
      store.queue(job.build_id, Math.max(job.expected, known.expected));
      if (outdated) this.control.tellCancel(outdated, "another attempt has taken its place");
    }
    this.#changed();
    return { kind: "ok", place: this.place(job.build_id) };
  }

  /** Its Build cancelled it: out of the line, or a cancel to the agent that has it. Idempotent. */
  withdraw(build: string, reason: string): void {
    const { store } = this.#parts;
    const lease = store.lease(build);
    if (lease) {
      store.cancelLease(build, reason);
      // A reserved one was not sent yet, and will not be.
      if (lease.state !== "reserved") this.control.tellCancel(lease, reason);
    } else if (store.job(build)?.state === "queued") this.#recovery.finish(build);
    this.#changed();
  }

  /** The build is terminal: it is counted once and its slot is free. Idempotent. */
  ended(ended: Ended): void {
    const { store, metrics } = this.#parts;
    if (store.job(ended.build_id) === undefined) return;
    metrics.countEnd(ended);
    store.forget(ended.build_id);
    this.#changed();
  }

  /** Where a build stands; null when it does not wait (any more). */
  place(build: string): QueuePlace | null {
    const { store, metrics } = this.#parts;
    const job = store.job(build);
    if (job?.state === "leased" && store.lease(build)?.state !== "accepted")
      return { position: 1, expected_wait_ms: 0, why: null, held_back: [] };
    if (job?.state !== "queued") return null;
    const position = store.ahead(job) + 1;
    const standings = this.#dispatcher.standings();
    return {
      position,
      expected_wait_ms: expectedWait(standings, job, position, metrics.meanRunMs(job.recipe)),
      why: whyNot(standings, job),
      held_back: heldBackFrom(standings, job),
    };
  }

  register(request: RegisterRequest): { kind: "ok"; agent: string } | { kind: "name_taken" } {
    const agent = this.#parts.registry.register(request);
    return agent === null ? { kind: "name_taken" } : { kind: "ok", agent: agent.agent };
  }

  /** The public key (`x` of its JWK) of an agent; null for one that is not registered (any more). */
  publicKey(agent: string): string | null {
    return this.#parts.registry.get(agent)?.publicKey ?? null;
  }

  /** The time (ms) for a new nonce; null for an agent that is not registered (any more). */
  nonceTime(agent: string): number | null {
    const known = this.#parts.registry.get(agent);
    return known === undefined ? null : this.#parts.registry.nonceTime(known);
  }

  /** Uses up a nonce made at `at` (ms): false when it is not newer than every one used before. */
  useNonce(agent: string, at: number): boolean {
    const known = this.#parts.registry.get(agent);
    return known !== undefined && this.#parts.registry.useNonce(known, at);
  }

  /** Every registered agent, by name. */
  agents(): AgentView[] {
    const views = Array.from(this.#parts.registry.all(), (agent) => this.control.view(agent));
    return views.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The object's alarm. */
  async alarm(): Promise<void> {
    this.#armedAt = null;
    try {
      const now = this.#parts.clock.now();
      this.control.expire(now);
      await this.#recovery.wake(now);
      this.#dispatcher.dispatch();
    } finally {
      this.#arm();
    }
  }

  /** Figures for `/metrics` and `/readyz`. An agent that is connected but takes no new work counts as cordoned. */
  stats(): PoolStats {
    const { store, metrics } = this.#parts;
    const agents = { connected: 0, suspect: 0, gone: 0, cordoned: 0 };
    let capacity = 0;
    let running = 0;
    for (const { agent, used, status, heldBack } of this.#dispatcher.standings()) {
      const works = status === "connected" && heldBack === null;
      agents[status === "connected" && !works ? "cordoned" : status] += 1;
      if (works) capacity += agent.capacity;
      running += used;
    }
    const queued = store.queuedCount();
    return { pool: this.#ports.pool, queued, running, agents, capacity, ...metrics.snapshot() };
  }

  #changed(): void {
    this.#dispatcher.dispatch();
    this.#arm();
  }

  /** After a restart agents come back within their jitter: until then their silence is no refusal. */
  #awaitReturns(): void {
    const { registry, store, clock } = this.#parts;
    for (const { agent } of registry.lostAtStart)
      store.awaitReturn(agent, clock.now() + RECONNECT_MAX_MS);
  }

  /** Arms the alarm for the earliest thing to do. It only moves forward: one that comes too early arms the next. */
  #arm(): void {
    const next = this.#nextLook();
    if (next === null) return;
    const at = Math.max(next, this.#parts.clock.now() + ALARM_PAUSE_MS);
    if (this.#armedAt !== null && this.#armedAt <= at) return;
    this.#armedAt = at;
    this.#ports.alarm.set(at);
  }

  #nextLook(): number | null {
    const { registry, store, clock } = this.#parts;
    const times: number[] = [];
    const wake = store.nextWake();
    if (wake !== null) times.push(wake);
    for (const id of store.slotsUsed().keys()) {
      const agent = registry.get(id);
      const seen = agent ? registry.lastSeen(agent) : null;
      if (seen !== null) times.push(seen + LEASE_EXPIRY_MS);
    }
    if (store.queuedCount() > 0) {
      if (registry.anyMayReturn()) times.push(clock.now() + QUEUE_TICK_MS);
      const goneAt = registry.nextGone();
      if (goneAt !== null) times.push(goneAt);
    }
    return times.length === 0 ? null : Math.min(...times);
  }
}
