/** Opens a WebSocket to the edge, and tells the edge's own refusal from whatever else may answer. */
import type { IncomingMessage } from "node:http";
import WebSocket from "ws";
import { FRAME_BYTES } from "../shared/limits.ts";
import { TUNNEL_MESSAGE_BYTES } from "../shared/tunnel/index.ts";
import { refusalOf } from "./edge.ts";
import { Latch } from "./latch.ts";
import type { Line, LineEnd, LineEvents } from "./ports.ts";

/** Milliseconds for TCP, TLS and the upgrade. */
const HANDSHAKE_MS = 10_000;
/** Bytes of a refusal's body that are read. */
const BODY_BYTES = 64 * 1024;
/** Bytes that wait to be sent, above which there is no room for more. */
const WAITING_BYTES = 1024 * 1024;

export function dial(url: URL, bearer: string, events: LineEvents): Line {
  let end: LineEnd | null = null;
  const sent = new Latch();
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${bearer}` },
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: Math.max(FRAME_BYTES, TUNNEL_MESSAGE_BYTES),
    perMessageDeflate: false,
    followRedirects: false,
  });
  socket.on("open", () => {
    socket.on("message", (data, isBinary) => {
      if (!isBinary) events.text(data.toString());
      else events.bytes?.(data as Buffer);
    });
    events.opened();
  });
  socket.on("unexpected-response", (_request, response) =>
    readRefusal(response, (refused) => {
      end ??= refused;
      socket.terminate();
    }),
  );
  socket.on("error", (error) => {
    end ??= { kind: "failed", message: error.message || String(error) };
  });
  // ws reports a failed handshake as an error and then as 1006.
  socket.on("close", (code, reason) => {
    sent.open();
    events.ended(end ?? { kind: "closed", code, reason: reason.toString() });
  });
  const isFull = () =>
    socket.readyState === WebSocket.OPEN && socket.bufferedAmount > WAITING_BYTES;
  return {
    send(data) {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send(data, () => sent.open());
      return true;
    },
    room() {
      if (!isFull()) return null;
      return (async () => {
        while (isFull()) await sent.wait();
      })();
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  };
}

function readRefusal(response: IncomingMessage, then: (end: LineEnd) => void): void {
  const parts: Buffer[] = [];
  let size = 0;
  const finish = () => {
    const refusal = refusalOf({
      status: response.statusCode ?? 0,
      type: response.headers["content-type"] ?? "",
      body: Buffer.concat(parts).toString("utf8"),
    });
    then(
      refusal
        ? { kind: "refused", refusal }
        : { kind: "failed", message: `HTTP ${response.statusCode} instead of a WebSocket` },
    );
  };
  response.on("data", (part: Buffer) => {
    if (size < BODY_BYTES) parts.push(part);
    size += part.length;
  });
  response.on("end", finish);
  response.on("error", finish);
  response.setTimeout(HANDSHAKE_MS, finish);
}
