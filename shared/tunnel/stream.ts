/** One request and its answer in the tunnel: two directions, each with a credit of its own. */
import { closing } from "./closing.ts";
import type { CreditShare } from "./credit.ts";
import {
  type AnswerHead,
  type Frame,
  FrameError,
  messageFrames,
  type ResetCode,
} from "./frames.ts";
import { DATA_BYTES, FIRST_CREDIT, MESSAGE_BYTES } from "./limits.ts";

/** What happens on a stream, told in order. Nothing comes after `reset`, nor after both directions have ended. */
export type StreamEvents = {
  head?(head: AnswerHead): void;
  /** Call `taken` once the bytes are somebody else's: they may be the socket's own buffer until then. */
  data?(data: Uint8Array, taken: () => void): void;
  end?(): void;
  /** A whole WebSocket message; call `taken` once it is somebody else's. */
  message?(message: string | Uint8Array, taken: () => void): void;
  close?(code: number, reason: string): void;
  reset(code: ResetCode, message: string): void;
};

/** What a stream needs of its socket. */
export type StreamPorts = {
  send(frame: Frame): void;
  /** Settles when the socket takes another frame of data: streams take turns. */
  turn(): Promise<void>;
  share: CreditShare;
  over(stream: TunnelStream): void;
};

/** A stream ended under a writer. */
export class StreamReset extends Error {
  readonly code: ResetCode;
  constructor(code: ResetCode, message: string) {
    super(message);
    this.name = "StreamReset";
    this.code = code;
  }
}

export class TunnelStream {
  readonly id: number;
  readonly #ports: StreamPorts;
  readonly #events: () => StreamEvents;
  #credit = FIRST_CREDIT;
  #waiting: (() => void) | null = null;
  /** Bytes received that the other end was not given back. */
  #unreturned = 0;
  /** Bytes that the other end may still send. */
  #granted = FIRST_CREDIT;
  /** The most that both come to. */
  #window = FIRST_CREDIT;
  #fragments: Uint8Array[] = [];
  /** Bytes of a message that is not whole yet. */
  #heldBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #sentEnd: boolean;
  #gotEnd = false;
  #failure: StreamReset | null = null;

  /** `silent`: this side sends no bytes, so its direction has ended already. */
  constructor(id: number, ports: StreamPorts, events: () => StreamEvents, silent: boolean) {
    this.id = id;
    this.#ports = ports;
    this.#events = events;
    this.#sentEnd = silent;
  }

  /** Whether nothing will happen any more. */
  get over(): boolean {
    return this.#failure !== null || (this.#sentEnd && this.#gotEnd);
  }

  // ---- sending --------------------------------------------------------------------------------------

