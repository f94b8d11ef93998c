/**
 * One end of the tunnel over one WebSocket (spec apps.md, "Ingress"): many streams, each with its own credit, so that a
 * slow reader holds nobody up and no end keeps more than it gave credit for. Pure: it is given a way to send.
 */
import { CreditShare } from "./credit.ts";
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  FrameError,
  isSilent,
  type OpenHead,
} from "./frames.ts";
import { TUNNEL_STREAMS } from "./limits.ts";
import { type StreamEvents, TunnelStream } from "./stream.ts";

export type TunnelPorts = {
  /** Sends one binary message. Throws when the socket is closed. */
  send(frame: Uint8Array): void;
  /** Settles when the socket has room; at once where nobody can tell. */
  room(): Promise<void> | null;
};

/** Takes a stream that the other end opened; answers on it, and hears what comes. */
export type Opened = (stream: TunnelStream, head: OpenHead) => StreamEvents;

export class Tunnel {
  readonly #ports: TunnelPorts;
  /** Told of each stream that the other end opens; null at the end that opens them. */
  readonly #opened: Opened | null;
  readonly #streams = new Map<number, TunnelStream>();
  readonly #share = new CreditShare();
  #last = 0;
  /** Who writes next: streams take turns, a frame each. */
  #turns: Promise<void> = Promise.resolve();

  constructor(ports: TunnelPorts, opened: Opened | null) {
    this.#ports = ports;
    this.#opened = opened;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** Asks something of the other end; null when as much is asked already as it takes. Throws FrameError for a head beyond the limits. */
  open(head: OpenHead, events: StreamEvents): TunnelStream | null {
    if (this.#streams.size >= TUNNEL_STREAMS) return null;
    const frame = encodeFrame({ t: "open", stream: this.#last + 1, head });
    const stream = this.#add(++this.#last, () => events, isSilent(head));
    this.#ports.send(frame);
    return stream;
  }

  /** Takes one message of the socket. Throws FrameError: close the socket then, the other end breaks the rules. */
  receive(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (frame?.t === "open") this.#open(frame);
    else if (frame?.t === "fresh") this.#begin();
    else if (frame !== null) this.#pass(frame);
  }

  #pass(frame: Frame): void {
    // What was under way when a stream ended means nothing any more.
    const stream = this.#streams.get(frame.stream);
    if (stream !== undefined) stream.receive(frame);
    else if (frame.stream > this.#last) throw new FrameError(`${frame.t} of a stream never opened`);
  }

  /** Tells the other end that this one knows of no streams: once, on a socket that may have carried some before. */
  begin(): void {
    this.#send({ t: "fresh", stream: 0 });
  }

  #begin(): void {
    if (this.#opened === null) throw new FrameError("this end begins");
    this.cut("the edge began anew");
    this.#last = 0;
  }

  /** The socket is gone: every stream fails. */
  cut(message: string): void {
    for (const stream of [...this.#streams.values()]) stream.fail("broken", message, true);
  }

  #open({ stream: id, head }: Extract<Frame, { t: "open" }>): void {
    if (this.#opened === null) throw new FrameError("this end opens the streams");
    if (id <= this.#last) throw new FrameError("a stream's number was used before");
    this.#last = id;
    if (this.#streams.size >= TUNNEL_STREAMS) {
      this.#send({ t: "reset", stream: id, code: "refused", message: "too many streams" });
      return;
    }
    const heard: { events: StreamEvents } = { events: { reset: () => {} } };
    const stream = this.#add(id, () => heard.events, false);
    heard.events = this.#opened(stream, head);
    if (isSilent(head)) stream.receive({ t: "end", stream: id });
  }

  #add(id: number, events: () => StreamEvents, silent: boolean): TunnelStream {
    const stream = new TunnelStream(
      id,
      {
        send: (frame) => this.#send(frame),
        turn: () => this.#turn(),
        share: this.#share,
        over: () => {
          this.#streams.delete(id);
          this.#share.release(id);
        },
      },
      events,
      silent,
    );
    this.#streams.set(id, stream);
    return stream;
  }

  #send(frame: Frame): void {
    this.#ports.send(encodeFrame(frame));
  }

  #turn(): Promise<void> {
    const turn = this.#turns.then(() => this.#ports.room() ?? undefined);
    this.#turns = turn;
    return turn;
  }
}
