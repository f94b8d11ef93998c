/**
 * One WebSocket between a process and an object: bytes arrive in order, late, or not at all. What vanished
 * once takes everything behind it along, as TCP has it; whoever hears nothing learns of the end by itself.
 */
import type { Line, LineEvents } from "../../agent/ports.ts";
import type { ServerSocket } from "./edge/socket.ts";
import type { Faults } from "./faults.ts";
import type { Kernel, Life } from "./kernel.ts";
import type { SeededRandom } from "./random.ts";

const ABNORMAL = 1006;
const TAKES_MS = { least: 1, most: 30 };
const LATE_MS = { least: 200, most: 8_000 };
/** Until the edge's own TCP gives a silent connection up. */
const UNSEEN_MS = { least: 20_000, most: 300_000 };
/** Milliseconds that a stalled connection holds out before its bytes count as lost. */
const HOLDS_OUT_MS = 20_000;

/** One direction. */
class Pipe {
  /** Bytes vanish. */
  silent = false;
  /** Nothing arrives before that time (ms). */
  stalledUntil = 0;
  #free = 0;
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  carry(takes_ms: number, what: string, arrive: () => void): void {
    const at = Math.max(this.#kernel.now + takes_ms, this.#free, this.stalledUntil);
    this.#free = at;
    this.#kernel.after(at - this.#kernel.now, what, () => {
      if (this.silent) return;
      if (this.#kernel.now < this.stalledUntil)
        this.#kernel.after(
          this.stalledUntil - this.#kernel.now,
          what,
          () => this.silent || arrive(),
        );
      else arrive();
    });
  }
}

export type ConnectionParts = {
  kernel: Kernel;
  random: SeededRandom;
  faults: Faults;
  life: Life;
  name: string;
  events: LineEvents;
  /** Called when a frame reached the edge. */
  heard: (text: string) => void;
  /** Called when both ends are done with it. */
  gone: () => void;
};

export class Connection implements Line {
  /** The object's end, once the upgrade reached it. */
  server: ServerSocket | null = null;
  readonly #parts: ConnectionParts;
  readonly #up: Pipe;
  readonly #down: Pipe;
  #client: "opening" | "open" | "closing" | "ended" = "opening";
  #serverTold = false;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#up = new Pipe(parts.kernel);
    this.#down = new Pipe(parts.kernel);
    parts.life.onEnd(() => this.#clientGone());
  }

  get opening(): boolean {
    return this.#client === "opening";
  }

  // ---- for the process ----------------------------------------------------------------------------

