/** The edge's end of a tunnel in memory, as a client of what the agent's end serves. */
import {
  type AnswerHead,
  type LogsHead,
  type OpenHead,
  type RequestHead,
  type StreamEvents,
  Tunnel,
  type TunnelStream,
} from "../../shared/tunnel/index.ts";

export type Answered = {
  head: AnswerHead;
  /** Ends with the answer; throws what it was reset with. */
  body: AsyncIterable<Uint8Array>;
  stream: TunnelStream;
  /** Messages and the close of a WebSocket. */
  messages: AsyncIterable<string | Uint8Array | { code: number; reason: string }>;
};

export type Asked = Partial<Omit<RequestHead, "kind">> & { send?: AsyncIterable<Uint8Array> };

/** Asks at the edge's end of a tunnel. */
export class TunnelClient {
  readonly edge: Tunnel;
  /** The most bytes of answers that waited for their readers at once. */
  most = 0;
  #held = 0;

  constructor(edge: Tunnel) {
    this.edge = edge;
  }

  /** Asks for a log. */
  logs(head: Partial<Omit<LogsHead, "kind">>): Promise<Answered> {
    return this.#open({ kind: "logs", since: null, tail: null, follow: false, ...head });
  }

  /** Settles with the head of the answer; rejects with the code and message of a reset before it. */
  async ask({ send, ...head }: Asked): Promise<Answered> {
    const body = send !== undefined;
    const blank = { method: "GET", target: "/", headers: [], upgrade: false };
    const opened = this.#open({ kind: "request", ...blank, body, ...head }, send);
    return opened;
  }

  #open(head: OpenHead, send?: AsyncIterable<Uint8Array>): Promise<Answered> {
    const answered = Promise.withResolvers<Answered>();
    const body = queue<{ data: Uint8Array; taken: () => void }>();
    const messages = queue<{
      message: string | Uint8Array | { code: number; reason: string };
      taken: () => void;
    }>();
    const stream = this.edge.open(head, {
      head: (head) => {
        const reader = this.#reading(body.items);
        if (stream !== null)
          answered.resolve({ head, body: reader, stream, messages: told(messages.items) });
      },
      data: (data, taken) => {
        this.#held += data.length;
        this.most = Math.max(this.most, this.#held);
        body.push({ data: data.slice(), taken });
      },
      end: () => body.end(),
      message: (message, taken) => messages.push({ message, taken }),
      close: (code, reason) => {
        messages.push({ message: { code, reason }, taken: () => {} });
        messages.end();
      },
      reset: (code, message) => {
        const error = new Error(`${code}: ${message}`);
        answered.reject(error);
        body.end(error);
        messages.end(error);
      },
    });
    if (stream === null) throw new Error("the tunnel is full");
    void upload(stream, send);
    return answered.promise;
  }

  async *#reading(
    items: AsyncIterable<{ data: Uint8Array; taken: () => void }>,
  ): AsyncGenerator<Uint8Array> {
    for await (const { data, taken } of items) {
      yield data;
      this.#held -= data.length;
      taken();
    }
  }
}

/** Both ends on a wire that delivers in order, and later. */
export function tunnelPair(
  serve: (stream: TunnelStream, head: OpenHead) => StreamEvents,
): TunnelClient & { agent: Tunnel } {
  const wire: { to: Tunnel; bytes: Uint8Array }[] = [];
  let delivering = false;
  const post = (to: () => Tunnel) => (bytes: Uint8Array) => {
    wire.push({ to: to(), bytes: bytes.slice() });
    if (delivering) return;
    delivering = true;
    setImmediate(() => {
      delivering = false;
      for (const { to, bytes } of wire.splice(0)) to.receive(bytes);
    });
  };
  const edge: Tunnel = new Tunnel({ send: post(() => agent), room: () => null }, null);
  const agent: Tunnel = new Tunnel({ send: post(() => edge), room: () => null }, serve);
  return Object.assign(new TunnelClient(edge), { agent });
}

async function upload(stream: TunnelStream, send?: AsyncIterable<Uint8Array>): Promise<void> {
  if (send === undefined) return;
  try {
    for await (const chunk of send) await stream.write(chunk);
    await stream.end();
  } catch {
    // The reset is told with the answer.
  }
}

async function* told<T>(
  items: AsyncIterable<{ message: T; taken: () => void }>,
): AsyncGenerator<T> {
  for await (const { message, taken } of items) {
    yield message;
    taken();
  }
}

/** Items in their order, to one reader; an error comes behind them. */
function queue<T>() {
  const waiting: T[] = [];
  let ended = false;
  let failure: Error | null = null;
  let wake = () => {};
  async function* items(): AsyncGenerator<T> {
    for (;;) {
      const item = waiting.shift();
      if (item !== undefined) yield item;
      else if (failure !== null) throw failure;
      else if (ended) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  return {
    items: items(),
    push(item: T) {
      waiting.push(item);
      wake();
    },
    end(error: Error | null = null) {
      ended = true;
      failure = error;
      wake();
    },
  };
}
