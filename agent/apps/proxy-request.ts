/** One HTTP request from the tunnel to an app's container, and its answer back, each at its reader's pace. */
import { type Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import type {
  RequestHead,
  ResponseHead,
  StreamEvents,
  TunnelStream,
} from "../../shared/tunnel/index.ts";
import { StreamReset } from "../../shared/tunnel/index.ts";
import { Inbox } from "./inbox.ts";
import { answerHeaders, requestFraming } from "./proxy-headers.ts";

/** Milliseconds for a connection to the container. */
const CONNECT_MS = 5_000;
/** Bytes of an answer's head: what the tunnel has room for as JSON. */
const HEAD_BYTES = 128 * 1024;
/** Headers of an answer: what a head in the tunnel may have. */
const HEADERS = 2_000;
/** Requests that may be sent again on a new connection, when an idle one turned out to be closed (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS"]);
/** Answers without a body, whatever their headers say (RFC 9110 section 6.4.1). */
const BODYLESS = new Set([204, 205, 304]);

/** Where an app is reached. */
export type Upstream = {
  /** Address of its container; null while it does not run. */
  where(): Promise<string | null>;
  port: number;
  /** Its idle connections. */
  agent: Agent;
};

type Piece = { data: Uint8Array; taken: () => void };

/** @returns what is to be told of the stream; the answer goes out on it */
export function proxyRequest(
  upstream: Upstream,
  stream: TunnelStream,
  head: RequestHead,
): StreamEvents {
  const body = new Inbox<Piece>();
  const over = new AbortController();
  const exchange = new Exchange(upstream, head, body, over.signal);
  exchange.run(stream).catch((error: unknown) => {
    over.abort();
    if (!(error instanceof StreamReset))
      stream.reset(exchange.answered ? "broken" : "unreachable", exchange.describe(error));
  });
  return {
    data: (data, taken) => body.push({ data, taken }),
    end: () => body.end(),
    reset: () => {
      over.abort();
      body.end();
    },
  };
}

class Exchange {
  /** The head of an answer went out. */
  answered = false;
  readonly #upstream: Upstream;
  readonly #head: RequestHead;
  readonly #body: Inbox<Piece>;
  readonly #signal: AbortSignal;

  constructor(upstream: Upstream, head: RequestHead, body: Inbox<Piece>, signal: AbortSignal) {
    this.#upstream = upstream;
    this.#head = head;
    this.#body = body;
    this.#signal = signal;
  }

  async run(stream: TunnelStream): Promise<void> {
    // Node makes a tunnel of its own of it.
    if (this.#head.method === "CONNECT") throw new Error("CONNECT is no request to an app");
    const address = await this.#upstream.where();
    if (address === null) throw new Error("its container does not run");
    const response = await this.#ask(address);
    const answer = answerOf(response, this.#head.method);
    stream.answer(answer);
    this.answered = true;
    await passOn(response, answer.body, stream);
  }

  describe(error: unknown): string {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const { port } = this.#upstream;
    if (code === "ECONNREFUSED") return `nothing listens on port ${port}`;
    if (code === "HPE_HEADER_OVERFLOW") return "the head of its answer is too large";
    if (code.startsWith("HPE_")) return `what listens on port ${port} does not speak HTTP`;
    if (code === "ECONNRESET") return "the app closed the connection";
    return error instanceof Error ? error.message : String(error);
  }

  /** Whether an idle connection may carry it: what cannot be sent again gets one of its own. */
  get #mayReuse(): boolean {
    return !this.#head.body && IDEMPOTENT.has(this.#head.method);
  }

  async #ask(address: string): Promise<IncomingMessage> {
    const first = this.#send(address, this.#mayReuse);
    try {
      return await this.#response(first);
    } catch (error) {
      const closed = error instanceof Error && "code" in error && error.code === "ECONNRESET";
      if (!closed || !first.reusedSocket || this.#signal.aborted) throw error;
      return this.#response(this.#send(address, false));
    }
  }

  #send(address: string, reuse: boolean): ClientRequest {
    const { method, target, body } = this.#head;
    const { raw, length } = requestFraming(this.#head, `${address}:${this.#upstream.port}`);
    const sending = request({
      host: address,
      port: this.#upstream.port,
      method,
      path: target,
      headers: raw,
      setHost: false,
      agent: reuse ? this.#upstream.agent : false,
      maxHeaderSize: HEAD_BYTES,
      signal: this.#signal,
    });
    sending.maxHeadersCount = HEADERS;
    limitConnecting(sending);
    if (body) void this.#pump(sending, length);
    else sending.end();
    return sending;
  }

  #response(sending: ClientRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      sending.on("response", resolve);
      // Behind the answer, its own end tells.
      sending.on("error", reject);
      sending.on("close", () =>
        reject(new Error("the app closed the connection without an answer")),
      );
    });
  }

  /** Sends the body; what the app does not want any more is dropped. Never throws. */
  async #pump(sending: ClientRequest, length: number | null): Promise<void> {
    let sent = 0;
    for await (const { data, taken } of this.#body) {
      sent += data.length;
      if (length !== null && sent > length) sending.destroy(new Error(WRONG_LENGTH));
      if (!sending.destroyed && !sending.write(data)) await drained(sending);
      taken();
    }
    if (this.#signal.aborted || sending.destroyed) return;
    if (length !== null && sent < length) sending.destroy(new Error(WRONG_LENGTH));
    else sending.end();
  }
}

const WRONG_LENGTH = "the body is not as long as its Content-Length";

function answerOf(response: IncomingMessage, method: string): ResponseHead {
  const { statusCode: status = 0, rawHeaders } = response;
  if (status < 200 || status > 599) throw new Error(`the app answered with the status ${status}`);
  const bodyless =
    method === "HEAD" || BODYLESS.has(status) || response.headers["content-length"] === "0";
  return { status, headers: answerHeaders(rawHeaders), body: !bodyless };
}

/** Sends an answer's body, as fast as it is read. */
export async function passOn(
  response: IncomingMessage,
  hasBody: boolean,
  stream: TunnelStream,
): Promise<void> {
  if (!hasBody) {
    response.resume();
    return;
  }
  for await (const chunk of response as AsyncIterable<Buffer>) await stream.write(chunk);
  await stream.end();
}

/** The head of an answer to a WebSocket's handshake that is none. */
export function refusalOf(response: IncomingMessage): ResponseHead {
  return answerOf(response, "GET");
}

function limitConnecting(sending: ClientRequest): void {
  sending.once("socket", (socket) => {
    if (!socket.connecting) return;
    const late = setTimeout(() => {
      sending.destroy(new Error(`no connection to the app in ${CONNECT_MS / 1000} s`));
    }, CONNECT_MS);
    const stop = () => clearTimeout(late);
    socket.once("connect", stop);
    socket.once("close", stop);
  });
}

/** Settles when more may be written, or nothing more can be. */
function drained(sending: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      sending.off("drain", go);
      sending.off("close", go);
      resolve();
    };
    sending.once("drain", go);
    sending.once("close", go);
    if (sending.destroyed) go();
  });
}