  answer(head: AnswerHead): void {
    if (this.#failure !== null) return;
    this.#ports.send({ t: "head", stream: this.id, head });
    if (!("upgraded" in head) && !head.body) this.#endSending();
  }

  /** Settles when the bytes are on their way; writes keep their order. Throws StreamReset. */
  write(data: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      for (let at = 0; at < data.length; ) {
        const room = await this.#room(Math.min(DATA_BYTES, data.length - at));
        const part = data.subarray(at, at + room);
        this.#credit -= part.length;
        this.#ports.send({ t: "data", stream: this.id, data: part });
        at += part.length;
      }
    });
  }

  /** Sends a WebSocket message; settles when it is on its way. Throws StreamReset, and FrameError for one too large. */
  send(message: string | Uint8Array): Promise<void> {
    const frames = [...messageFrames(this.id, message)];
    return this.#inTurn(async () => {
      for (const frame of frames) {
        if (frame.t !== "message") continue;
        // An empty message costs a byte, or it would cost nothing to send for ever.
        const cost = Math.max(1, frame.data.length);
        while ((await this.#room(cost)) < cost) await this.#more();
        this.#credit -= cost;
        this.#ports.send(frame);
      }
    });
  }

  /** Ends this direction, after what was written. */
  end(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#sentEnd) return;
      this.#ports.send({ t: "end", stream: this.id });
      this.#endSending();
    });
  }

  /** Ends a WebSocket, after what was sent, with as much of code and reason as may be said. */
  close(code: number, reason: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#sentEnd) return;
      this.#ports.send({ t: "close", stream: this.id, ...closing(code, reason) });
      this.#endSending();
    });
  }

  /** Ends both directions at once; the other end is told, and with `told` the listener here. */
  reset(code: ResetCode, message: string, told = false): void {
    if (this.over) return;
    this.#ports.send({ t: "reset", stream: this.id, code, message });
    this.fail(code, message, told);
  }

  // ---- receiving ------------------------------------------------------------------------------------

  /** Gives the other end `bytes` of credit back: they are kept here no longer. */
  #giveBack(bytes: number): void {
    if (this.#failure !== null || this.#gotEnd) return;
    this.#unreturned -= bytes;
    // Half a window at a time: a frame for each read would be as many as there are reads.
    const owed = this.#window - this.#unreturned - this.#granted;
    if (owed < this.#window / 2) return;
    const more = this.#ports.share.grow(this.id, this.#window);
    this.#window += more;
    this.#granted += owed + more;
    this.#ports.send({ t: "credit", stream: this.id, bytes: owed + more });
  }

  /** Takes a frame of this stream. Throws FrameError when the other end breaks the rules. */
  receive(frame: Frame): void {
    if (this.#failure !== null) return;
    if (frame.t === "credit") this.#credited(frame.bytes);
    else if (frame.t === "reset") this.fail(frame.code, frame.message, true);
    else this.#hear(frame);
  }

  #hear(frame: Frame): void {
    if (this.#gotEnd) throw new FrameError(`${frame.t} after the end`);
    if (frame.t === "head") this.#head(frame.head);
    else if (frame.t === "data") {
      const { data } = frame;
      this.#spend(data.length);
      this.#events().data?.(data, () => this.#giveBack(data.length));
    } else if (frame.t === "message") this.#message(frame);
    else if (frame.t === "end") this.#endReceiving(() => this.#events().end?.());
    else if (frame.t === "close")
      this.#endReceiving(() => this.#events().close?.(frame.code, frame.reason));
  }

  /** Ends both directions without a word to the other end; `told`: the listener hears of it. */
  fail(code: ResetCode, message: string, told: boolean): void {
    if (this.#failure !== null || this.over) return;
    this.#failure = new StreamReset(code, message);
    this.#waiting?.();
    this.#ports.over(this);
    if (told) this.#events().reset(code, message);
  }

  // ---- inside ---------------------------------------------------------------------------------------

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(() => {
      if (this.#failure !== null) throw this.#failure;
      return work();
    });
    this.#writing = done.catch(() => {});
    return done;
  }

  /** Bytes that may be sent now, at least one and at most `wanted`. Throws StreamReset. */
  async #room(wanted: number): Promise<number> {
    for (;;) {
      if (this.#credit > 0) await this.#ports.turn();
      if (this.#failure !== null) throw this.#failure;
      if (this.#credit > 0) return Math.min(wanted, this.#credit);
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    await new Promise<void>((resolve) => {
      this.#waiting = resolve;
    });
    this.#waiting = null;
  }

  #credited(bytes: number): void {
    this.#credit += bytes;
    this.#waiting?.();
  }

  #head(head: AnswerHead): void {
    if (!("upgraded" in head) && !head.body) {
      this.#events().head?.(head);
      this.#endReceiving(() => this.#events().end?.());
    } else this.#events().head?.(head);
  }

  #message({ data, text, more }: Extract<Frame, { t: "message" }>): void {
    const cost = Math.max(1, data.length);
    this.#spend(cost);
    this.#fragments.push(data.slice());
    this.#heldBytes += cost;
    if (this.#heldBytes > MESSAGE_BYTES + 1) throw new FrameError("a message is too large");
    if (more) {
      // A message may be larger than the window: what is kept of it counts against what all share.
      if (this.#ports.share.hold(this.id, cost)) this.#giveBack(cost);
      else this.reset("broken", "too many large messages at once", true);
      return;
    }
    const whole = joined(this.#fragments);
    const shared = this.#heldBytes - cost;
    this.#fragments = [];
    this.#heldBytes = 0;
    this.#events().message?.(text ? TEXT.decode(whole) : whole, () => {
      this.#ports.share.release(this.id, shared);
      this.#giveBack(cost);
    });
  }

  #spend(bytes: number): void {
    this.#unreturned += bytes;
    this.#granted -= bytes;
    if (this.#granted < 0) throw new FrameError("more was sent than there was credit for");
  }

  #endSending(): void {
    this.#sentEnd = true;
    this.#settle();
  }

  #endReceiving(tell: () => void): void {
    this.#gotEnd = true;
    tell();
    this.#settle();
  }

  #settle(): void {
    if (this.#sentEnd && this.#gotEnd) this.#ports.over(this);
  }
}

/** A byte order mark is part of the message. */
const TEXT = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0] as Uint8Array;
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
