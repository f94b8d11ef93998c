/**
 * Virtual time: one queue of events, run one by one in the order of their times. What an event leaves to
 * microtasks is run out before the next event begins, so that a run depends on its seed alone.
 */
import { setImmediate as turn } from "node:timers/promises";

/** `run` is null once it was called off. */
type Event = { at: number; serial: number; what: string; run: (() => void) | null };

export class Kernel {
  /** True time (ms since the epoch). Machines have clocks of their own. */
  now: number;
  /** Called with a line for everything worth telling; left out, nothing is formatted. */
  readonly #tell: ((line: string) => void) | null;
  readonly #queue: Event[] = [];
  #serial = 0;

  constructor(now: number, tell: ((line: string) => void) | null = null) {
    this.now = now;
    this.#tell = tell;
  }

  /** Runs `run` after `ms` of true time; what it returns calls that off. */
  after(ms: number, what: string, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, ms), serial: ++this.#serial, what, run };
    push(this.#queue, event);
    return () => {
      event.run = null;
    };
  }

  tell(line: () => string): void {
    this.#tell?.(line());
  }

  /** Runs the next event and its microtasks; false when none is due by `until` (ms), to which time then moves. */
  async step(until: number): Promise<boolean> {
    for (;;) {
      const next = this.#queue[0];
      if (next === undefined || next.at > until) {
        this.now = Math.max(this.now, until);
        return false;
      }
      pop(this.#queue);
      if (next.run === null) continue;
      this.now = Math.max(this.now, next.at);
      next.run();
      await turn();
      return true;
    }
  }
}

/**
 * Something that can die or be stopped at any moment: a process, an object's instance. What it had under way
 * reaches nobody once it is dead; while it is suspended, it waits.
 */
export class Life {
  readonly name: string;
  readonly kernel: Kernel;
  #state: "alive" | "suspended" | "dead" = "alive";
  #waiting: (() => void)[] = [];
  #atEnd: (() => void)[] = [];

  constructor(kernel: Kernel, name: string) {
    this.kernel = kernel;
    this.name = name;
  }

  get alive(): boolean {
    return this.#state !== "dead";
  }

  get suspended(): boolean {
    return this.#state === "suspended";
  }

  end(): void {
    if (!this.alive) return;
    this.#state = "dead";
    this.#waiting = [];
    for (const run of this.#atEnd.splice(0)) run();
  }

  /** Runs `run` when this life ends: for those who see it from outside, as a connection's other side does. */
  onEnd(run: () => void): void {
    this.#atEnd.push(run);
  }

  suspend(): void {
    if (this.#state === "alive") this.#state = "suspended";
  }

  resume(): void {
    if (this.#state !== "suspended") return;
    this.#state = "alive";
    const waiting = this.#waiting;
    this.#waiting = [];
    // One event each, as an event loop that wakes up finds them.
    for (const run of waiting) this.after(0, "goes on", run);
  }

  /** Runs `run` after `ms`, in this life or never. */
  after(ms: number, what: string, run: () => void): () => void {
    let off = false;
    const drop = this.kernel.after(ms, what, () =>
      // What came due while it was suspended can still be called off.
      this.do(() => {
        if (!off) run();
      }),
    );
    return () => {
      off = true;
      drop();
    };
  }

  /** Runs `run` now, once this life goes on, or never. */
  do(run: () => void): void {
    if (this.#state === "alive") run();
    else if (this.#state === "suspended") this.#waiting.push(() => this.do(run));
  }

  /** Settles after `ms` as `body` does then; never in another life. */
  later<T>(ms: number, what: string, body: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.after(ms, what, () => {
        Promise.resolve()
          .then(body)
          .then(
            (value) => this.do(() => resolve(value)),
            (error: unknown) => this.do(() => reject(error)),
          );
      });
    });
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.serial < b.serial);
}

function push(heap: Event[], event: Event): void {
  heap.push(event);
  for (let i = heap.length - 1; i > 0; ) {
    const parent = (i - 1) >> 1;
    if (!before(heap[i] as Event, heap[parent] as Event)) break;
    swap(heap, i, parent);
    i = parent;
  }
}

function pop(heap: Event[]): void {
  const last = heap.pop() as Event;
  if (heap.length === 0) return;
  heap[0] = last;
  for (let i = 0; ; ) {
    let least = i;
    for (const child of [2 * i + 1, 2 * i + 2])
      if (child < heap.length && before(heap[child] as Event, heap[least] as Event)) least = child;
    if (least === i) return;
    swap(heap, i, least);
    i = least;
  }
}

function swap(heap: Event[], i: number, j: number): void {
  [heap[i], heap[j]] = [heap[j] as Event, heap[i] as Event];
}
