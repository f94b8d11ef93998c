/**
 * The state machine of one build. Every method is one synchronous step on what is stored: that is what makes
 * each of them a compare-and-set (protocol rules 1 and 4). What follows from a step (messages, R2) is
 * written down with it and carried out by `settle` of build.ts.
 */
import type { BuildState, EndClass } from "../../shared/builds.ts";
import {
  ATTEMPT_DEADLINE_MS,
  ATTEMPT_GRACE_MS,
  CANCEL_GRACE_MS,
  MAX_ATTEMPTS,
  QUEUE_DEADLINE_MS,
  TICKET_MS,
} from "../../shared/limits.ts";
import { MESSAGES } from "../../shared/log.ts";
import { logParams, type Target } from "../../shared/recipes/index.ts";
import type { ReplicaBuilt } from "./app-contracts.ts";
import { planNotice } from "./build-notice.ts";
import type { BuildParts } from "./build-parts.ts";
import { REASONS, reasonOf } from "./build-reasons.ts";
import type { AttemptRow, BuildRow } from "./build-rows.ts";
import type { BeginAnswer, BuildRequest, Ended, LostAnswer } from "./contracts.ts";
import type { NewEntry } from "./log-store.ts";
import type { Manifest } from "./manifest.ts";

export class Lifecycle {
  readonly #parts: BuildParts;
  /** Called after each step that left work to do. */
  readonly #stepped: () => void;
  #stepping = false;

  constructor(parts: BuildParts, stepped: () => void) {
    this.#parts = parts;
    this.#stepped = stepped;
  }

  /** Creates the build, waiting for admission. Sending the outbox is the caller's: it waits for the answer. */
  open(id: string, request: BuildRequest): void {
    const { rows, deadlines, outbox } = this.#parts;
    const now = this.#now();
    rows.transaction(() => {
      rows.create(id, request, now);
      rows.join(request.caller, request.credential, now);
      this.say("info", MESSAGES.joined, { fields: { params: logParams(request.target) } });
      deadlines.set("queue", now + QUEUE_DEADLINE_MS);
      outbox.put("enqueue", id, null);
    });
    deadlines.rearm();
  }

  /** Mints attempt `expected` (rule 1). `lease` is the SHA-256 of the token. */
  mint(
    expected: number,
    agent: { agent: string; name: string; instance: string },
    lease: string,
  ): { kind: "ok"; target: Target } | Extract<BeginAnswer, { kind: "refused" }> {
    const { rows } = this.#parts;
    const row = rows.build();
    if (row === null) return { kind: "refused", code: "unknown", next: 1 };
    const current = rows.attempt(row.attempt);
    if (row.stage === "publishing" || row.stage === "ended" || row.cancel_reason !== null) {
      const code = row.stage === "publishing" ? "publishing" : "terminal";
      return { kind: "refused", code, next: row.attempt };
    }
    if (row.stage === "running") return { kind: "refused", code: "attempt", next: row.attempt };
    // The answer to an earlier begin got lost on its way: the same agent gets a new lease, any other a new number.
    const again = row.stage === "assigned" && current?.instance === agent.instance;
    const next = again ? row.attempt : row.attempt + 1;
    if (expected !== next) return { kind: "refused", code: "attempt", next };
    this.step(() => {
      if (row.stage === "assigned" && !again) rows.patchAttempt(row.attempt, { lost: true });
      rows.mint({ n: next, ...agent, lease });
      rows.patch({ stage: "assigned", attempt: next, admission: "granted" });
    });
    return { kind: "ok", target: row.target };
  }

  /** The agent confirms that it has started (rule 3). Again after each reconnect: nothing changes then. */
  confirmStart(row: BuildRow, instance: string): void {
    const { rows, deadlines, outbox } = this.#parts;
    const now = this.#now();
    this.step(() => {
      rows.patchAttempt(row.attempt, { started: true, instance });
      if (row.stage !== "assigned") return;
      rows.patch({ stage: "running", started_at: row.started_at ?? now });
      deadlines.clear("queue");
      deadlines.set("attempt", now + ATTEMPT_DEADLINE_MS);
      outbox.put("catalog", row.id, null);
    });
  }

