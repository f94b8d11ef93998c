/** One build: its RPC face, its attempt sockets and its alarm. The decisions are in build-lifecycle.ts. */
import type { BuildRecord } from "../../shared/builds.ts";
import {
  ATTEMPT_DEADLINE_MS,
  CANCEL_GRACE_MS,
  LOG_PAGE_BYTES,
  LOG_WAIT_MS,
  WAIT_MAX_SECONDS,
} from "../../shared/limits.ts";
import type { AttemptUp } from "../../shared/protocol.ts";
import { AttemptDesk } from "./build-attempt.ts";
import { Finish } from "./build-finish.ts";
import { FollowUps } from "./build-follow.ts";
import { Lifecycle } from "./build-lifecycle.ts";
import { Mail } from "./build-mail.ts";
import { Notices } from "./build-notice.ts";
import type { BuildParts } from "./build-parts.ts";
import type { BuildPorts } from "./build-ports.ts";
import { recordOf, summaryOf } from "./build-record.ts";
import { type BuildRow, BuildRows } from "./build-rows.ts";
import { Uploads } from "./build-uploads.ts";
import type {
  BeginAnswer,
  BuildRequest,
  BuildRpc,
  BuildSummary,
  BuildView,
  Caller,
  CancelAnswer,
  ContextAnswer,
  EnsureAnswer,
  LogPage,
  LostAnswer,
} from "./contracts.ts";
import { Deadlines } from "./deadlines.ts";
import { LogStore } from "./log-store.ts";
import { Outbox } from "./outbox.ts";
import { Signal } from "./signal.ts";

/** Bytes of a lease token. */
const LEASE_BYTES = 32;
/** Readers that may wait in one object; more are answered at once. */
const MAX_WAITING = 4_096;

export class BuildCore implements BuildRpc {
  readonly #ports: BuildPorts;
  readonly #parts: BuildParts;
  readonly #life: Lifecycle;
  readonly #desk: AttemptDesk;
  readonly #finish: Finish;
  readonly #changed = new Signal();
  readonly #mail: Mail;
  readonly #follow: FollowUps;
  readonly #notices: Notices;
  /** The question to the pool while it is under way. */
  #admitting: Promise<void> | null = null;

