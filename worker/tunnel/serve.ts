/** One HTTP request through a tunnel to an app's container, and its answer back. */
import type {
  AnswerHead,
  ResetCode,
  ResponseHead,
  StreamEvents,
  Tunnel,
  TunnelStream,
} from "../../shared/tunnel/index.ts";
import { BodyReader, sendBody } from "./bodies.ts";
import { type Arrival, requestHeaders, responseHeaders } from "./headers.ts";
import { bridge } from "./sockets.ts";

/** Answers that have no body, whatever their headers say (RFC 9110 section 6.4.1). */
const BODYLESS = new Set([204, 205, 304]);

/** Why there is no answer. `safe`: nothing reached the app, so another replica may be asked. */
export class Unanswered extends Error {
  readonly code: ResetCode;
  readonly safe: boolean;
  constructor(code: ResetCode, message: string) {
    super(message);
    this.name = "Unanswered";
    this.code = code;
    this.safe = code === "refused";
  }
}

/**
 * @param target path and query as the app is to see them
 * @throws Unanswered before the head of an answer came; later the body fails
 */
export async function serve(
  tunnel: Tunnel,
  request: Request,
  target: string,
  arrival: Arrival,
): Promise<Response> {
  const upgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  const answered = Promise.withResolvers<AnswerHead>();
  const body = new BodyReader(() => stream?.reset("cancelled", "the client went away"));
  let events: StreamEvents = {
    head: answered.resolve,
    data: (data, taken) => body.data(data, taken),
    end: () => body.end(),
    reset: (code, message) => {
      const error = new Unanswered(code, message);
      answered.reject(error);
      body.fail(error);
    },
  };
  const stream: TunnelStream | null = tunnel.open(
    {
      kind: "request",
      method: request.method,
      target,
      headers: requestHeaders(request.headers, arrival),
      body: request.body !== null && !upgrade,
      upgrade,
    },
    {
      head: (head) => events.head?.(head),
      data: (data, taken) => events.data?.(data, taken),
      end: () => events.end?.(),
      message: (message, taken) => events.message?.(message, taken),
      close: (code, reason) => events.close?.(code, reason),
      reset: (code, message) => events.reset(code, message),
    },
  );
  if (stream === null) throw new Unanswered("refused", "too many requests are under way");
  const gone = () => stream.reset("cancelled", "the client went away", true);
  request.signal.addEventListener("abort", gone, { once: true });
  if (request.body !== null && !upgrade) void sendBody(request.body, stream);
  const head = await answered.promise;
  if ("upgraded" in head) {
    const { 0: client, 1: server } = new WebSocketPair();
    server.binaryType = "arraybuffer";
    server.accept();
    events = bridge(server, stream);
    const headers = new Headers();
    if (head.protocol !== null) headers.set("sec-websocket-protocol", head.protocol);
    return new Response(null, { status: 101, webSocket: client, headers });
  }
  // A handshake that was refused: nothing follows it.
  if (upgrade) stream.end().catch(() => {});
  const bodyless = !head.body || BODYLESS.has(head.status) || request.method === "HEAD";
  return new Response(bodyless ? null : sized(body.stream, head.headers), {
    status: head.status,
    headers: responseHeaders(head.headers),
    // What the app encoded is passed on as it is.
    encodeBody: "manual",
  });
}

/** A body whose length is known keeps it: workerd would send any other in chunks. One that ends early fails. */
function sized(
  body: ReadableStream<Uint8Array>,
  headers: ResponseHead["headers"],
): ReadableStream<Uint8Array> {
  const length = headers.find(([name]) => name.toLowerCase() === "content-length")?.[1];
  if (length === undefined || !/^\d{1,15}$/.test(length)) return body;
  return body.pipeThrough(new FixedLengthStream(Number(length)));
}