  /** Attempt `n` will not go on (rules 1 and 3). */
  lose(n: number, why: string): LostAnswer {
    const { rows, ports } = this.#parts;
    const row = rows.build();
    if (row === null || row.stage === "ended") return { kind: "terminal" };
    if (row.stage === "publishing") return { kind: "ignored" };
    if (row.stage === "queued" && (n === row.attempt || n === row.attempt + 1))
      return { kind: "requeue", next: row.attempt + 1 };
    const attempt = rows.attempt(n);
    if (n !== row.attempt || attempt === null) return { kind: "ignored" };
    this.step(() => {
      rows.patchAttempt(n, { lost: true });
      if (row.cancel_reason !== null)
        this.end("cancelled", "cancelled", REASONS.cancelledUnconfirmed);
      else if (rows.lostStarts() >= MAX_ATTEMPTS)
        this.end("failed", "agent_lost", REASONS.agentLost(attempt.name, why));
      else this.#requeue(row, attempt, why);
    });
    ports.sockets.send(n, {
      t: "refused",
      code: "lost",
      message: `This attempt was lost: ${why}.`,
    });
    return rows.build()?.stage === "ended"
      ? { kind: "terminal" }
      : { kind: "requeue", next: n + 1 };
  }

  /** Ends the build on a caller's word: at once while no attempt is live, else when its attempt has ended. */
  cancel(row: BuildRow): "cancelled" | "cancelling" {
    const { rows, deadlines, outbox, ports } = this.#parts;
    if (row.stage === "queued") {
      this.end("cancelled", "cancelled", REASONS.cancelled);
      return "cancelled";
    }
    if (row.cancel_reason === null) {
      this.step(() => {
        rows.patch({ cancel_reason: REASONS.cancelled });
        deadlines.set("cancel", this.#now() + CANCEL_GRACE_MS);
        outbox.put("withdraw", row.id, REASONS.cancelled);
      });
      ports.sockets.send(row.attempt, cancelFrame("cancelled", REASONS.cancelled));
    }
    return "cancelling";
  }

  /** Tells an attempt to stop that may have missed it; false when it may go on. */
  remind(row: BuildRow): boolean {
    const { deadlines, ports } = this.#parts;
    const { attempt, cancel_reason } = row;
    if (cancel_reason !== null)
      ports.sockets.send(attempt, cancelFrame("cancelled", cancel_reason));
    else if (deadlines.at("grace") !== null)
      ports.sockets.send(attempt, cancelFrame("timed_out", REASONS.attemptTimeout));
    else return false;
    return true;
  }

  /** The commit point (rule 4): from here on the build can only succeed or fail for its storage. */
  commit(manifest: Manifest): void {
    const { rows, deadlines } = this.#parts;
    const now = this.#now();
    this.step(() => {
      rows.patch({
        stage: "publishing",
        manifest,
        artifacts: artifactsOf(manifest),
        repositories: manifest.repositories,
      });
      for (const name of ["attempt", "grace", "cancel"]) deadlines.clear(name);
      deadlines.set("publish", now);
    });
  }

  /** The manifest is in its place. `published` is what lies there: ours, or one that came before us. */
  succeed(row: BuildRow, published: Manifest): void {
    const { rows } = this.#parts;
    this.step(() => {
      if (published.build_id !== row.id)
        this.say(
          "warning",
          `Build ${published.build_id} had published this target before. Its files stay, those of this build are removed.`,
        );
      rows.patch({ manifest: published, artifacts: artifactsOf(published) });
      this.end("succeeded", null, null);
    });
  }

  /** Stores a terminal state, once: later calls change nothing. */
  end(outcome: BuildState, endClass: EndClass | null, words: string | null): void {
    const { rows, deadlines, outbox } = this.#parts;
    const row = rows.build();
    if (row === null || row.stage === "ended") return;
    const now = this.#now();
    const reason = outcome === "succeeded" ? null : (words ?? reasonOf(endClass ?? "agent_error"));
    this.step(() => {
      rows.patch({ stage: "ended", outcome, class: endClass, reason, ended_at: now });
      rows.eraseCredentials();
      if (reason === null) this.say("info", MESSAGES.successful);
      else this.say("error", MESSAGES.failed(reason));
      planNotice(this.#parts);
      deadlines.clearAll();
      deadlines.set("archive", now);
      if (row.context !== null) deadlines.set("context", now);
      const published = publishedKeys(rows.build());
      if (rows.uploadKeys().some((key) => !published.has(key)))
        deadlines.set("sweep", now + 2 * TICKET_MS);
      for (const verb of ["enqueue", "withdraw"]) outbox.drop(verb, row.id);
      outbox.put("ended", row.id, endedOf(row, outcome, endClass, now));
      outbox.put("catalog", row.id, null);
      if (row.target.recipe === "app")
        outbox.put("app", row.target.project, {
          build: row.id,
          outcome,
          class: endClass,
          reason,
        } satisfies ReplicaBuilt);
    });
    this.tellEnd(row.attempt);
  }

  /** Tells an attempt of an ended build where it stands. */
  tellEnd(n: number): void {
    const { rows, ports } = this.#parts;
    const row = rows.build();
    const attempt = rows.attempt(n);
    if (row === null || row.outcome === null || attempt === null) return;
    if (n === row.attempt && attempt.result !== null && !attempt.lost)
      ports.sockets.send(n, { t: "result_ok", state: row.outcome });
    else
      ports.sockets.send(n, {
        t: "refused",
        code: "ended",
        message: `The build has ended: ${row.reason ?? "it succeeded"}`,
      });
  }

  /** What falls due. Publication and archive have their own files. */
  expire(name: string): void {
    if (name === "queue") this.end("timed_out", "queue_timeout", REASONS.queueTimeout);
    else if (name === "grace") this.end("timed_out", "timed_out", REASONS.attemptTimeout);
    else if (name === "cancel") this.end("cancelled", "cancelled", REASONS.cancelledUnconfirmed);
    else if (name === "attempt") this.#hurry();
  }

  /** The attempt's time is up: it is told so, and has a while to say how it ended. */
  #hurry(): void {
    const { deadlines, rows, ports } = this.#parts;
    this.step(() => {
      deadlines.clear("attempt");
      deadlines.set("grace", this.#now() + ATTEMPT_GRACE_MS);
    });
    const row = rows.build();
    if (row) ports.sockets.send(row.attempt, cancelFrame("timed_out", REASONS.attemptTimeout));
  }

  #requeue(row: BuildRow, attempt: AttemptRow, why: string): void {
    const { rows, deadlines, outbox } = this.#parts;
    rows.patch({ stage: "queued" });
    // An attempt that never started leaves no trace: the time to wait for an agent goes on as it was.
    if (row.stage !== "running") return;
    const where = attempt.phase === null ? "" : ` (${attempt.phase})`;
    this.say(
      "warning",
      `Agent ${attempt.name} was lost in attempt ${attempt.n}${where}: ${why}. The build is queued again.`,
    );
    deadlines.clear("attempt");
    deadlines.clear("grace");
    deadlines.set("queue", this.#now() + QUEUE_DEADLINE_MS);
    outbox.put("catalog", row.id, null);
  }

  /** One transaction. A step inside a step belongs to it: what follows begins when all of it is written. */
  step(body: () => void): void {
    const { rows, deadlines } = this.#parts;
    if (this.#stepping) {
      body();
      return;
    }
    this.#stepping = true;
    try {
      rows.transaction(body);
    } finally {
      this.#stepping = false;
    }
    deadlines.rearm();
    this.#stepped();
  }

  /** A line of our own. Nothing is said behind the last one: not once the build has ended. */
  say(level: NewEntry["level"], msg: string, more: Pick<NewEntry, "fields"> = {}): void {
    const { rows, log } = this.#parts;
    const time = new Date(this.#now()).toISOString();
    log.append([{ attempt: rows.build()?.attempt ?? 0, time, level, msg, ...more }]);
  }

  #now(): number {
    return this.#parts.ports.clock.now();
  }
}

/** Keys that must stay: of what lies at the target's key, or may come to lie there after a doubtful put. */
export function publishedKeys(row: BuildRow | null): ReadonlySet<string> {
  const keeps = row?.outcome === "succeeded" || row?.class === "storage";
  return new Set(keeps ? row.manifest?.files.map(({ key }) => key) : []);
}

function artifactsOf(manifest: Manifest): BuildRow["artifacts"] {
  return manifest.files.map(({ name, size, sha256 }) => ({ name, size, sha256 }));
}

function cancelFrame(outcome: "cancelled" | "timed_out", reason: string) {
  return { t: "cancel", outcome, reason } as const;
}

function endedOf(
  row: BuildRow,
  outcome: BuildState,
  endClass: EndClass | null,
  now: number,
): Ended {
  return {
    build_id: row.id,
    recipe: row.target.recipe,
    outcome,
    class: endClass,
    queued_ms: (row.started_at ?? now) - row.queued_at,
    running_ms: row.started_at === null ? null : now - row.started_at,
  };
}
