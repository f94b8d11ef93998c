/** A build's log over a WebSocket: one JSON text frame an entry, within the credit that the viewer gives. */
import * as z from "zod";
import { toWire } from "../shared/log.ts";
import { CLOSE, PING, PONG } from "../shared/protocol.ts";
import { type LogSource, type LogView, logPages } from "./log-stream.ts";

/** Bytes a viewer gets that never gives credit: nobody here can tell whether it still reads. */
const UNCREDITED_BYTES = 4 * 1024 * 1024;
/** Milliseconds that the first word of credit may come after these bytes are used up. */
const CREDIT_GRACE_MS = 2_000;
/** Bytes of credit that one viewer may have open. */
const MAX_CREDIT_BYTES = 16 * 1024 * 1024;
/** RFC 6455 section 7.4 and its registry: come back soon. */
const CLOSE_COME_BACK = 1012;
const CLOSE_NORMAL = 1000;
const CLOSE_BROKEN = 1011;

const creditSchema = z.object({ credit: z.int().min(1).max(MAX_CREDIT_BYTES) });

/**
 * Answers an upgrade. Closes with 1000 at the log's end; with 4010 (a viewer without credit got all it may),
 * 1012 (prove access anew) or 1011 (the edge failed) and, as the reason, the position to come back with.
 */
export function serveLogSocket(source: LogSource, view: LogView): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const credit = new Credit();
  server.addEventListener("message", ({ data }) => {
    if (data === PING) return server.send(PONG);
    const bytes = parseCredit(data);
    if (bytes === null) {
      credit.end();
      return server.close(CLOSE.badFrame, 'send {"credit": bytes}');
    }
    credit.add(bytes);
  });
  server.addEventListener("close", ({ code }) => {
    credit.end();
    // Without an answer the viewer waits for it. 1005 and 1006 must not be sent.
    server.close(code === 1005 || code === 1006 ? CLOSE_NORMAL : code);
  });
  server.addEventListener("error", () => credit.end());
  void send(server, source, view, credit);
  return new Response(null, { status: 101, webSocket: client });
}

async function send(
  socket: WebSocket,
  source: LogSource,
  view: LogView,
  credit: Credit,
): Promise<void> {
  let position = view.after;
  try {
    for await (const page of logPages(source, view)) {
      for (const entry of page.entries) {
        const frame = JSON.stringify(toWire(view.build_id, entry));
        const leave = await credit.take(frame.length);
        if (leave === "ended") return;
        if (leave === "refused") return socket.close(CLOSE.slow, String(position));
        socket.send(frame);
        position = entry.position;
      }
      if (credit.ended) return;
      if (page.end) return socket.close(CLOSE_NORMAL, "end");
    }
    socket.close(CLOSE_COME_BACK, String(position));
  } catch {
    if (!credit.ended) socket.close(CLOSE_BROKEN, String(position));
  }
}

function parseCredit(data: unknown): number | null {
  if (typeof data !== "string") return null;
  try {
    const parsed = creditSchema.safeParse(JSON.parse(data));
    return parsed.success ? parsed.data.credit : null;
  } catch {
    return null;
  }
}

/** How many bytes may still be sent to one viewer. */
class Credit {
  ended = false;
  #left = UNCREDITED_BYTES;
  #given = false;
  #wake: () => void = () => {};

  add(bytes: number): void {
    this.#given = true;
    this.#left = Math.min(this.#left + bytes, MAX_CREDIT_BYTES);
    this.#wake();
  }

  end(): void {
    this.ended = true;
    this.#wake();
  }

  /** Waits until something is left; an entry may overdraw it, so that a large one is not stuck. */
  async take(bytes: number): Promise<"ok" | "refused" | "ended"> {
    while (this.#left <= 0 && !this.ended) {
      if (!(await this.#news(this.#given ? null : CREDIT_GRACE_MS))) return "refused";
    }
    if (this.ended) return "ended";
    this.#left -= bytes;
    return "ok";
  }

  /** Waits for credit or the end; false when neither came within `ms`. */
  #news(ms: number | null): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = ms === null ? null : setTimeout(() => resolve(false), ms);
      this.#wake = () => {
        if (timer !== null) clearTimeout(timer);
        resolve(true);
      };
    });
  }
}
