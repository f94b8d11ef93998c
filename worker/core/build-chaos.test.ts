/** Seeded storms over one build: whatever comes in whatever order, these promises hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isTerminal } from "../../shared/builds.ts";
import { MAX_ATTEMPTS } from "../../shared/limits.ts";
import type { LogEntry } from "../../shared/log.ts";
import { BUILD_ID, BuildWorld, NEXT, requestOf } from "../../test/support/build.ts";

const STORMS = 80;
const STEPS = 60;

/** Mulberry32: a small seeded generator, good enough to shuffle events. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class Storm {
  readonly world = new BuildWorld();
  readonly #pick: (below: number) => number;
  readonly #spoken = new Map<number, number>();
  #minted = 0;
  #terminal: string | null = null;
  #seen: string[] = [];

  constructor(seed: number) {
    this.#pick = generator(seed);
    const flaky = (odds: number) => () => {
      if (this.#pick(100) < odds) throw new Error("no answer");
    };
    this.world.store.fail = flaky(15);
    this.world.store.failAfter = flaky(15);
    this.world.admission = () => {
      flaky(20)();
      return { kind: "ok", place: NEXT };
    };
  }

  async run(): Promise<void> {
    await this.world.open();
    for (let step = 0; step < STEPS; step++) {
      await this.#event();
      await this.#check();
    }
    // The storm is over: everything comes to its end by itself.
    this.world.store.fail = () => {};
    this.world.store.failAfter = () => {};
    this.world.admission = () => ({ kind: "ok", place: NEXT });
    await this.world.ringOut();
    await this.#checkEnd();
  }

  async #event(): Promise<void> {
    const { world } = this;
    const n = 1 + this.#pick(Math.max(this.#minted, 1));
    switch (this.#pick(12)) {
      case 0:
      case 1:
        return this.#begin();
      case 2:
        if (this.#pick(3) === 0) await world.build.lost(n, "no ping");
        return;
      case 3:
      case 4:
        return this.#receive(n, () => this.#speak(n));
      case 5:
        return this.#receive(n, async () => {
          await world.upload(n, "tool.tar.gz", Buffer.from(`attempt ${n}`), uploadOf(n));
        });
      case 6:
        return this.#receive(n, () => this.#result(n));
      case 7:
        if (this.#pick(8) === 0) await world.build.cancel("admin");
        return;
      case 8:
        return world.restart();
      case 9:
        if (this.#pick(4) === 0 && world.ports.alarm.at !== null) await world.ring();
        return;
      case 10:
        // Not awaited: during a cancel it waits for the end.
        void world.build.ensure(BUILD_ID, requestOf({ caller: `token:${this.#pick(4)}` }));
        return world.settle();
      default:
        world.ports.clock.advance(this.#pick(10_000));
    }
  }

  async #begin(): Promise<void> {
    const agent = { agent: "a", name: `agent-${this.#pick(3)}`, instance: `i${this.#pick(3)}` };
    const expected = this.#minted + this.#pick(2);
    const answer = await this.world.build.begin(expected, agent);
    if (answer.kind === "ok") this.#minted = Math.max(this.#minted, expected);
    if (this.#pick(3) > 0)
      await this.#receive(expected, () =>
        this.world.receive(expected, { t: "start", protocol: 1, instance: "i", workspace: "/w" }),
      );
  }

  /** An agent's own order of frames; what fails is tried again by a later event. */
  async #receive(n: number, frames: () => Promise<void>): Promise<void> {
    try {
      if (n <= this.#minted) await frames();
    } catch (error) {
      assert.match(String(error), /no answer|a frame .* was sent/);
    }
    await this.world.settle();
  }

  /** Sends from a random place at or before where it was: frames come twice, in bits, or with a hole. */
  async #speak(n: number): Promise<void> {
    const spoken = this.#spoken.get(n) ?? 0;
    const from = Math.max(1, spoken - this.#pick(3)) + (this.#pick(10) === 0 ? 2 : 0);
    const to = from + this.#pick(4);
    const lines = Array.from({ length: to - from + 1 }, (_, i): [number, string] => [
      from + i,
      `attempt ${n} line ${from + i}`,
    ]);
    this.#spoken.set(n, Math.max(spoken, to));
    await this.world.say(n, ...lines);
  }

  async #result(n: number): Promise<void> {
    const last_seq = this.#pick((this.#spoken.get(n) ?? 0) + 3);
    if (this.#pick(3) > 0) await this.world.result(n, { last_seq, uploads: [uploadOf(n)] });
    else await this.world.result(n, { last_seq, outcome: "failed", class: "make_error" });
  }

  /** After every event: a terminal state stays, and what was read stays a prefix of what is there. */
  async #check(): Promise<void> {
    const summary = await this.world.build.summary();
    assert.ok(summary);
    if (this.#terminal !== null) assert.equal(summary.state, this.#terminal);
    else if (isTerminal(summary.state)) this.#terminal = summary.state;
    const entries = await this.#entries();
    entries.forEach(({ position }, i) => {
      assert.equal(position, i + 1);
    });
    const lines = entries.map((entry) => JSON.stringify(entry));
    assert.deepEqual(lines.slice(0, this.#seen.length), this.#seen);
    this.#seen = lines;
    const started = this.world.ports.sql.exec("SELECT n FROM attempts WHERE started = 1").length;
    assert.ok(started <= MAX_ATTEMPTS);
  }

  async #checkEnd(): Promise<void> {
    await this.#check();
    const { world } = this;
    const view = await world.build.view();
    assert.ok(view && isTerminal(view.record.state));
    assert.equal((await world.build.log(0, 1_000, 0))?.moved, true);
    const entries = await this.#entries();
    const finals = entries.filter(({ msg }) => /^Your build (failed|is successful)/.test(msg));
    assert.equal(finals.length, 1);
    assert.equal(entries.at(-1), finals[0]);
    for (const attempt of new Set(entries.map((entry) => entry.attempt))) {
      const seqs = entries.filter((e) => e.attempt === attempt && e.seq).map(({ seq }) => seq);
      assert.deepEqual(
        seqs,
        Array.from(seqs, (_, i) => i + 1),
      );
    }
    assert.ok(world.told.some(({ verb }) => verb === "ended"));
    const { result, acked } = world.ports.sql.exec<{ result: string | null; acked: number }>(
      "SELECT result, acked FROM attempts WHERE n = ?",
      view.record.attempt,
    )[0] ?? { result: null, acked: 0 };
    if (view.record.state === "succeeded") assert.ok(JSON.parse(result ?? "").last_seq <= acked);
    const published = world.publication();
    assert.equal(published !== null, view.record.state === "succeeded");
    const files = published?.files.map(({ key }) => key) ?? [];
    const left = [...world.store.objects.keys()].filter((key) => key.startsWith("builds/"));
    assert.deepEqual(left, files);
    for (const key of files)
      assert.equal(
        world.store.objects.get(key)?.bytes.toString(),
        `attempt ${view.record.attempt}`,
      );
  }

  async #entries(): Promise<LogEntry[]> {
    const page = await this.world.build.log(0, 250_000, 0);
    if (page && !page.moved) return page.entries;
    const text = this.world.store.objects.get(`logs/${BUILD_ID}.ndjson`)?.bytes.toString() ?? "";
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }
}

function uploadOf(n: number): string {
  return n.toString(16).padStart(32, "0");
}

test(`${STORMS} storms of frames, losses, crashes and a bucket that fails keep every promise of a build`, async () => {
  const ends = new Map<string, number>();
  for (let seed = 1; seed <= STORMS; seed++) {
    const storm = new Storm(seed);
    try {
      await storm.run();
    } catch (error) {
      throw new Error(`storm ${seed}`, { cause: error });
    }
    const state = (await storm.world.state()) ?? "";
    ends.set(state, (ends.get(state) ?? 0) + 1);
  }
  // A storm that never gets anywhere would prove nothing.
  for (const state of ["succeeded", "failed", "cancelled", "timed_out"])
    assert.ok((ends.get(state) ?? 0) > 0, `some storm ends ${state}: ${JSON.stringify([...ends])}`);
});
