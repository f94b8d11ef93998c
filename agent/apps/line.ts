/**
 * The socket of one replica to its App: frames about how it is as text, its requests as the tunnel's binary messages. It
 * comes back after every cut, until the edge says that nobody wants the replica.
 */
import { type AppDown, type AppUp, appDownSchema, parseAppFrame } from "../../shared/apps.ts";
import { CLOSE } from "../../shared/protocol.ts";
import {
  FrameError,
  type OpenHead,
  type StreamEvents,
  Tunnel,
  type TunnelStream,
} from "../../shared/tunnel/index.ts";
import { pause } from "../backoff.ts";
import { edgeUrl } from "../edge.ts";
import type { Logger } from "../logger.ts";
import type { AgentPorts, LineEnd } from "../ports.ts";
import { describeEnd, Socket } from "../socket.ts";

/** Milliseconds a connection must last before the next pause starts small again. */
const STEADY_MS = 10_000;
/** Status of a refusal that no later try changes. */
const FORBIDDEN = 403;

export type LineParts = {
  ports: Pick<AgentPorts, "clock" | "random" | "net">;
  /** Address of the edge. */
  edge: string;
  project: string;
  build: string;
  /** Opens the socket. Secret. */
  serve: string;
  log: Logger;
  /** What to say first on a new connection, in order. */
  greeting: () => AppUp[];
  heard: (frame: AppDown) => void;
  opened: (stream: TunnelStream, head: OpenHead) => StreamEvents;
  /** The edge says that the replica is nobody's. */
  disowned: () => void;
};

export class ReplicaLine {
  readonly #parts: LineParts;
  readonly #stop = new AbortController();
  #socket: Socket | null = null;
  #tunnel: Tunnel | null = null;

  constructor(parts: LineParts) {
    this.#parts = parts;
  }

  /** Requests that are under way. */
  get streams(): number {
    return this.#tunnel?.size ?? 0;
  }

  /** Holds the line until `stop`, or until the replica is nobody's. */
  async run(): Promise<void> {
    const { ports, log } = this.#parts;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      const since = ports.clock.now();
      const end = await this.#connect();
      if (signal.aborted) return;
      if (isDisowned(end)) return this.#parts.disowned();
      log.warn("app disconnected", { why: describeEnd(end) });
      if (ports.clock.now() - since > STEADY_MS) failures = 0;
      await pause(ports, failures, signal);
    }
  }

  /** False when there is no line now. */
  send(frame: AppUp): boolean {
    return this.#socket?.send(JSON.stringify(frame)) ?? false;
  }

  stop(): void {
    this.#stop.abort();
    this.#socket?.close(1000, "bye");
  }

  #connect(): Promise<LineEnd> {
    const { ports, edge, project, build, serve, log, heard, opened, greeting } = this.#parts;
    const path = `agent/apps/${encodeURIComponent(project)}/${build}`;
    return new Promise((resolve) => {
      const socket = new Socket(ports, edgeUrl(edge, path, true), serve, {
        opened: () => {
          for (const frame of greeting()) socket.send(JSON.stringify(frame));
          socket.startHeartbeat();
          log.info("app connected");
        },
        text: (text) => {
          const parsed = parseAppFrame(appDownSchema, text);
          if ("error" in parsed) this.#bad(socket, parsed.error);
          else if (parsed.frame !== null) heard(parsed.frame);
        },
        bytes: (data) => {
          try {
            tunnel.receive(data);
          } catch (error) {
            if (!(error instanceof FrameError)) throw error;
            this.#bad(socket, error.message);
          }
        },
        ended: (end) => {
          if (this.#socket === socket) this.#socket = null;
          if (this.#tunnel === tunnel) this.#tunnel = null;
          tunnel.cut("the connection to the edge was cut");
          resolve(end);
        },
      });
      // What cannot be sent any more is told by the socket's end, right behind.
      const send = (frame: Uint8Array) => void socket.send(frame);
      const tunnel = new Tunnel({ send, room: () => socket.room() }, opened);
      this.#socket = socket;
      this.#tunnel = tunnel;
    });
  }

  #bad(socket: Socket, what: string): void {
    this.#parts.log.error("bad frame from the edge", { what });
    socket.close(CLOSE.badFrame, "bad frame");
  }
}

function isDisowned(end: LineEnd): boolean {
  if (end.kind === "refused") return end.refusal.status === FORBIDDEN;
  return end.kind === "closed" && end.code === CLOSE.forbidden;
}