  send(text: string | Uint8Array): boolean {
    if (typeof text !== "string") throw new Error("no web app runs here");
    if (this.#client !== "open") return false;
    this.#weather();
    this.#carry(this.#up, text, () => {
      this.#parts.heard(text);
      this.server?.received(text);
    });
    return true;
  }

  room(): null {
    return null;
  }

  close(code: number, reason: string): void {
    if (this.#client === "opening") this.terminate();
    if (this.#client !== "open") return;
    this.#client = "closing";
    this.#carry(this.#up, `close ${code}`, () => this.#hangUp(code, reason));
  }

  terminate(): void {
    if (this.#client === "ended") return;
    this.#clientGone();
    this.#parts.life.after(0, "terminated", () =>
      this.#parts.events.ended({ kind: "closed", code: ABNORMAL, reason: "" }),
    );
  }

  // ---- for the edge -------------------------------------------------------------------------------

  /** Carries something of the upgrade itself to the edge or back. */
  handshake(way: "up" | "down", what: string, arrive: () => void): void {
    this.#carry(way === "up" ? this.#up : this.#down, what, arrive);
  }

  /** The upgrade was answered with 101. */
  opened(): void {
    if (this.#client !== "opening") return;
    this.#parts.life.do(() => {
      if (this.#client !== "opening") return;
      this.#client = "open";
      this.#parts.events.opened();
    });
  }

  /** The upgrade failed, or was refused. */
  fail(end: Parameters<LineEvents["ended"]>[0]): void {
    if (this.#client === "ended") return;
    this.#clientGone();
    this.#parts.life.do(() => this.#parts.events.ended(end));
  }

  text(text: string): void {
    this.#weather();
    this.#carry(this.#down, text, () => {
      if (this.#client === "open" || this.#client === "closing")
        this.#parts.life.do(() => {
          if (this.#client !== "ended") this.#parts.events.text(text);
        });
    });
  }

  /** The object's close frame, or its answer to ours. */
  closeFromEdge(code: number, reason: string): void {
    this.#carry(this.#down, `close ${code}`, () => {
      if (this.#client === "ended") return;
      const asked = this.#client === "closing";
      this.#parts.life.do(() => {
        if (this.#client === "ended") return;
        this.#client = "ended";
        // The process answers a close frame by itself.
        if (!asked) this.#carry(this.#up, `close ${code}`, () => this.#hangUp(code, reason));
        this.#parts.events.ended({ kind: "closed", code, reason });
      });
    });
  }

  // ---- for the weather ----------------------------------------------------------------------------

  /** Both ends hear of it soon; what was under way is lost. */
  cut(): void {
    const { kernel, life, events } = this.#parts;
    this.silence();
    kernel.after(this.#takes(), `${this.#parts.name}: the edge sees the cut`, () =>
      this.#toldServer(),
    );
    if (this.#client === "ended") return;
    kernel.after(this.#takes(), `${this.#parts.name} is cut`, () => {
      if (this.#client === "ended") return;
      const opening = this.#client === "opening";
      this.#client = "ended";
      life.do(() =>
        events.ended(
          opening
            ? { kind: "failed", message: "the connection was reset" }
            : { kind: "closed", code: ABNORMAL, reason: "" },
        ),
      );
    });
  }

  /** Half-open: nobody is told. */
  silence(): void {
    this.#up.silent = true;
    this.#down.silent = true;
    this.#unseen();
  }

  /** No byte moves for `ms`; a connection that held out goes on then. */
  stall(ms: number): void {
    if (ms > HOLDS_OUT_MS) this.silence();
    const until = this.#parts.kernel.now + ms;
    this.#up.stalledUntil = until;
    this.#down.stalledUntil = until;
  }

  // ---- inside -------------------------------------------------------------------------------------

  #carry(pipe: Pipe, what: string, arrive: () => void): void {
    const arrow = pipe === this.#up ? ">" : "<";
    pipe.carry(this.#takes(), `${this.#parts.name} ${arrow}`, () => {
      this.#parts.kernel.tell(() => `${this.#parts.name} ${arrow} ${what.slice(0, 200)}`);
      arrive();
    });
  }

  /** The process has let go: the edge sees it, or finds out much later. */
  #clientGone(): void {
    if (this.#client === "ended") return;
    this.#client = "ended";
    if (this.#up.silent || this.#parts.faults.strikes("socket: end unseen")) this.#unseen();
    else this.#carry(this.#up, "gone", () => this.#toldServer());
  }

  #unseen(): void {
    const ms = this.#parts.random.between(UNSEEN_MS.least, UNSEEN_MS.most);
    this.#parts.kernel.after(ms, `${this.#parts.name}: the edge gives up`, () =>
      this.#toldServer(),
    );
  }

  #toldServer(): void {
    this.#hangUp(ABNORMAL, "");
  }

  #hangUp(code: number, reason: string): void {
    if (this.#serverTold) return;
    this.#serverTold = true;
    this.#parts.gone();
    this.server?.hungUp(code, reason);
  }

  #weather(): void {
    const { faults } = this.#parts;
    if (faults.strikes("socket: cut at a frame")) this.cut();
    else if (faults.strikes("socket: half-open at a frame")) this.silence();
  }

  #takes(): number {
    const { faults, random } = this.#parts;
    const { least, most } = faults.strikes("socket: frame late") ? LATE_MS : TAKES_MS;
    return random.between(least, most);
  }
}
