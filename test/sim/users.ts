/** People at their shells: they post targets, read logs, look, withdraw and cancel, and try again when they get no answer. */
import { isTerminal } from "../../shared/builds.ts";
import type { LogEntry } from "../../shared/log.ts";
import { type Target, targetKey } from "../../shared/recipes/index.ts";
import type { BuildSummary, LogPage, TargetAnswer } from "../../worker/core/contracts.ts";
import { logKey } from "../../worker/core/manifest.ts";
import { logPages } from "../../worker/log-stream.ts";
import type { Edge } from "./edge/edge.ts";
import type { Front } from "./edge/front.ts";
import { Lost } from "./faults.ts";
import type { Kernel } from "./kernel.ts";
import type { SeededRandom } from "./random.ts";

const PAGE_BYTES = 4_000;
const TRIES = 6;
const AGAIN_MS = { least: 300, most: 4_000 };

/** A build that somebody was promised. */
export type Promised = { id: string; key: string; target: Target; at: number };
/** What one reader has seen, in its order. */
export type Reading = { build: string; entries: LogEntry[]; ended: boolean };

export type UserParts = {
  kernel: Kernel;
  random: SeededRandom;
  edge: Edge;
  front: Front;
  wrong: (what: string) => void;
};

export class Users {
  readonly promised = new Map<string, Promised>();
  readonly readings: Reading[] = [];
  /** Terminal states that somebody was told, and when (ms). */
  readonly told = new Map<string, { state: string; at: number }>();
  /** Builds that somebody tried to cancel. */
  readonly cancelled = new Set<string>();
  readonly counts = new Map<string, number>();
  readonly #parts: UserParts;

  constructor(parts: UserParts) {
    this.#parts = parts;
  }

  /** Posts a target; null when no answer came at all. Whatever anybody was told is kept. */
  async post(target: Target, caller: string, secret: string | null): Promise<TargetAnswer | null> {
    const { edge, front, kernel } = this.#parts;
    const key = targetKey(target);
    const credential = secret === null ? null : edge.vault.seal(secret);
    const asked = kernel.now;
    const request = { key, target, pool: "default", caller, credential };
    const answer = await this.#insist(() => edge.target(front, key).request(request));
    this.#count(`post: ${answer?.kind ?? "no answer"}`);
    if (answer?.kind === "admitted" || answer?.kind === "joined") {
      this.#hear(answer.build, asked);
      const id = answer.build.build_id;
      if (!this.promised.has(id)) this.promised.set(id, { id, key, target, at: kernel.now });
    }
    return answer;
  }

  async look(build: string): Promise<BuildSummary | null> {
    const { edge, front, kernel } = this.#parts;
    const asked = kernel.now;
    const summary = await this.#insist(() => edge.build(front, build).summary());
    if (summary) this.#hear(summary, asked);
    return summary;
  }

  async wait(build: string, ms: number): Promise<void> {
    const { edge, front, kernel } = this.#parts;
    const asked = kernel.now;
    const summary = await this.#insist(() => edge.build(front, build).wait(ms));
    if (summary) this.#hear(summary, asked);
  }

  async cancel(build: string, caller: string): Promise<void> {
    const { edge, front, kernel } = this.#parts;
    const asked = kernel.now;
    this.cancelled.add(build);
    const answer = await this.#insist(() => edge.build(front, build).cancel(caller));
    const what = answer?.kind === "refused" ? answer.code : answer?.kind;
    this.#count(`cancel: ${what ?? "no answer"}`);
    if (answer && answer.kind !== "refused") this.#hear(answer.build, asked);
  }

  /** Follows a log to its end, coming back behind what it has whenever it is cut off. */
  async follow({ id, target }: Promised): Promise<void> {
    const reading: Reading = { build: id, entries: [], ended: false };
    this.readings.push(reading);
    const source = (after: number, wait_ms: number) => this.#page(id, target, after, wait_ms);
    const view = { build_id: id, after: 0, follow: true, ends_at: null };
    for await (const page of logPages(source, view)) {
      for (const entry of page.entries) this.#read(reading, entry);
      if (page.end) reading.ended = true;
    }
  }

  #read({ build, entries }: Reading, entry: LogEntry): void {
    const expected = (entries.at(-1)?.position ?? 0) + 1;
    if (entry.position !== expected)
      this.#parts.wrong(`I3: a reader of ${build} got position ${entry.position}, not ${expected}`);
    entries.push(entry);
  }

  async #page(id: string, target: Target, after: number, wait_ms: number): Promise<LogPage> {
    const { edge, front } = this.#parts;
    for (;;) {
      const page = await this.#insist(() => edge.build(front, id).log(after, PAGE_BYTES, wait_ms));
      if (page === null) continue;
      if (!page.moved) return page;
      const copy = await this.#insist(() =>
        edge.bucket.run(front, "read of a log", () =>
          edge.bucket.contents.objects.get(logKey(target.visibility, id))?.bytes.toString(),
        ),
      );
      if (copy === null || copy === undefined) continue;
      const entries = entriesOf(copy).filter(({ position }) => position > after);
      const position = entries.at(-1)?.position ?? after;
      return { entries, position, end: true, moved: true };
    }
  }

  /** I1: what somebody was told to be the end stays the end for whoever asks (at `asked`, ms) after that. */
  #hear({ build_id, state }: BuildSummary, asked: number): void {
    const known = this.told.get(build_id);
    if (known !== undefined && known.at < asked && known.state !== state)
      this.#parts.wrong(`I1: ${build_id} was ${known.state} for one who asked, now it is ${state}`);
    if (isTerminal(state) && known === undefined)
      this.told.set(build_id, { state, at: this.#parts.kernel.now });
  }

  /** Asks until there is an answer, some times over. */
  async #insist<T>(ask: () => Promise<T>): Promise<T | null> {
    const { front, random } = this.#parts;
    for (let tries = 1; ; tries++) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
        if (tries === TRIES) return null;
        await front.life.later(random.between(AGAIN_MS.least, AGAIN_MS.most), "again", () => {});
      }
    }
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

export function entriesOf(ndjson: string): LogEntry[] {
  return ndjson
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
