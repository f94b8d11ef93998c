/**
 * How an attempt that got lost comes back. The Build alone decides what a loss means (protocol rules 1
 * and 8); whatever it did not answer is asked again by alarm, until it says that the build is over.
 */
import { isTerminal } from "../../shared/builds.ts";
import { SUSPECT_AFTER_MS } from "../../shared/limits.ts";
import type { Held } from "../../shared/protocol.ts";
import type { BuildSummary, LostAnswer } from "./contracts.ts";
import type { SchedulerParts } from "./scheduler-parts.ts";
import type { JobRow, Lease } from "./scheduler-store.ts";

/** Milliseconds before a message that the Build did not answer is sent again; doubled each time. */
const RETRY_MS = 2_000;
const RETRY_MAX_MS = 60_000;
/** Milliseconds before a Build is asked what became of an attempt that no agent has any more. */
const LOOSE_PROBE_MS = 5_000;
/** Milliseconds between two looks at a build that runs, in case word of its end got lost. */
const RUNNING_PROBE_MS = 60_000;
/** Milliseconds that the word of an end may be late before the build is dropped uncounted. */
const OVER_KEEP_MS = 10 * 60_000;
/** Milliseconds an agent that did not accept gets no work: each try costs the build a number and 2 s. */
const DOUBT_MS = SUSPECT_AFTER_MS;

export class Recovery {
  readonly #parts: SchedulerParts;
  /** Gives waiting builds to agents: called whenever a slot or a build came free. */
  readonly #dispatch: () => void;
  /** Builds whose `begin` is under way: their lease is not touched before the answer. */
  readonly #asking = new Set<string>();

  constructor(parts: SchedulerParts, dispatch: () => void) {
    this.#parts = parts;
    this.#dispatch = dispatch;
  }

  /** Keeps everybody else's hands off a reserved lease while `work` asks the Build about it. */
  async whileAsking<T>(build: string, work: () => Promise<T>): Promise<T> {
    this.#asking.add(build);
    try {
      return await work();
    } finally {
      this.#asking.delete(build);
    }
  }

  /** The agent has it: from now on only the loss of its agent ends the lease. */
  accepted(lease: Lease): void {
    const { store, clock } = this.#parts;
    store.advance(lease.build, "accepted", clock.now() + RUNNING_PROBE_MS);
  }

  /** An agent turned out to have an attempt that the pool had let go of. */
  adopt({ build, attempt }: Held, agent: string): void {
    const { store, clock } = this.#parts;
    store.addLease({ build, attempt }, agent, "accepted", clock.now() + RUNNING_PROBE_MS);
  }

  /** No agent has this build any more; its Build will be asked what that means. */
  loosen(build: string): void {
    const { store, clock } = this.#parts;
    store.park(build, "loose", clock.now() + LOOSE_PROBE_MS);
  }

  /** The build is over for the pool; its row waits for the Build's own word, to be counted. */
  finish(build: string): void {
    const { store, clock } = this.#parts;
    store.park(build, "over", clock.now() + OVER_KEEP_MS);
  }

  /** Gives up an attempt and asks its Build what next. */
  lose(lease: Lease, why: string): void {
    if (!this.#asking.has(lease.build)) this.#parts.background(this.reportLost(lease, why));
  }

  /** As `lose`, for those who wait for the answer. */
  async reportLost(lease: Lease, why: string): Promise<void> {
    const { store, clock, builds } = this.#parts;
    const pause = Math.min(RETRY_MS * 2 ** lease.tries, RETRY_MAX_MS);
    store.giveUp(lease.build, why, clock.now() + pause);
    const answer = await answerOf(() => builds(lease.build).lost(lease.attempt, why));
    const current = store.lease(lease.build);
    if (answer === undefined || current?.attempt !== lease.attempt) return;
    if (current.state === "losing") this.#settle(lease.build, answer);
  }

  /** No agent will ever take it: tells the Build, again and again until it has heard. */
  async reportUnplaceable({ build, expected }: JobRow, reason: string): Promise<void> {
    const { store, clock, builds } = this.#parts;
    store.turnAway(build, reason, clock.now() + RETRY_MAX_MS);
    const told = await answerOf(async () => {
      await builds(build).unplaceable(expected, reason);
      return true;
    });
    if (told && store.job(build)?.state === "unplaceable") this.finish(build);
  }

  /** Looks after everything whose time has come. Resolves when each has been tried once. */
  async wake(now: number): Promise<void> {
    const { store } = this.#parts;
    const leases = store.leasesDue(now).map((lease) => this.#wakeLease(lease));
    const jobs = store.jobsDue(now).map((job) => this.#wakeJob(job));
    await Promise.all([...leases, ...jobs]);
  }

  async #wakeLease(lease: Lease): Promise<void> {
    const { store, registry, clock } = this.#parts;
    if (lease.state === "losing") return this.reportLost(lease, lease.why ?? "");
    if (lease.state === "accepted") return this.#probeRunning(lease);
    if (this.#asking.has(lease.build))
      return store.advance(lease.build, "reserved", clock.now() + RETRY_MS);
    const agent = registry.get(lease.agent);
    if (agent) agent.doubtedUntil = clock.now() + DOUBT_MS;
    return this.reportLost(lease, `${agent?.name ?? lease.agent} did not accept it in time`);
  }

  async #wakeJob(job: JobRow): Promise<void> {
    if (job.state === "over") return this.#parts.store.forget(job.build);
    if (job.state === "unplaceable") return this.reportUnplaceable(job, job.reason ?? "");
    return this.#probeLoose(job);
  }

  async #probeLoose({ build, expected }: JobRow): Promise<void> {
    const { store, builds } = this.#parts;
    // The next look is set before the question: an object that dies over it is woken again.
    this.loosen(build);
    const isLoose = () => store.job(build)?.state === "loose";
    const summary = await answerOf(() => builds(build).summary());
    if (summary === undefined || !isLoose()) return;
    if (!isAlive(summary)) return this.finish(build);
    if (summary.state === "queued") {
      store.queue(build, expected);
      return this.#dispatch();
    }
    // It runs and nobody here has it: unless it is being published, the attempt is lost.
    const answer = await answerOf(() =>
      builds(build).lost(summary.attempt, "its agent has let go of it"),
    );
    if (answer !== undefined && isLoose()) this.#settle(build, answer);
  }

  async #probeRunning(lease: Lease): Promise<void> {
    const { store, builds } = this.#parts;
    this.accepted(lease);
    const summary = await answerOf(() => builds(lease.build).summary());
    if (summary === undefined || store.lease(lease.build)?.attempt !== lease.attempt) return;
    if (!isAlive(summary)) this.finish(lease.build);
    else if (summary.attempt > lease.attempt) this.loosen(lease.build);
    else return;
    this.#dispatch();
  }

  #settle(build: string, answer: LostAnswer): void {
    if (answer.kind === "requeue") this.#parts.store.queue(build, answer.next);
    else if (answer.kind === "terminal") this.finish(build);
    else this.loosen(build);
    this.#dispatch();
  }
}

/** Whether a Build still has something to do. Null: it knows of no such build. */
function isAlive(summary: BuildSummary | null): summary is BuildSummary {
  return summary !== null && !isTerminal(summary.state);
}

/** What another object answered; `undefined` when it could not be reached: the alarm tries again. */
async function answerOf<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch {
    return undefined;
  }
}
