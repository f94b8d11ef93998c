/**
 * One attempt from its assignment to the stored result: runs the recipe, uploads what it made, leaves the host clean,
 * and only then reports. Everything is journaled, so that a successor of this process goes on where it was.
 */
import type { BuildState } from "../shared/builds.ts";
import { MESSAGES } from "../shared/log.ts";
import { NOTICE_LINES } from "../shared/notice.ts";
import type { Held, Learnt } from "../shared/protocol.ts";
import type { RecipeName, Target } from "../shared/recipes/index.ts";
import { Context } from "./context.ts";
import { type DockerHost, type Limits, type Owner, workspaceVolume } from "./docker/contracts.ts";
import { messageOf } from "./errors.ts";
import type { Journal, Verdict } from "./journal.ts";
import type { Logger } from "./logger.ts";
import { committerOf, letterOf, type Relay } from "./mail.ts";
import { type LogCaps, Output } from "./output.ts";
import type { AgentPorts } from "./ports.ts";
import { fetchPosted } from "./posted.ts";
import type { Made, Recipe } from "./recipes/contracts.ts";
import { Redactor, secretsOf } from "./redact.ts";
import { Spool } from "./spool.ts";
import { Stop, type StopKind } from "./stop.ts";
import { abortable, within } from "./timing.ts";
import { Uplink } from "./uplink.ts";
import { uploadFile } from "./upload.ts";
import { verdictOf } from "./verdict.ts";

/** Milliseconds a stopped recipe has to let go before its host is cleaned under it. */
const LET_GO_MS = 10_000;
/** Milliseconds that cleaning may take before the result goes out without it. */
const CLEAN_MS = 30_000;

/** Said when files go up: torokko's own words for what it makes. */
const SAVING: Partial<Record<RecipeName, string>> = {
  go: MESSAGES.saving,
  erlang: "saving package...",
  image: "saving image...",
  app: "saving...",
};

/** What every attempt of this agent shares. */
export type AttemptHost = {
  ports: AgentPorts;
  agent: string;
  edge: string;
  instance: string;
  docker: DockerHost;
  limits: Limits;
  caps: LogCaps;
  /** Null where no mail goes out from here. */
  relay: Relay | null;
  log: Logger;
  /** Settles when this agent may act (rule 10), or when the signal aborts. */
  mayAct: (signal: AbortSignal) => Promise<void>;
  /** Something of an attempt could not be removed. */
  unclean: (owner: Owner, why: string) => void;
};

export class Attempt {
  readonly held: Held;
  readonly owner: Owner;
  readonly #host: AttemptHost;
  readonly #journal: Journal;
  readonly #recipe: Recipe<Target>;
  readonly #log: Logger;
  readonly #redactor = new Redactor();
  readonly #spool: Spool;
  readonly #uplink: Uplink;
  /** Ends the recipe's work, for whatever reason. */
  readonly #work = new AbortController();
  /** Ends everything: nothing is reported any more. */
  readonly #life = new AbortController();
  readonly #ready = Promise.withResolvers<readonly string[]>();
  readonly #yielded: () => void;
  #hasYielded = false;
  #cleaned: Promise<void> | null = null;

