/** The three shapes of a log over HTTP. */
import { type LogEntry, toPlain, toWire } from "../shared/log.ts";
import { acceptQuality } from "./accept.ts";

export type LogFormat = "ndjson" | "plain" | "sse";

export const LOG_CONTENT_TYPES: Record<LogFormat, string> = {
  ndjson: "application/x-ndjson; charset=utf-8",
  plain: "text/plain; charset=utf-8",
  sse: "text/event-stream; charset=utf-8",
};

/** Milliseconds that an EventSource is told to wait before it comes back. */
const SSE_RETRY_MS = 1_000;

/** NDJSON unless another shape is asked for by name: torokko's clients send no Accept. */
export function chooseLogFormat(accept: string | undefined): LogFormat {
  const header = accept ?? "";
  const named = (type: string) =>
    header.toLowerCase().includes(type) ? acceptQuality(header, type) : 0;
  const qualities: [LogFormat, number][] = [
    ["sse", named("text/event-stream")],
    ["plain", named("text/plain")],
    ["ndjson", Math.max(named("application/x-ndjson"), named("application/json"))],
  ];
  const best = qualities.reduce((a, b) => (b[1] > a[1] ? b : a));
  return best[1] > 0 ? best[0] : "ndjson";
}

/** Entries as bytes to come; the empty string for none. */
export function renderEntries(
  format: LogFormat,
  build_id: string,
  entries: readonly LogEntry[],
): string {
  let text = "";
  for (const entry of entries) {
    if (format === "plain") text += `${toPlain(entry)}\n`;
    else if (format === "ndjson") text += `${JSON.stringify(toWire(build_id, entry))}\n`;
    else text += event(entry.position, "log", toWire(build_id, entry));
  }
  return text;
}

/** Tells an EventSource when to come back, once the stream ends or is cut off. */
export function renderRetry(format: LogFormat): string {
  return format === "sse" ? `retry: ${SSE_RETRY_MS}\n\n` : "";
}

/** Tells an EventSource that nothing will follow, so that it closes instead of coming back. */
export function renderEnd(format: LogFormat, position: number): string {
  return format === "sse" ? event(position, "end", { position }) : "";
}

/** Keeps proxies from cutting a silent stream; only Server-Sent Events have something to ignore. */
export function renderKeepAlive(format: LogFormat): string {
  return format === "sse" ? ": waiting\n\n" : "";
}

function event(id: number, type: string, data: unknown): string {
  const name = type === "log" ? "" : `event: ${type}\n`;
  return `id: ${id}\n${name}data: ${JSON.stringify(data)}\n\n`;
}