  constructor(ports: BuildPorts) {
    this.#ports = ports;
    const rows = new BuildRows(ports.sql);
    const outbox = new Outbox(ports, (message) => this.#mail.deliver(message));
    this.#mail = new Mail(ports, rows, {
      granted: (id) => outbox.put("catalog", id, null),
      erased: () => this.#changed.notify(),
      follow: (row, key, id) => this.#follow.deliver(row, key, id),
      notice: (id, body) => this.#notices.deliver(id, body),
    });
    this.#parts = {
      ports,
      outbox,
      rows,
      log: new LogStore(ports.sql),
      deadlines: new Deadlines(ports, outbox),
    };
    this.#life = new Lifecycle(this.#parts, () => {
      this.#changed.notify();
      ports.background(this.settle());
    });
    const uploads = new Uploads(ports);
    this.#follow = new FollowUps(this.#parts, this.#life);
    this.#notices = new Notices(this.#parts);
    this.#desk = new AttemptDesk(this.#parts, this.#life, uploads, this.#follow, this.#changed);
    this.#finish = new Finish(this.#parts, this.#life, uploads);
  }

  /** Call it once the object is there again: re-arms the alarm and takes up what its predecessor left (rule 8). */
  resume(): void {
    if (this.#row() === null) return;
    this.#parts.deadlines.rearm();
    this.#ports.background(this.settle());
  }

  /** Sends what has to be said and does what has to be done. Never throws. */
  async settle(): Promise<void> {
    if (this.#row() === null) return;
    const sent = this.#parts.outbox.send().then(() => this.#changed.notify());
    await Promise.all([sent, this.#finish.drive()]);
    if (this.#row() !== null) this.#parts.deadlines.rearm();
  }

  /** The alarm handler. Never throws. */
  async alarm(): Promise<void> {
    if (this.#row() === null) return;
    try {
      await this.#parts.deadlines.run((name) => {
        this.#life.expire(name);
        return this.#finish.drive();
      });
    } catch {
      // The build was refused in the middle and has erased itself.
    }
    await this.settle();
  }

  // ---- for the Target ---------------------------------------------------------------------------

  async ensure(id: string, request: BuildRequest): Promise<EnsureAnswer> {
    // Nobody joins a build that is being cancelled: when it has ended, the Target opens another one.
    if (this.#row()?.cancel_reason) await this.wait(CANCEL_GRACE_MS);
    const known = this.#row();
    if (known === null) this.#admit(id, request);
    else if (known.stage !== "ended")
      this.#parts.rows.join(request.caller, request.credential, this.#ports.clock.now());
    await this.#admitting;
    const row = this.#row();
    if (row === null) return this.#mail.refusal ?? this.ensure(id, request);
    // The pool could not be asked. The caller is told yes, so from here on the pool must take it.
    if (row.admission === "asked") this.#parts.rows.patch({ admission: "promised" });
    const place = known === null ? this.#mail.admittedAt : await this.#mail.place(row);
    return { kind: "ok", build: summaryOf(row, place) };
  }

  // ---- for the Pool -----------------------------------------------------------------------------

  async begin(
    expected: number,
    agent: { agent: string; name: string; instance: string },
  ): Promise<BeginAnswer> {
    const lease = this.#ports.random.hex(LEASE_BYTES);
    const digest = await this.#ports.vault.digest(lease);
    const answer = this.#life.mint(expected, agent, digest);
    if (answer.kind === "refused") return answer;
    return { kind: "ok", lease, target: answer.target, deadline_ms: ATTEMPT_DEADLINE_MS };
  }

  async lost(attempt: number, why: string): Promise<LostAnswer> {
    return this.#life.lose(attempt, why);
  }

  async unplaceable(attempt: number, reason: string): Promise<void> {
    const row = this.#row();
    if (row?.stage === "queued" && attempt > row.attempt)
      this.#life.end("failed", "agent_refused", reason);
  }

  // ---- for the API ------------------------------------------------------------------------------

  async summary(): Promise<BuildSummary | null> {
    const row = this.#row();
    return row && summaryOf(row, await this.#mail.place(row));
  }

  async view(): Promise<BuildView | null> {
    const row = this.#row();
    if (row === null) return null;
    const place = await this.#mail.place(row);
    const record = recordOf(row, this.#parts.rows.attempt(row.attempt), place);
    const { repositories, posted_by } = row;
    return { record, repositories, posted_by, held_back: place?.held_back ?? [] };
  }

  async log(after: number | null, max_bytes: number, wait_ms: number): Promise<LogPage | null> {
    const maxBytes = Math.min(max_bytes, LOG_PAGE_BYTES);
    const until = this.#ports.clock.now() + Math.min(wait_ms, LOG_WAIT_MS);
    for (;;) {
      const page = this.#page(after, maxBytes);
      if (page === null || page.entries.length > 0 || page.end) return page;
      if (!(await this.#waitUntil(until))) return page;
    }
  }

  async wait(wait_ms: number): Promise<BuildSummary | null> {
    const until = this.#ports.clock.now() + Math.min(wait_ms, WAIT_MAX_SECONDS * 1000);
    for (;;) {
      const row = this.#row();
      if (row === null) return null;
      if (row.stage === "ended" || !(await this.#waitUntil(until))) return this.summary();
    }
  }

  async settled(wait_ms: number): Promise<{ record: BuildRecord; settled: boolean } | null> {
    const until = this.#ports.clock.now() + Math.min(wait_ms, WAIT_MAX_SECONDS * 1000);
    for (;;) {
      const row = this.#row();
      if (row === null) return null;
      const settled =
        row.stage === "ended" &&
        row.follows.every(({ build_id }) => build_id !== null) &&
        !this.#parts.outbox.holds("catalog", row.id);
      if (settled || !(await this.#waitUntil(until))) {
        const view = await this.view();
        return view && { record: view.record, settled };
      }
    }
  }

  async cancel(caller: Caller): Promise<CancelAnswer> {
    const row = this.#row();
    if (row === null) return { kind: "refused", code: "unknown" };
    if (row.stage === "ended") return { kind: "refused", code: "already_ended" };
    if (row.stage === "publishing") return { kind: "refused", code: "publishing" };
    if (caller !== "admin") {
      const left = this.#parts.rows.leave(caller);
      if (left === null) return { kind: "refused", code: "forbidden" };
      if (left > 0 && row.cancel_reason === null)
        return { kind: "withdrawn", build: summaryOf(row, null) };
    }
    const kind = this.#life.cancel(row);
    return { kind, build: summaryOf(this.#row() ?? row, null) };
  }

  // ---- for the attempts -------------------------------------------------------------------------

  async context(n: number, lease: string): Promise<ContextAnswer> {
    const verdict = await this.admits(n, lease);
    if (verdict !== "yes") return { kind: verdict };
    const row = this.#row();
    if (row === null || row.stage === "ended" || row.attempt !== n) return { kind: "over" };
    if (this.#parts.rows.attempt(n)?.lost !== false) return { kind: "over" };
    return row.context === null ? { kind: "none" } : { kind: "ok", context: row.context };
  }

  /** Whether `lease` opens the socket of attempt `n`. */
  async admits(n: number, lease: string): Promise<"yes" | "forbidden" | "unknown"> {
    if (this.#row() === null) return "unknown";
    const digest = await this.#ports.vault.digest(lease);
    // Both are digests of 32 random bytes: nothing can be learnt from how long they take to differ.
    return this.#parts.rows.attempt(n)?.lease === digest ? "yes" : "forbidden";
  }

  /** The epoch of attempt `n`'s new socket: frames of a lower one are to be ignored. */
  opened(n: number): number {
    const epoch = (this.#parts.rows.attempt(n)?.epoch ?? 0) + 1;
    this.#parts.rows.patchAttempt(n, { epoch });
    return epoch;
  }

  isNewest(n: number, epoch: number): boolean {
    return this.#parts.rows.attempt(n)?.epoch === epoch;
  }

  /** Takes one parsed frame. Throws when R2 does not answer: close the socket, the agent comes again. */
  async receive(n: number, frame: AttemptUp): Promise<void> {
    await this.#desk.receive(n, frame);
  }

  // ---- inside -----------------------------------------------------------------------------------

  #admit(id: string, request: BuildRequest): void {
    this.#life.open(id, request);
    this.#admitting = this.#parts.outbox.send().finally(() => {
      this.#admitting = null;
      this.#ports.background(this.settle());
    });
  }

  #row(): BuildRow | null {
    return this.#parts.rows.build();
  }

  #page(after: number | null, maxBytes: number): LogPage | null {
    const row = this.#row();
    if (row === null) return null;
    if (row.log_moved) return { entries: [], position: after ?? 0, end: true, moved: true };
    const start = after ?? this.#parts.log.beforeEnd(maxBytes);
    const { entries, position } = this.#parts.log.page(start, maxBytes);
    const end = row.stage === "ended" && position >= this.#parts.log.size().last;
    return { entries, position, end, moved: false };
  }

  /** Waits for a change; false when the time is up, or too many wait already. */
  async #waitUntil(until: number): Promise<boolean> {
    const left = until - this.#ports.clock.now();
    if (left <= 0 || this.#changed.waiting >= MAX_WAITING) return false;
    await this.#changed.wait(this.#ports.timer, left);
    return true;
  }
}
