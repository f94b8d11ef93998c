/** A WebSocket of the tunnel on one to the app's container: messages both ways, at their reader's pace. */
import type { IncomingMessage } from "node:http";
import WebSocket from "ws";
import {
  MESSAGE_BYTES,
  type RequestHead,
  type StreamEvents,
  StreamReset,
  type TunnelStream,
} from "../../shared/tunnel/index.ts";
import { Inbox } from "./inbox.ts";
import { handshakeHeaders } from "./proxy-headers.ts";
import { passOn, refusalOf, type Upstream } from "./proxy-request.ts";

/** Milliseconds for connection and handshake. */
const HANDSHAKE_MS = 30_000;
/** Bytes of messages from the app that wait for credit, above which it is not read. */
const WAITING_BYTES = 256 * 1024;
/** RFC 6455 section 7.4.1. */
const NORMAL = 1000;
const NO_STATUS = 1005;
const ABNORMAL = 1006;
const TOO_LARGE = 1009;

type Item =
  | { kind: "message"; message: string | Uint8Array; taken: () => void }
  | { kind: "close"; code: number; reason: string };

/** @returns what is to be told of the stream; messages of the app go out on it */
export function proxySocket(
  upstream: Upstream,
  stream: TunnelStream,
  head: RequestHead,
): StreamEvents {
  const inbox = new Inbox<Item>();
  const over = new AbortController();
  bridge(upstream, stream, head, inbox, over.signal).catch((error: unknown) => {
    if (!(error instanceof StreamReset))
      stream.reset("unreachable", error instanceof Error ? error.message : String(error));
  });
  return {
    message: (message, taken) => inbox.push({ kind: "message", message, taken }),
    close: (code, reason) => inbox.push({ kind: "close", code, reason }),
    reset: () => {
      over.abort();
      inbox.end();
    },
  };
}

async function bridge(
  upstream: Upstream,
  stream: TunnelStream,
  head: RequestHead,
  inbox: Inbox<Item>,
  signal: AbortSignal,
): Promise<void> {
  const address = await upstream.where();
  if (signal.aborted) return;
  if (address === null) throw new Error("its container does not run");
  const { headers, protocols } = handshakeHeaders(head.headers);
  const url = new URL(`ws://${address}:${upstream.port}`);
  const socket = new WebSocket(`${url.origin}${head.target}`, protocols, {
    headers,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES,
    handshakeTimeout: HANDSHAKE_MS,
  });
  signal.addEventListener("abort", () => socket.terminate(), { once: true });
  let state: "opening" | "open" | "refused" = "opening";
  let failure: Error | null = null;
  socket.on("open", () => {
    state = "open";
    stream.answer({ upgraded: true, protocol: socket.protocol || null });
    void toApp(inbox, socket);
  });
  socket.on("unexpected-response", (_request, response: IncomingMessage) => {
    state = "refused";
    void refuse(response, stream).finally(() => socket.terminate());
  });
  socket.on("error", (error) => {
    failure ??= error;
  });
  fromApp(socket, stream);
  socket.on("close", (code, reason) => {
    inbox.end();
    if (state === "opening")
      stream.reset("unreachable", failure?.message ?? "the app closed the connection");
    else if (state === "open") close(stream, closeOf(code, failure), reason.toString());
  });
}

/** Messages of the app, in their order; it is not read while many wait. */
function fromApp(socket: WebSocket, stream: TunnelStream): void {
  let waiting = 0;
  socket.on("message", (data: Buffer, isBinary) => {
    waiting += data.length;
    if (waiting > WAITING_BYTES) socket.pause();
    stream
      .send(isBinary ? data : data.toString())
      .catch(() => socket.terminate())
      .finally(() => {
        waiting -= data.length;
        if (waiting <= WAITING_BYTES / 2) socket.resume();
      });
  });
}

/** Messages for the app, each once the one before is on its way. */
async function toApp(inbox: Inbox<Item>, socket: WebSocket): Promise<void> {
  for await (const item of inbox) {
    if (item.kind === "close") {
      closeSocket(socket, item.code, item.reason);
      continue;
    }
    await new Promise<void>((resolve) => socket.send(item.message, () => resolve()));
    item.taken();
  }
}

/** Passes the app's plain answer on. */
async function refuse(response: IncomingMessage, stream: TunnelStream): Promise<void> {
  try {
    const answer = refusalOf(response);
    stream.answer(answer);
    await passOn(response, answer.body, stream);
  } catch (error) {
    if (!(error instanceof StreamReset)) stream.reset("broken", "the app broke off its answer");
  }
}

function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // A code that may not be sent.
    socket.close(NORMAL);
  }
}

/** What the client is told; null for a cut. */
function closeOf(code: number, failure: Error | null): number | null {
  const tooLarge =
    failure !== null && "code" in failure && failure.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH";
  if (tooLarge) return TOO_LARGE;
  if (code === NO_STATUS) return NORMAL;
  return code === ABNORMAL ? null : code;
}

function close(stream: TunnelStream, code: number | null, reason: string): void {
  if (code === null) stream.reset("broken", "the app's WebSocket was cut");
  else stream.close(code, reason).catch(() => {});
}
