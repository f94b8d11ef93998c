/** The attempts of this agent: takes them, goes on with those a predecessor left, cancels, gives up, counts. */

import type { ControlDown, ControlUp, Held } from "../shared/protocol.ts";
import type { RecipeName, Target } from "../shared/recipes/index.ts";
import { Attempt, type AttemptHost, cleanHost } from "./attempt.ts";
import { messageOf } from "./errors.ts";
import { Journal } from "./journal.ts";
import { Latch } from "./latch.ts";
import type { Logger } from "./logger.ts";
import type { Recipe } from "./recipes/contracts.ts";

type Assign = Extract<ControlDown, { t: "assign" }>;
type Reject = Extract<ControlUp, { t: "reject" }>;

export type AttemptsParts = {
  /** Folder of the journals. */
  folder: string;
  host: AttemptHost;
  recipes: Partial<Record<RecipeName, Recipe<Target>>>;
  capacity: number;
  /** Milliseconds of the longest attempt that this agent's owner allows. */
  time_ms: number;
  log: Logger;
  /** Why this agent should get no work now; null when it should. */
  notNow: () => { code: "draining" | "unwell"; reason: string } | null;
  /** A journal could not be written. */
  unwritable: (why: string) => void;
  send: (frame: ControlUp) => void;
};

export class Attempts {
  readonly #parts: AttemptsParts;
  /** Journals of a predecessor that the edge has not yet been asked about. */
  readonly #waiting = new Map<string, Journal>();
  readonly #running = new Map<string, { attempt: Attempt; end: Promise<void> }>();
  /** Being journaled: a second assignment of the same attempt is no second attempt. */
  readonly #taking = new Set<string>();
  readonly #changed = new Latch();
  #finished = 0;

  constructor(parts: AttemptsParts) {
    this.#parts = parts;
  }

  /** Reads what a predecessor left. Attempts of before a reboot are given up: their containers are dead. */
  async load(): Promise<void> {
    const { folder, host } = this.#parts;
    const boot = await host.ports.boot();
    for (const journal of await Journal.loadAll(host.ports.disk, folder)) {
      const { build, attempt } = journal.assignment;
      if (journal.assignment.boot === boot) this.#waiting.set(key({ build, attempt }), journal);
      else await this.#discard(journal);
    }
  }

