/**
 * The life of one Durable Object: made when something comes for it, put to sleep when nothing is under way
 * (its sockets stay), dead at any moment (its sockets are gone, and what was not confirmed). Alarms come at
 * least once, late, twice, or not at all until the object is made again.
 */
import type { Timer } from "../../../worker/core/build-ports.ts";
import type { Alarm, Clock, Random, Sql } from "../../../worker/core/ports.ts";
import { type Faults, Lost } from "../faults.ts";
import { type Kernel, Life } from "../kernel.ts";
import type { SeededRandom } from "../random.ts";
import type { ServerSocket } from "./socket.ts";
import { Storage } from "./storage.ts";

/** Tries of an alarm whose handler did not come to its end, as the platform has them. */
const ALARM_TRIES = 6;
const ALARM_PAUSE_MS = 2_000;
const LATE_MS = { least: 1_000, most: 30_000 };
const TWICE_MS = 5_000;

export type Parts = {
  kernel: Kernel;
  random: SeededRandom;
  faults: Faults;
  /** What nobody should ever hear of. */
  wrong: (what: string) => void;
};

/** What an instance is given: the platform's side of the shells in worker/objects. */
export type Context = {
  readonly name: string;
  readonly life: Life;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly random: Random;
  readonly alarm: Alarm;
  readonly timer: Timer;
  /** Open and closing ones. */
  sockets(tag?: string): ServerSocket[];
  accept(socket: ServerSocket, tags: readonly string[]): void;
  /** Sends something out, behind what was written before it. */
  gate(send: () => void): void;
  background(work: Promise<void>): void;
  report(what: string, error: unknown): void;
};

/** An upgrade that comes to an object. */
export type Upgrade = { path: string; query: URLSearchParams; bearer: string };
export type Problem = { status: number; code: string };

export interface Shell {
  alarm(): Promise<void>;
  fetch(upgrade: Upgrade, socket: ServerSocket): Promise<"accepted" | Problem>;
  message(socket: ServerSocket, text: string): Promise<void>;
  closed(socket: ServerSocket, code: number, reason: string): void;
}

type Instance<S> = { life: Life; shell: S; pending: Set<(why: Lost) => void>; background: number };

export class DurableObject<S extends Shell> {
  readonly name: string;
  readonly storage: Storage;
  readonly #parts: Parts;
  readonly #make: (context: Context) => S;
  readonly #sockets = new Set<ServerSocket>();
  #instance: Instance<S> | null = null;
  #born = 0;
  #ring: (() => void) | null = null;

  constructor(
    parts: Parts,
    name: string,
    make: (context: Context) => S,
    confirmed: (() => void) | null = null,
  ) {
    this.#parts = parts;
    this.name = name;
    this.#make = make;
    const { kernel, random, faults } = parts;
    this.storage = new Storage(kernel, random.fork(), name, {
      confirms: () => {
        const fails = faults.strikes("storage: commit fails");
        if (!fails && !faults.strikes("object: dies at a commit")) return true;
        this.die(fails ? "its storage failed" : "it died over a commit");
        return false;
      },
      confirmed: (alarmMoved) => {
        if (alarmMoved) this.#arm();
        confirmed?.();
      },
    });
  }

  get awake(): boolean {
    return this.#instance !== null;
  }

  get sockets(): ReadonlySet<ServerSocket> {
    return this.#sockets;
  }

