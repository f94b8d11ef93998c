/**
 * A WebSocket to the edge with a heartbeat: the literal `ping` is answered with `pong` without waking the object.
 * A connection over which nothing comes back any more (half-open) is ended.
 */
import { PING_INTERVAL_MS, SUSPECT_AFTER_MS } from "../shared/limits.ts";
import { PING, PONG } from "../shared/protocol.ts";
import type { Clock, Line, LineEnd, LineEvents, Net } from "./ports.ts";

/** Milliseconds without an answer to a ping after which the connection is dead: before the edge calls us suspect. */
const DEAD_AFTER_MS = SUSPECT_AFTER_MS - PING_INTERVAL_MS;
/** Milliseconds the other side has to answer a close: shorter than an ending agent waits. */
const CLOSE_MS = 5_000;

export type SocketEvents = LineEvents & {
  pinged?(): void;
  answered?(): void;
};

export class Socket {
  readonly #clock: Clock;
  readonly #events: SocketEvents;
  readonly #line: Line;
  /** Why we ended it ourselves, when we did. */
  #end: LineEnd | null = null;
  #nextPing: (() => void) | null = null;
  #dead: (() => void) | null = null;
  #overdue: (() => void) | null = null;
  #ended = false;

  constructor(
    { clock, net }: { clock: Clock; net: Pick<Net, "dial"> },
    url: URL,
    bearer: string,
    events: SocketEvents,
  ) {
    this.#clock = clock;
    this.#events = events;
    this.#line = net.dial(url, bearer, {
      opened: () => events.opened(),
      text: (text) => this.#text(text),
      bytes: (data) => {
        this.#alive();
        events.bytes?.(data);
      },
      ended: (end) => this.#finish(this.#end ?? end),
    });
  }

  /** Begins to ping; a missing answer ends the connection. */
  startHeartbeat(): void {
    this.#ping();
    this.#nextPing = this.#clock.after(PING_INTERVAL_MS, () => this.startHeartbeat());
  }

  /** False when the connection is not open: the frame is for the next one. */
  send(data: string | Uint8Array): boolean {
    return this.#line.send(data);
  }

  /** Settles when it takes more; null when it does now. */
  room(): Promise<void> | null {
    return this.#line.room();
  }

  /** Takes leave; a close that is not answered in time ends the connection all the same. */
  close(code = 1000, reason = ""): void {
    if (this.#ended) return;
    this.#stopHeartbeat();
    this.#overdue ??= this.#clock.after(CLOSE_MS, () => {
      this.#end ??= { kind: "failed", message: "the close was not answered" };
      this.terminate();
    });
    this.#line.close(code, reason);
  }

  /** Ends the connection at once, without a word: what a cut looks like to the other side. */
  terminate(): void {
    this.#line.terminate();
  }

  #ping(): void {
    if (!this.send(PING)) return;
    this.#events.pinged?.();
    this.#dead ??= this.#clock.after(DEAD_AFTER_MS, () => {
      this.#end ??= { kind: "failed", message: "the connection went silent" };
      this.terminate();
    });
  }

  #text(text: string): void {
    if (text === PING) this.send(PONG);
    else if (text === PONG) {
      this.#alive();
      this.#events.answered?.();
    } else this.#events.text(text);
  }

  /** Something came: on a busy line the answer to a ping waits behind all the rest. */
  #alive(): void {
    this.#dead?.();
    this.#dead = null;
  }

  #finish(end: LineEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopHeartbeat();
    this.#overdue?.();
    this.#events.ended(end);
  }

  #stopHeartbeat(): void {
    this.#nextPing?.();
    this.#dead?.();
  }
}

/** What an operator reads of a connection's end. */
export function describeEnd(end: LineEnd): string {
  if (end.kind === "failed") return end.message;
  if (end.kind === "refused") return end.refusal.message;
  if (end.code === 1006) return "the connection was cut";
  return `closed with ${end.code}${end.reason ? ` (${end.reason})` : ""}`;
}
