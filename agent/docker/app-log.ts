/** What an app printed, line by line, with the time of each. */
import type { Readable } from "node:stream";
import type { AppLog, LogsWanted } from "../apps/contracts.ts";
import { Demux } from "./demux.ts";
import type { LogQuery } from "./engine.ts";
import { isKind, mapped } from "./errors.ts";

const BLANK = 0x20;

export function logQuery({ since, tail, follow }: LogsWanted): LogQuery {
  return {
    follow,
    timestamps: true,
    ...(since !== null && { since: epochSeconds(since) }),
    ...(tail !== null && { tail }),
  };
}

/** Seconds since the epoch of an RFC 3339 time, to the nanosecond; 0 for what is none. */
export function epochSeconds(time: string): string {
  const ms = Date.parse(time);
  if (Number.isNaN(ms)) return "0";
  const fraction = /\.(\d{1,9})/.exec(time)?.[1] ?? "";
  return `${Math.floor(ms / 1000)}.${fraction.padEnd(9, "0")}`;
}

/** Takes the engine's frames apart: each is a line, or a part of a long one, behind its time. */
export async function* appLog(
  source: Readable,
  signal: AbortSignal,
): AsyncGenerator<AppLog, void, undefined> {
  const stop = () => source.destroy();
  signal.addEventListener("abort", stop, { once: true });
  const demux = new Demux();
  let frame: Buffer[] = [];
  try {
    for await (const bytes of source as AsyncIterable<Buffer>)
      for (const { stream, data, last } of demux.feed(bytes)) {
        frame.push(data);
        if (!last) continue;
        const whole = frame.length === 1 ? data : Buffer.concat(frame);
        frame = [];
        const at = whole.indexOf(BLANK);
        yield { stream, time: whole.toString("latin1", 0, at), data: whole.subarray(at + 1) };
      }
  } catch (error) {
    if (!signal.aborted && !isKind(error, "gone")) throw mapped(error, "read the app's output");
  } finally {
    signal.removeEventListener("abort", stop);
    source.destroy();
  }
}
