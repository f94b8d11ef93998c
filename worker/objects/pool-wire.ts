/**
 * The agents' control sockets on the platform. What must outlive hibernation is in each socket's
 * attachment; pings are answered by the platform, which remembers only when the last one came.
 */
import type { ControlDown } from "../../shared/protocol.ts";
import type { Wire } from "../core/registry.ts";
import { closeQuietly } from "./platform.ts";

/** `epoch` 0: has not said hello yet. `since`: time of hello (ms). */
export type Attachment = { agent: string; epoch: number; since: number };

type Link = { socket: WebSocket; attachment: Attachment };

export class PoolWire implements Wire {
  readonly #ctx: DurableObjectState;
  /** The socket of each agent's newest hello. */
  readonly #links = new Map<string, Link>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    for (const socket of ctx.getWebSockets()) {
      const attachment = attachmentOf(socket);
      if (socket.readyState !== WebSocket.OPEN || attachment.epoch === 0) continue;
      const known = this.#links.get(attachment.agent);
      if (known === undefined || known.attachment.epoch < attachment.epoch)
        this.#links.set(attachment.agent, { socket, attachment });
    }
  }

  /** Takes in a socket whose agent has proved itself. */
  accept(socket: WebSocket, agent: string): void {
    this.#ctx.acceptWebSocket(socket, [agent]);
    socket.serializeAttachment({ agent, epoch: 0, since: 0 } satisfies Attachment);
  }

  /** Binds a socket to the epoch of its hello, at `since` (ms). */
  bind(socket: WebSocket, agent: string, epoch: number, since: number): void {
    const attachment: Attachment = { agent, epoch, since };
    socket.serializeAttachment(attachment);
    this.#links.set(agent, { socket, attachment });
  }

  /** Forgets a socket that is gone; its last sign of life (ms). */
  unbind(socket: WebSocket): number {
    const { agent, epoch, since } = attachmentOf(socket);
    if (this.#links.get(agent)?.attachment.epoch === epoch) this.#links.delete(agent);
    return this.#lastSign(socket, since);
  }

  send(agent: string, epoch: number, frame: ControlDown): boolean {
    const link = this.#open(agent, epoch);
    if (link === null) return false;
    try {
      link.socket.send(JSON.stringify(frame));
      return true;
    } catch {
      return false;
    }
  }

  lastPing(agent: string, epoch: number): number | null {
    const link = this.#open(agent, epoch);
    return link === null ? null : this.#lastSign(link.socket, link.attachment.since);
  }

  close(agent: string, keep: number | null, code: number, reason: string): void {
    for (const socket of this.#ctx.getWebSockets(agent))
      if (attachmentOf(socket).epoch !== keep) {
        this.unbind(socket);
        closeQuietly(socket, code, reason);
      }
  }

  #lastSign(socket: WebSocket, since: number): number {
    return Math.max(since, this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0);
  }

  #open(agent: string, epoch: number): Link | null {
    const link = this.#links.get(agent);
    const open = link?.attachment.epoch === epoch && link.socket.readyState === WebSocket.OPEN;
    return link !== undefined && open ? link : null;
  }
}

export function attachmentOf(socket: WebSocket): Attachment {
  return socket.deserializeAttachment() as Attachment;
}
