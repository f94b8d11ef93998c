/** A container of a simulated engine: prints what its program says, waits while somebody is slow, keeps its output. */
import type { Chunk, RunSpec } from "../../../agent/docker/contracts.ts";
import type { Life } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";
import type { Program } from "./program.ts";

/** Exit status of what SIGKILL ended. */
export const KILLED = 137;
/** Milliseconds that the kernel takes to end what was killed. */
const KILL_MS = 40;

export type ContainerEnd = { code: number; oom: boolean };

export class Container {
  readonly id: string;
  readonly name: string;
  readonly spec: RunSpec;
  status: "created" | "running" | "exited" | "removed" = "created";
  /** What it wrote, from its first byte on. */
  readonly kept: Chunk[] = [];
  /** Milliseconds on the wall clock of its host; as the engine tells them. */
  started_at = 0;
  finished_at = 0;
  end: ContainerEnd | null = null;
  /** Goes over the limit of its volume. */
  outgrown = false;
  paused = false;
  /** Milliseconds of true time until which it cannot be removed. */
  stuck_until = 0;
  /** Called at every change: output, end, removal. */
  readonly watchers = new Set<() => void>();
  /** Called at its end, before anybody is told. */
  onEnd: () => void = () => {};
  readonly #power: Life;
  readonly #program: Program;
  readonly #random: SeededRandom;
  readonly #wallClock: () => number;
  #next = 0;
  #cancel: () => void = () => {};
  #dying = false;

  constructor(parts: {
    id: string;
    name: string;
    spec: RunSpec;
    program: Program;
    /** Ends with the host's power. */
    power: Life;
    random: SeededRandom;
    wallClock: () => number;
  }) {
    this.id = parts.id;
    this.name = parts.name;
    this.spec = parts.spec;
    this.#program = parts.program;
    this.#power = parts.power;
    this.#random = parts.random;
    this.#wallClock = parts.wallClock;
  }

  get ended(): boolean {
    return this.status === "exited" || this.status === "removed";
  }

  /** Lines that it wrote to a stream so far, the last one maybe without its end. */
  lines(stream: Chunk["stream"]): number {
    const chunks = this.kept.filter((chunk) => chunk.stream === stream);
    const text = Buffer.concat(chunks.map(({ data }) => data)).toString();
    return text === "" ? 0 : text.replace(/\n$/, "").split("\n").length;
  }

  start(): void {
    this.status = "running";
    this.started_at = this.#wallClock();
    this.#schedule();
  }

  pause(): void {
    if (this.status !== "running") return;
    this.paused = true;
    this.#cancel();
  }

  unpause(): void {
    if (!this.paused) return;
    this.paused = false;
    if (this.status === "running" && !this.#dying) this.#schedule();
  }

  signal(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.status !== "running" || this.#dying) return;
    const in_ms =
      signal === "SIGTERM" ? this.#program.dies_in_ms : this.#random.between(0, KILL_MS);
    if (in_ms === Infinity || (signal === "SIGTERM" && this.paused)) return;
    this.#dying = signal === "SIGKILL";
    this.#power.after(in_ms, `${this.name} dies`, () => this.finish({ code: KILLED, oom: false }));
  }

  /** Ends it, whatever it did. */
  finish(end: ContainerEnd): void {
    if (this.status !== "running") return;
    this.#cancel();
    this.status = "exited";
    this.finished_at = this.#wallClock();
    this.end = end;
    this.onEnd();
    this.#tell();
  }

  remove(): void {
    this.finish({ code: KILLED, oom: false });
    this.status = "removed";
    this.#tell();
  }

  #schedule(): void {
    this.#cancel();
    const step = this.#program.steps[this.#next];
    const in_ms = step?.after_ms ?? this.#program.rest_ms;
    if (in_ms === Infinity) return;
    const what = step ? `${this.name} prints` : `${this.name} ends`;
    this.#cancel = this.#power.after(in_ms, what, () => {
      if (!step) return this.finish(this.#program.end);
      this.#next += 1;
      this.kept.push({ stream: step.stream, data: step.data });
      this.outgrown ||= this.#program.outgrows && this.#next === this.#program.steps.length;
      this.#schedule();
      this.#tell();
    });
  }

  #tell(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}