  /** @param yielded called when it begins to wait for other attempts */
  constructor(journal: Journal, recipe: Recipe<Target>, host: AttemptHost, yielded: () => void) {
    this.#yielded = yielded;
    const { build, attempt, lease } = journal.assignment;
    this.held = { build, attempt };
    this.owner = { agent: host.agent, build, attempt };
    this.#journal = journal;
    this.#recipe = recipe;
    this.#host = host;
    this.#log = host.log.with({ build, attempt });
    this.#redactor.add([lease]);
    this.#spool = new Spool(host.ports.disk, journal.spoolFile);
    this.#ready.promise.catch(() => {});
    this.#uplink = new Uplink({
      ports: host.ports,
      edge: host.edge,
      build,
      attempt,
      lease,
      instance: host.instance,
      workspace: workspaceVolume(this.owner),
      spool: this.#spool,
      log: this.#log,
      signal: this.#life.signal,
      events: {
        ready: ({ acked, credentials }) => this.#isReady(acked, credentials),
        cancel: ({ outcome, reason }) => this.stop(outcome, reason),
        over: (reason) => this.stop("over", reason),
      },
    });
  }

  /** It only waits for other attempts, which may have its slot. */
  get hasYielded(): boolean {
    return this.#hasYielded;
  }

  /** Its result is stored, or nobody wants it: only tidying is left. */
  get over(): boolean {
    return this.#life.signal.aborted;
  }

  /** Ends the attempt early. The first reason counts, but a later `over` still ends the reporting. */
  stop(kind: StopKind, reason: string): void {
    if (this.#life.signal.aborted) return;
    const stop = new Stop(kind, reason);
    if (!this.#work.signal.aborted) {
      this.#log.info("attempt stops", { kind, why: reason });
      // Before anything is ended for it: a successor would take what was killed for the build's own end (rule 12).
      if (stop.reported) void this.#note(verdictOf(stop, this.#redactor, this.#log));
    }
    this.#work.abort(stop);
    if (!stop.reported) this.#life.abort(stop);
  }

  /** Runs to the end: afterwards the host is clean and the journal is gone. */
  async run(): Promise<void> {
    const online = this.#uplink.run();
    const callOff = this.#host.ports.clock.after(Math.max(0, this.#remaining()), () =>
      this.stop("timed_out", "The build's time was over."),
    );
    const verdict = await this.#verdict();
    callOff();
    await this.#clean();
    await this.#report(verdict);
    this.#life.abort(new Stop("over", "the attempt has ended"));
    await online;
    this.#spool.close();
    await this.#journal.remove();
  }

  /** How it ended: as a predecessor of this process found, or as the recipe does now. Journaled. */
  async #verdict(): Promise<Verdict> {
    const journaled = this.#journal.find("verdict");
    if (journaled) return journaled.verdict;
    let verdict: Verdict;
    try {
      const making = this.#make();
      making.catch(() => {});
      await Promise.race([making, this.#letGo()]);
      verdict = { outcome: "succeeded", class: null, reason: null };
    } catch (error) {
      if (error instanceof Stop) this.stop(error.kind, error.message);
      const cause = this.#work.signal.aborted ? this.#work.signal.reason : error;
      verdict = verdictOf(cause, this.#redactor, this.#log);
    }
    if (!this.#life.signal.aborted) await this.#note(verdict);
    return verdict;
  }

  /** The first verdict counts. */
  async #note(verdict: Verdict): Promise<void> {
    if (this.#journal.find("verdict")) return;
    await this.#journal.write({ t: "verdict", verdict }).catch((error: unknown) => {
      this.#log.bug("verdict not journaled", error);
    });
  }

  async #make(): Promise<void> {
    const signal = this.#work.signal;
    const { ports } = this.#host;
    const credentials = await abortable(this.#ready.promise, signal);
    const context = new Context({
      docker: this.#host.docker,
      owner: this.owner,
      target: this.#journal.assignment.target,
      limits: this.#host.limits,
      journal: this.#journal,
      spool: this.#spool,
      redactor: this.#redactor,
      output: new Output({
        spool: this.#spool,
        redactor: this.#redactor,
        caps: this.#host.caps,
        clock: ports.clock,
      }),
      credentials,
      signal,
      mayAct: () => this.#mayAct(),
      remaining: () => this.#remaining(),
      clock: ports.clock,
      show: (phase) => this.#uplink.phase(phase),
      fetchContext: (file, size) => {
        const { edge } = this.#host;
        const { lease } = this.#journal.assignment;
        const parts = { ports, edge, ...this.held, lease, log: this.#log, signal };
        return fetchPosted(file, size, parts);
      },
      permit: async () => {
        await this.#mayAct();
        await abortable(this.#uplink.permit(), signal);
      },
      yieldSlot: () => {
        this.#hasYielded = true;
        this.#yielded();
      },
    });
    await context.say(MESSAGES.started, { fields: { workspace: workspaceVolume(this.owner) } });
    const made = await this.#made(context);
    if (made.length === 0) return;
    await context.say(SAVING[this.#recipe.name] ?? MESSAGES.saving);
    this.#uplink.phase("upload");
    const parts = {
      ports,
      edge: this.#host.edge,
      uplink: this.#uplink,
      journal: this.#journal,
      log: this.#log,
      signal,
      mayAct: () => this.#mayAct(),
    };
    // What goes up is on this host's own disk by now: containers and volumes can go meanwhile.
    void this.#clean();
    const uploads = Promise.allSettled(made.map((file) => uploadFile(file, parts)));
    for (const upload of await abortable(uploads, signal))
      if (upload.status === "rejected") throw upload.reason;
  }

  /** Once: after what was made, an attempt makes nothing on its host any more. */
  #clean(): Promise<void> {
    this.#cleaned ??= cleanHost(this.#host, this.owner);
    return this.#cleaned;
  }

  async #made(context: Context): Promise<Made[]> {
    const done = this.#journal.find("made");
    if (done) return done.made;
    const outcome = await this.#recipe.make(context);
    await this.#journal.write({ t: "made", ...outcome });
    return outcome.made;
  }

  /** Rejects some time after the work was stopped, for a recipe that does not notice. */
  #letGo(): Promise<never> {
    const signal = this.#work.signal;
    const { clock } = this.#host.ports;
    return new Promise((_, reject) => {
      const later = () => void clock.after(LET_GO_MS, () => reject(signal.reason));
      if (signal.aborted) later();
      else signal.addEventListener("abort", later, { once: true });
    });
  }

  async #report(verdict: Verdict): Promise<void> {
    const life = this.#life.signal;
    try {
      await this.#host.mayAct(life);
      if (life.aborted) return;
      const uploads = verdict.outcome === "succeeded" ? this.#uploads() : [];
      const outcome = this.#journal.find("made");
      const { state } = await this.#uplink.result({
        ...verdict,
        last_seq: this.#spool.last,
        uploads,
        repositories: outcome?.repositories ?? [],
        phases: this.#journal.timings(),
        ...(outcome?.digest !== undefined && { digest: outcome.digest }),
        ...this.#learnt(),
      });
      this.#log.info("attempt ended", { outcome: verdict.outcome, class: verdict.class, state });
      this.#tell(verdict, state);
    } catch (error) {
      if (!life.aborted) this.#log.bug("result not reported", error);
    }
  }

  /** What the edge is told: who is to be written to only where this agent does not. */
  #learnt(): Learnt {
    const { committer: _, ...learnt } = this.#journal.learnt();
    const committer = this.#host.relay
      ? null
      : committerOf(this.#journal.assignment.target, this.#journal.learnt());
    return { ...learnt, ...(committer !== null && { committer }) };
  }

  /** Writes to the committer, where a relay is set. */
  #tell({ reason }: Verdict, state: BuildState): void {
    const { relay, edge } = this.#host;
    if (relay === null) return;
    const { build, target } = this.#journal.assignment;
    const learnt = this.#journal.learnt();
    const tail = () => this.#spool.recent(null, NOTICE_LINES);
    const letter = letterOf(edge, { build, target, learnt, state, reason, tail });
    if (letter) relay.send(letter);
  }

  #uploads(): string[] {
    return (this.#journal.find("made")?.made ?? []).flatMap(({ name }) => {
      const uploaded = this.#journal.find("uploaded", (note) => note.name === name);
      return uploaded ? [uploaded.id] : [];
    });
  }

  #isReady(acked: number, credentials: string[]): void {
    if (acked > this.#spool.last)
      this.stop("abandoned", "the edge has more of the log than this host's disk");
    for (const credential of credentials) this.#redactor.add(secretsOf(credential));
    this.#ready.resolve(credentials);
  }

  async #mayAct(): Promise<void> {
    const signal = this.#work.signal;
    await this.#host.mayAct(signal);
    signal.throwIfAborted();
  }

  /** Milliseconds left, counted since the assignment was accepted, whichever process that was. */
  #remaining(): number {
    const { accepted_at, deadline_ms } = this.#journal.assignment;
    return accepted_at + deadline_ms - this.#host.ports.clock.now();
  }
}

/** Removes everything of an attempt from the host, within a bound; what cannot be removed makes the host unwell. */
export async function cleanHost(host: AttemptHost, owner: Owner): Promise<void> {
  try {
    const cleaning = host.docker.clean(owner);
    await within(
      host.ports.clock,
      cleaning,
      CLEAN_MS,
      "removing its containers and volumes takes too long",
    );
  } catch (error) {
    const why = messageOf(error);
    host.log.error("host is not clean", { build: owner.build, attempt: owner.attempt, why });
    host.unclean(owner, why);
  }
}
