/** What a Build says to its Pool and to the Catalog, and what it asks them. */
import { targetNeeds } from "../../shared/recipes/index.ts";
import type { ReplicaBuilt } from "./app-contracts.ts";
import type { BuildPorts } from "./build-ports.ts";
import { recordOf } from "./build-record.ts";
import type { BuildRow, BuildRows } from "./build-rows.ts";
import type { Ended, EnqueueAnswer, QueuePlace } from "./contracts.ts";
import { type Message, Postponed } from "./outbox.ts";

type Refused = Extract<EnqueueAnswer, { kind: "refused" }>;

export type MailEvents = {
  /** The pool took the build. */
  granted(id: string): void;
  /** It was refused and has erased itself. */
  erased(): void;
  /** A build that it leads to is to be asked for. */
  follow(row: BuildRow, key: string, id: string): Promise<void>;
  /** A committer is to be written to. */
  notice(id: string, body: unknown): void;
};

export class Mail {
  readonly #ports: BuildPorts;
  readonly #rows: BuildRows;
  readonly #events: MailEvents;
  #answer: EnqueueAnswer | null = null;
  #asking: Promise<QueuePlace | null> | null = null;

  constructor(ports: BuildPorts, rows: BuildRows, events: MailEvents) {
    this.#ports = ports;
    this.#rows = rows;
    this.#events = events;
  }

  /** Why the pool did not take the build that was here; null when it was not asked, or took it. */
  get refusal(): Refused | null {
    return this.#answer?.kind === "refused" ? this.#answer : null;
  }

  /** The place in the queue at which the pool took the build. */
  get admittedAt(): QueuePlace | null {
    return this.#answer?.kind === "ok" ? this.#answer.place : null;
  }

  /** Delivers one row of the outbox; throws to have it sent again. */
  async deliver(message: Message): Promise<void> {
    const row = this.#rows.build();
    if (row === null) return;
    try {
      await this.#deliver(row, message);
    } catch (error) {
      if (!(error instanceof Postponed))
        this.#ports.report(`${message.verb} of build ${row.id}`, error);
      throw error;
    }
    // The outbox must not look for its row: it is gone with everything else.
    if (this.#rows.build() === null) throw new Error("the build was refused");
  }

  async #deliver(row: BuildRow, { verb, key, body }: Message): Promise<void> {
    const pool = this.#ports.pool(row.pool);
    if (verb === "enqueue") await this.#enqueue(row);
    else if (verb === "withdraw") await pool.withdraw(row.id, body as string);
    else if (verb === "ended") await pool.ended(body as Ended);
    else if (verb === "follow") await this.#events.follow(row, key, body as string);
    else if (verb === "notice") this.#events.notice(row.id, body);
    else if (verb === "app") await this.#ports.app(key).built(body as ReplicaBuilt);
    else if (verb === "catalog")
      await this.#ports.catalog().put(recordOf(row, this.#rows.attempt(row.attempt), null));
  }

  /** Place in the queue, asked once for all who want to know at the same moment; null when the pool does not say. */
  async place(row: BuildRow): Promise<QueuePlace | null> {
    if (row.stage !== "queued") return null;
    this.#asking ??= this.#ask(row).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #ask(row: BuildRow): Promise<QueuePlace | null> {
    try {
      return await this.#ports.pool(row.pool).place(row.id);
    } catch {
      return null;
    }
  }

  async #enqueue(row: BuildRow): Promise<void> {
    // The pool has it: an attempt that it began has started.
    if (row.stage === "running" || row.stage === "publishing") return;
    this.#answer = null;
    const answer = await this.#ports.pool(row.pool).enqueue({
      build_id: row.id,
      // One that was minted is begun again, should the pool that asked for it have forgotten.
      expected: row.stage === "assigned" ? row.attempt : row.attempt + 1,
      recipe: row.target.recipe,
      needs: targetNeeds(row.target),
      avoid: row.avoid,
      caller: row.posted_by,
      admission: row.admission === "asked",
      queued_at: row.queued_at,
    });
    this.#answer = answer;
    const admission = this.#rows.build()?.admission;
    if (answer.kind === "ok") this.#granted(row.id);
    else if (admission === "asked") this.#erase();
    else if (admission === "promised")
      throw new Error("the pool refused a build that its poster was promised");
  }

  #granted(id: string): void {
    const row = this.#rows.build();
    if (row === null || row.stage === "ended") return;
    this.#rows.patch({ admission: "granted" });
    this.#events.granted(id);
  }

  #erase(): void {
    this.#rows.transaction(() => this.#rows.erase());
    this.#ports.alarm.set(null);
    this.#events.erased();
  }
}
