/** The ports of worker/core on the platform of Durable Objects. */
import type { Timer } from "../core/build-ports.ts";
import type { Alarm, Clock, Random, Sql, SqlRow, SqlValue } from "../core/ports.ts";

export type Ports = { sql: Sql; clock: Clock; random: Random; alarm: Alarm };

export function portsOf(ctx: DurableObjectState): Ports {
  return { sql: sqlOf(ctx.storage), clock, random, alarm: alarmOf(ctx.storage) };
}

const clock: Clock = { now: () => Date.now() };

const random: Random = {
  hex: (bytes) =>
    Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join(""),
};

function sqlOf(storage: DurableObjectStorage): Sql {
  return {
    exec: <Row extends SqlRow>(query: string, ...bindings: SqlValue[]) =>
      storage.sql.exec<Row>(query, ...bindings).toArray(),
    transaction: (body) => storage.transactionSync(body),
  };
}

/** Not awaited: the output gate holds every answer until the alarm, like any other write, is durable. */
function alarmOf(storage: DurableObjectStorage): Alarm {
  return {
    set: (at) => {
      void (at === null ? storage.deleteAlarm() : storage.setAlarm(at));
    },
  };
}

export const timer: Timer = {
  after: (ms) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const handle = setTimeout(resolve, ms);
    return { done: promise, cancel: () => clearTimeout(handle) };
  },
};

/** Bytes of a close reason (RFC 6455 section 5.5: 125 with the two of the code). */
const CLOSE_REASON_BYTES = 123;
/** Codes that are only ever reported, never sent (RFC 6455 section 7.4.1). */
const UNSENDABLE = new Set([1005, 1006, 1015]);

/**
 * Closes a socket whatever state it is in. Also the answer to the other side's close frame: the hibernation
 * API sends none by itself, and the peer would wait ten seconds for it.
 */
export function closeQuietly(socket: WebSocket, code: number, reason: string): void {
  const bytes = new TextEncoder().encode(reason).subarray(0, CLOSE_REASON_BYTES);
  // A character cut in two is left out.
  const text = new TextDecoder().decode(bytes).replace(/\ufffd+$/, "");
  try {
    socket.close(UNSENDABLE.has(code) ? 1000 : code, text);
  } catch {
    // Closed already.
  }
}

/** One JSON line in the Worker's log for what nobody else will hear of. */
export function reportError(where: string, error: unknown): void {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  console.error(JSON.stringify({ level: "error", where, error: `${name}: ${message}`, stack }));
}