  /** What this agent holds, for hello and the reaper. */
  held(): Held[] {
    const waiting = [...this.#waiting.values()].map(({ assignment }) => ({
      build: assignment.build,
      attempt: assignment.attempt,
    }));
    return [...waiting, ...[...this.#running.values()].map(({ attempt }) => attempt.held)];
  }

  get running(): number {
    return this.#running.size + this.#waiting.size + this.#taking.size;
  }

  /** As `running`, without those that the edge has seen the end of, or that yielded: it may have given their slot away. */
  get #occupied(): number {
    const free = [...this.#running.values()].filter(
      ({ attempt }) => attempt.over || attempt.hasYielded,
    );
    return this.running - free.length;
  }

  /** Attempts that ended since this process began. */
  get finished(): number {
    return this.#finished;
  }

  /** The edge answered hello: what it does not drop goes on. */
  async welcomed(drop: readonly Held[]): Promise<void> {
    const dropped = new Set(drop.map(key));
    for (const id of dropped) this.#running.get(id)?.attempt.stop("over", "the edge dropped it");
    for (const { attempt } of this.#running.values())
      if (attempt.hasYielded) this.#yielded(attempt);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [id, journal] of waiting) if (!dropped.has(id)) this.#start(journal, true);
    for (const [id, journal] of waiting) if (dropped.has(id)) await this.#discard(journal);
  }

  /** Journals, accepts and starts an assignment, or says why not (rule 3). */
  async assign(frame: Assign): Promise<void> {
    const { build, attempt } = frame;
    const id = key(frame);
    if (this.#running.has(id) || this.#waiting.has(id))
      return this.#parts.send({ t: "accept", build, attempt });
    if (this.#taking.has(id)) return;
    const refusal = this.#refusal(frame);
    if (refusal) {
      this.#parts.log.info("assignment refused", { build, attempt, why: refusal.reason });
      return this.#parts.send({ t: "reject", build, attempt, ...refusal });
    }
    const { host, folder, time_ms } = this.#parts;
    const { ports } = host;
    this.#taking.add(id);
    try {
      const journal = await Journal.create(ports.disk, folder, {
        build,
        attempt,
        target: frame.target,
        lease: frame.lease,
        deadline_ms: Math.min(frame.deadline_ms, time_ms),
        accepted_at: ports.clock.now(),
        boot: await ports.boot(),
      });
      this.#parts.send({ t: "accept", build, attempt });
      this.#start(journal, false);
    } catch (error) {
      this.#parts.log.bug("assignment not journaled", error, { build, attempt });
      const why = messageOf(error);
      this.#parts.unwritable(why);
      const reason = `its disk cannot be written: ${why}`;
      this.#parts.send({ t: "reject", build, attempt, code: "unwell", reason });
    } finally {
      this.#taking.delete(id);
      this.#changed.open();
    }
  }

  cancel({ build, attempt, reason }: Held & { reason: string }): void {
    const running = this.#running.get(key({ build, attempt }));
    if (running) running.attempt.stop("cancelled", reason);
    else this.#parts.send({ t: "done", build, attempt });
  }

  /** Ends all attempts for one reason. Settles when the host is clean. */
  async stopAll(kind: "cancelled" | "over", reason: string): Promise<void> {
    const ends = [...this.#running.values()].map(({ attempt, end }) => {
      attempt.stop(kind, reason);
      return end;
    });
    for (const [id, journal] of [...this.#waiting]) {
      this.#waiting.delete(id);
      ends.push(this.#discard(journal));
    }
    await Promise.all(ends);
    this.#changed.open();
  }

  /** Settles when an attempt begins or ends, or when the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  #refusal({ target }: Assign): Pick<Reject, "code" | "reason"> | null {
    const not = this.#parts.notNow();
    if (not) return not;
    if (this.#occupied >= this.#parts.capacity)
      return { code: "busy", reason: `all ${this.#parts.capacity} slots are taken` };
    const recipe = this.#parts.recipes[target.recipe];
    if (!recipe) return { code: "policy", reason: `this agent has no recipe ${target.recipe}` };
    const reason = recipe.refuses(target);
    return reason === null ? null : { code: "policy", reason };
  }

  #start(journal: Journal, adopted: boolean): void {
    const { build, attempt: number, target } = journal.assignment;
    const { log, host, recipes, send } = this.#parts;
    log.info(adopted ? "attempt goes on" : "attempt begins", { build, attempt: number });
    let attempt: Attempt;
    try {
      const recipe = recipes[target.recipe];
      if (!recipe) throw new Error(`no recipe ${target.recipe}`);
      attempt = new Attempt(journal, recipe, host, () => this.#yielded(attempt));
    } catch (error) {
      log.bug("attempt cannot go on", error, { build, attempt: number });
      void this.#discard(journal);
      return;
    }
    const end = attempt
      .run()
      .then(() => send({ t: "done", build, attempt: number }))
      .catch((error: unknown) => log.bug("attempt broke", error, { build, attempt: number }))
      .finally(() => {
        this.#running.delete(key(attempt.held));
        this.#finished += 1;
        this.#changed.open();
      });
    this.#running.set(key(attempt.held), { attempt, end });
    this.#changed.open();
  }

  /** Told again behind each hello: there may have been no line. */
  #yielded({ held }: Attempt): void {
    this.#parts.send({ t: "yield", ...held });
    this.#changed.open();
  }

  /** Removes an attempt that is nobody's any more, host first: a crash in between leaves it to the next start. */
  async #discard(journal: Journal): Promise<void> {
    const { build, attempt } = journal.assignment;
    const { host, log, send } = this.#parts;
    log.info("attempt given up", { build, attempt });
    await cleanHost(host, { agent: host.agent, build, attempt });
    try {
      await journal.remove();
    } catch (error) {
      log.bug("journal not removed", error, { build, attempt });
    }
    send({ t: "done", build, attempt });
    this.#changed.open();
  }
}

function key({ build, attempt }: Held): string {
  return `${build}-${attempt}`;
}
