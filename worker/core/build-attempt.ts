/**
 * What the frames of an attempt socket do to the build. Frames of any other attempt than the live one are
 * refused, but for the last lines of a lost one.
 */

import type { AttemptUp } from "../../shared/protocol.ts";
import { CLOSE } from "../../shared/protocol.ts";
import { publishesFiles, targetCommit } from "../../shared/recipes/index.ts";
import type { FollowUps } from "./build-follow.ts";
import type { Lifecycle } from "./build-lifecycle.ts";
import type { BuildParts } from "./build-parts.ts";
import { REASONS } from "./build-reasons.ts";
import type { AttemptRow, BuildRow, Result } from "./build-rows.ts";
import type { Uploads } from "./build-uploads.ts";
import type { NewEntry } from "./log-store.ts";
import type { Manifest } from "./manifest.ts";
import type { Signal } from "./signal.ts";

type Frame<T extends AttemptUp["t"]> = Extract<AttemptUp, { t: T }>;

export class AttemptDesk {
  readonly #parts: BuildParts;
  readonly #life: Lifecycle;
  readonly #uploads: Uploads;
  readonly #follow: FollowUps;
  readonly #changed: Signal;

  constructor(
    parts: BuildParts,
    life: Lifecycle,
    uploads: Uploads,
    follow: FollowUps,
    changed: Signal,
  ) {
    this.#parts = parts;
    this.#life = life;
    this.#uploads = uploads;
    this.#follow = follow;
    this.#changed = changed;
  }

  /** Takes one parsed frame of attempt `n`. Throws only when R2 does not answer: the agent comes again. */
  async receive(n: number, frame: AttemptUp): Promise<void> {
    const { rows, ports } = this.#parts;
    const row = rows.build();
    const attempt = rows.attempt(n);
    if (row === null || attempt === null) return;
    if (row.stage === "ended") return this.#over(n);
    if (frame.t === "log" && attempt.started) return this.#log(row, attempt, frame);
    if (attempt.lost || n !== row.attempt) {
      const message = `Attempt ${n} is over; ${row.attempt} is current. Clean up.`;
      return ports.sockets.send(n, { t: "refused", code: "lost", message });
    }
    if (frame.t === "start") return this.#start(row, attempt, frame);
    if (!attempt.started || frame.t === "log")
      return ports.sockets.close(n, CLOSE.badFrame, "start comes first");
    if (frame.t === "phase") return rows.patchAttempt(n, { phase: frame.phase });
    if (frame.t === "result") return this.#result(row, attempt, frame);
    if (row.stage !== "running") return;
    if (frame.t === "permit") return this.#permit(row);
    const answer = await this.#uploads.answer(row, frame);
    if (this.#isLive(n)) ports.sockets.send(n, answer);
  }

  #over(n: number): void {
    this.#life.tellEnd(n);
    this.#parts.ports.sockets.close(n, CLOSE.attemptOver, "the build has ended");
  }

  async #start(row: BuildRow, attempt: AttemptRow, frame: Frame<"start">): Promise<void> {
    const { rows, ports } = this.#parts;
    this.#life.confirmStart(row, frame.instance);
    const sealed = row.stage === "publishing" ? [] : rows.credentials();
    const opened = await Promise.all(sealed.map((one) => ports.vault.unseal(one)));
    if (!this.#isLive(attempt.n)) return;
    const acked = rows.attempt(attempt.n)?.acked ?? 0;
    const credentials = opened.filter((one) => one !== null);
    ports.sockets.send(attempt.n, { t: "ready", acked, credentials });
    this.#life.remind(row);
  }

  /** Stores what is new, in order and without a gap (rule 15); acknowledges only what is stored. */
  #log(row: BuildRow, attempt: AttemptRow, frame: Frame<"log">): void {
    const { rows, log, ports } = this.#parts;
    const fresh = frame.entries.filter(({ seq }) => seq > attempt.acked);
    const odd = fresh.findIndex(({ seq }, i) => seq !== attempt.acked + 1 + i);
    if (odd !== -1) {
      const missing = attempt.acked + 1 + odd;
      // On a new socket it starts again behind what `ready` acknowledges.
      ports.sockets.close(attempt.n, CLOSE.badFrame, `entry ${missing} is missing`);
      return;
    }
    const acked = attempt.acked + fresh.length;
    if (fresh.length > 0) {
      const late: { late?: true } = attempt.lost ? { late: true } : {};
      const entries = fresh.map((entry): NewEntry => ({ ...entry, attempt: attempt.n, ...late }));
      rows.transaction(() => {
        log.appendBounded(entries);
        rows.patchAttempt(attempt.n, { acked });
      });
      this.#changed.notify();
    }
    ports.sockets.send(attempt.n, { t: "ack", seq: acked });
    this.#conclude(row, { ...attempt, acked });
  }

  /** Only the live attempt of a build that nobody has given up may change what others see (rule 7). */
  #permit(row: BuildRow): void {
    if (!this.#life.remind(row)) this.#parts.ports.sockets.send(row.attempt, { t: "permit_ok" });
  }

  /** The first result counts; it takes effect once the log is whole. */
  #result(row: BuildRow, attempt: AttemptRow, frame: Result): void {
    const result = attempt.result ?? frame;
    if (attempt.result === null) this.#parts.rows.patchAttempt(attempt.n, { result });
    this.#conclude(row, { ...attempt, result });
  }

  #conclude(row: BuildRow, { n, lost, result, acked }: AttemptRow): void {
    const { rows } = this.#parts;
    if (row.stage !== "running" || n !== row.attempt || lost) return;
    if (result === null || acked < result.last_seq) return;
    const { phases, repositories, digest = null, package: facts = null, follow = [] } = result;
    const end = endOf(row, result);
    this.#life.step(() => {
      rows.patch({ phases, repositories, digest, facts });
      if (end?.[0] !== "cancelled") this.#follow.plan(row, follow);
      if (end === null) this.#publish(row, result);
      else this.#life.end(...end);
    });
  }

  #publish(row: BuildRow, result: Result): void {
    const files = this.#uploads.files(row.attempt, result.uploads);
    if (files?.length === 0 && !publishesFiles(row.target)) {
      this.#life.end("succeeded", null, null);
      return;
    }
    if (files === null || files.length === 0) {
      this.#life.end("failed", "agent_error", REASONS.unfinishedUpload);
      return;
    }
    const manifest: Manifest = {
      v: 1,
      build_id: row.id,
      attempt: row.attempt,
      target: row.target,
      commit: result.package?.commit ?? targetCommit(row.target),
      visibility: row.target.visibility,
      repositories: result.repositories,
      created_at: new Date(this.#parts.ports.clock.now()).toISOString(),
      files,
    };
    this.#life.commit(manifest);
  }

  #isLive(n: number): boolean {
    const row = this.#parts.rows.build();
    return (
      row?.attempt === n && row.stage !== "ended" && this.#parts.rows.attempt(n)?.lost === false
    );
  }
}

/** How a result ends the build; null when it is to be published. An accepted cancel counts more than any result. */
function endOf(
  row: BuildRow,
  { outcome, class: endClass, reason }: Result,
): Parameters<Lifecycle["end"]> | null {
  if (row.cancel_reason !== null) return ["cancelled", "cancelled", row.cancel_reason];
  if (outcome === "succeeded") return null;
  if (outcome === "cancelled")
    return ["cancelled", "cancelled", reason ?? REASONS.cancelledByAgent];
  if (outcome === "timed_out")
    return ["timed_out", endClass ?? "timed_out", reason ?? REASONS.attemptTimeout];
  return ["failed", endClass ?? "agent_error", reason];
}