  /** Lets `work` run in the object as an event of its own; settles behind the output gate. */
  invoke<T>(what: string, work: (shell: S) => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const instance = this.#wake();
      this.#parts.kernel.tell(() => `${instance.life.name} < ${what}`);
      const broken = (why: Lost) => reject(why);
      instance.pending.add(broken);
      const settle = (finish: () => void) => {
        if (!instance.life.alive) return;
        this.storage.gate(() => {
          instance.pending.delete(broken);
          finish();
        });
      };
      try {
        Promise.resolve(work(instance.shell)).then(
          (value) => settle(() => resolve(value)),
          (error) => settle(() => reject(error)),
        );
      } catch (error) {
        settle(() => reject(error));
      }
    });
  }

  /** Everything of it that is not confirmed is gone; its sockets too. The next event makes it again. */
  die(why: string): void {
    const sockets = [...this.#sockets];
    this.#sockets.clear();
    this.storage.lose();
    this.#end(why);
    for (const socket of sockets) socket.lose();
  }

  /** Puts it to sleep if nothing is under way; its sockets stay. */
  evict(): boolean {
    const instance = this.#instance;
    if (instance === null || this.storage.dirty) return false;
    if (instance.pending.size > 0 || instance.background > 0) return false;
    this.#end("it sleeps");
    return true;
  }

  /** A frame of a socket that it accepted. */
  received(socket: ServerSocket, text: string): void {
    if (!this.#sockets.has(socket)) return;
    this.invoke(`frame ${text.slice(0, 120)}`, (shell) => shell.message(socket, text)).catch(
      (error) => this.#mind("a frame", error),
    );
  }

  /** The other side of a socket hung up. */
  hungUp(socket: ServerSocket, code: number, reason: string): void {
    if (!this.#sockets.delete(socket)) return;
    this.invoke(`socket closed with ${code}`, (shell) => shell.closed(socket, code, reason)).catch(
      (error) => this.#mind("a close", error),
    );
  }

  #end(why: string): void {
    const instance = this.#instance;
    if (instance === null) return;
    this.#instance = null;
    this.#parts.kernel.tell(() => `${instance.life.name} ends: ${why}`);
    instance.life.end();
    for (const broken of instance.pending) broken(new Lost(`${this.name}: ${why}`));
  }

  #wake(): Instance<S> {
    if (this.#instance !== null) return this.#instance;
    const { kernel, random, wrong } = this.#parts;
    const life = new Life(kernel, `${this.name}#${++this.#born}`);
    const { storage } = this;
    const own = <T>(body: () => T): T => {
      if (!life.alive) throw new Lost(`${life.name} is gone`);
      return body();
    };
    const numbers = random.fork();
    const work = { background: 0 };
    const pending: Instance<S>["pending"] = new Set();
    const report = (what: string, error: unknown) => {
      if (!(error instanceof Lost)) wrong(`${life.name} reports ${what}: ${describe(error)}`);
    };
    const context: Context = {
      name: this.name.slice(this.name.indexOf(":") + 1),
      life,
      sql: {
        exec: (query, ...bindings) => own(() => storage.exec(query, ...bindings)),
        transaction: (body) => own(() => storage.transaction(body)),
      },
      clock: { now: () => Math.floor(kernel.now) },
      random: { hex: (bytes) => numbers.hex(bytes) },
      alarm: { set: (at) => own(() => storage.setAlarm(at)) },
      timer: {
        after: (ms) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          return { done: promise, cancel: life.after(ms, "timer", resolve) };
        },
      },
      sockets: (tag) =>
        [...this.#sockets].filter((socket) => tag === undefined || socket.tags.includes(tag)),
      accept: (socket, tags) => {
        this.#sockets.add(socket);
        socket.accepted(this, tags);
      },
      gate: (send) => own(() => storage.gate(send)),
      background: (promise) => {
        work.background++;
        promise
          .catch((error) => report("background work", error))
          .finally(() => {
            work.background--;
          });
      },
      report,
    };
    const instance = {
      life,
      pending,
      get background() {
        return work.background;
      },
      shell: this.#make(context),
    };
    this.#instance = instance;
    return instance;
  }

  /** What the platform rings for: what is confirmed, nothing else. */
  #arm(): void {
    this.#ring?.();
    this.#ring = null;
    const at = this.storage.alarm;
    if (at === null) return;
    const { kernel, faults, random } = this.#parts;
    const late = faults.strikes("alarm: late") ? random.between(LATE_MS.least, LATE_MS.most) : 0;
    this.#ring = kernel.after(at - kernel.now + late, `${this.name}'s alarm`, () => {
      this.#ring = null;
      this.storage.alarmFired();
      if (faults.strikes("alarm: lost")) return this.die("its alarm got lost with it");
      this.#fire(0);
      if (faults.strikes("alarm: twice"))
        kernel.after(random.between(0, TWICE_MS), "alarm again", () => this.#fire(0));
    });
  }

  #fire(tries: number): void {
    this.invoke("alarm", (shell) => shell.alarm()).catch((error) => {
      this.#mind("an alarm", error);
      if (tries + 1 >= ALARM_TRIES) return;
      const pause = ALARM_PAUSE_MS * 2 ** tries;
      this.#parts.kernel.after(pause, `${this.name}'s alarm again`, () => this.#fire(tries + 1));
    });
  }

  #mind(what: string, error: unknown): void {
    if (!(error instanceof Lost)) this.#parts.wrong(`${this.name}: ${what}: ${describe(error)}`);
  }
}

export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
