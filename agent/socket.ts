/**
 * A WebSocket to the edge with a heartbeat: the literal `ping` is answered with `pong` without waking the object.
 * A connection over which nothing comes back any more (half-open) is ended.
 */
import type { IncomingMessage } from "node:http";
import WebSocket from "ws";
import { FRAME_BYTES, PING_INTERVAL_MS, SUSPECT_AFTER_MS } from "../shared/limits.ts";
import { PING, PONG } from "../shared/protocol.ts";
import { type EdgeRefusal, refusalOf } from "./edge.ts";

/** Milliseconds for TCP, TLS and the upgrade. */
const HANDSHAKE_MS = 10_000;
/** Milliseconds without an answer to a ping after which the connection is dead: before the edge calls us suspect. */
const DEAD_AFTER_MS = SUSPECT_AFTER_MS - PING_INTERVAL_MS;
/** Milliseconds the other side has to answer a close: shorter than an ending agent waits. */
const CLOSE_MS = 5_000;
/** Bytes of a refusal's body that are read. */
const BODY_BYTES = 64 * 1024;

/** How a connection ended. */
export type SocketEnd =
  | { kind: "closed"; code: number; reason: string }
  /** The edge itself refused the upgrade. */
  | { kind: "refused"; refusal: EdgeRefusal }
  /** No connection, or something other than the edge answered. */
  | { kind: "failed"; message: string };

export type SocketEvents = {
  opened(): void;
  text(text: string): void;
  /** Called once, last. */
  ended(end: SocketEnd): void;
  pinged?(): void;
  answered?(): void;
};

export class Socket {
  readonly #socket: WebSocket;
  readonly #events: SocketEvents;
  #end: SocketEnd | null = null;
  #heartbeat: NodeJS.Timeout | undefined;
  #dead: NodeJS.Timeout | undefined;
  #overdue: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(url: URL, bearer: string, events: SocketEvents) {
    this.#events = events;
    this.#socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${bearer}` },
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket.on("open", () => {
      this.#socket.on("message", (data, isBinary) => {
        if (!isBinary) this.#text(data.toString());
      });
      events.opened();
    });
    this.#socket.on("unexpected-response", (_request, response) => this.#refused(response));
    this.#socket.on("error", (error) => {
      this.#end ??= { kind: "failed", message: error.message || String(error) };
    });
    this.#socket.on("close", (code, reason) => {
      // ws reports a failed handshake as an error and then as 1006.
      this.#finish(this.#end ?? { kind: "closed", code, reason: reason.toString() });
    });
  }

  /** Begins to ping; a missing answer ends the connection. */
  startHeartbeat(): void {
    this.#ping();
    this.#heartbeat = setInterval(() => this.#ping(), PING_INTERVAL_MS);
  }

  /** False when the connection is not open: the frame is for the next one. */
  send(text: string): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** Takes leave; a close that is not answered in time ends the connection all the same. */
  close(code = 1000, reason = ""): void {
    if (this.#ended) return;
    this.#stopHeartbeat();
    this.#overdue ??= setTimeout(() => {
      this.#end ??= { kind: "failed", message: "the close was not answered" };
      this.terminate();
    }, CLOSE_MS);
    this.#socket.close(code, reason);
  }

  /** Ends the connection at once, without a word: what a cut looks like to the other side. */
  terminate(): void {
    this.#socket.terminate();
  }

  #ping(): void {
    if (!this.send(PING)) return;
    this.#events.pinged?.();
    this.#dead ??= setTimeout(() => {
      this.#end ??= { kind: "failed", message: "the connection went silent" };
      this.terminate();
    }, DEAD_AFTER_MS);
  }

  #text(text: string): void {
    if (text === PING) this.send(PONG);
    else if (text === PONG) {
      clearTimeout(this.#dead);
      this.#dead = undefined;
      this.#events.answered?.();
    } else this.#events.text(text);
  }

  #refused(response: IncomingMessage): void {
    const parts: Buffer[] = [];
    let size = 0;
    const finish = () => {
      const refusal = refusalOf({
        status: response.statusCode ?? 0,
        type: response.headers["content-type"] ?? "",
        body: Buffer.concat(parts).toString("utf8"),
      });
      this.#end ??= refusal
        ? { kind: "refused", refusal }
        : { kind: "failed", message: `HTTP ${response.statusCode} instead of a WebSocket` };
      this.terminate();
    };
    response.on("data", (part: Buffer) => {
      if (size < BODY_BYTES) parts.push(part);
      size += part.length;
    });
    response.on("end", finish);
    response.on("error", finish);
    response.setTimeout(HANDSHAKE_MS, finish);
  }

  #finish(end: SocketEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopHeartbeat();
    clearTimeout(this.#overdue);
    this.#events.ended(end);
  }

  #stopHeartbeat(): void {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#dead);
  }
}

/** What an operator reads of a connection's end. */
export function describeEnd(end: SocketEnd): string {
  if (end.kind === "failed") return end.message;
  if (end.kind === "refused") return end.refusal.message;
  if (end.code === 1006) return "the connection was cut";
  return `closed with ${end.code}${end.reason ? ` (${end.reason})` : ""}`;
}
