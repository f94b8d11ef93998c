/** Opens a WebSocket to the edge, and tells the edge's own refusal from whatever else may answer. */
import type { IncomingMessage } from "node:http";
import WebSocket from "ws";
import { FRAME_BYTES } from "../shared/limits.ts";
import { refusalOf } from "./edge.ts";
import type { Line, LineEnd, LineEvents } from "./ports.ts";

/** Milliseconds for TCP, TLS and the upgrade. */
const HANDSHAKE_MS = 10_000;
/** Bytes of a refusal's body that are read. */
const BODY_BYTES = 64 * 1024;

export function dial(url: URL, bearer: string, events: LineEvents): Line {
  let end: LineEnd | null = null;
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${bearer}` },
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: FRAME_BYTES,
    perMessageDeflate: false,
    followRedirects: false,
  });
  socket.on("open", () => {
    socket.on("message", (data, isBinary) => {
      if (!isBinary) events.text(data.toString());
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
  socket.on("close", (code, reason) =>
    events.ended(end ?? { kind: "closed", code, reason: reason.toString() }),
  );
  return {
    send(text) {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send(text);
      return true;
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
