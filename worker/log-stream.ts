/**
 * A build's log as a stream that the reader pulls (protocol rule 16): a page is asked for when the last
 * one has left, so that nothing piles up for a slow reader, here or in the Build.
 */
import { LOG_WAIT_MS } from "../shared/limits.ts";
import type { LogPage } from "./core/contracts.ts";
import {
  type LogFormat,
  renderEnd,
  renderEntries,
  renderKeepAlive,
  renderRetry,
} from "./log-format.ts";

/** The page behind `after`, once there is something or `wait_ms` have passed. */
export type LogSource = (after: number, wait_ms: number) => Promise<LogPage>;

export type LogView = {
  build_id: string;
  /** Position behind which the view begins. */
  after: number;
  /** Whether to go on until the build's end. */
  follow: boolean;
  /** Milliseconds since the epoch at which access must be proven anew; null for a public build. */
  ends_at: number | null;
};

/** Streams a view in one of the formats. A failing source errors the stream: the reader resumes by position. */
export function streamLog(
  source: LogSource,
  format: LogFormat,
  view: LogView,
): ReadableStream<Uint8Array> {
  return streamText(renderedPages(source, format, view));
}

/** Texts as bytes, written as they are pulled. */
export function streamText(
  chunks: AsyncGenerator<string, void, undefined>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream(
    {
      async pull(controller) {
        // A pull must bring something, or it is not repeated.
        let next = await chunks.next();
        while (!next.done && next.value === "") next = await chunks.next();
        if (next.done) controller.close();
        else controller.enqueue(encoder.encode(next.value));
      },
      async cancel() {
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

async function* renderedPages(
  source: LogSource,
  format: LogFormat,
  view: LogView,
): AsyncGenerator<string, void, undefined> {
  const retry = renderRetry(format);
  yield retry;
  let ended = false;
  for await (const page of logPages(source, view)) {
    ended = page.end;
    const chunk = renderEntries(format, view.build_id, page.entries);
    yield chunk === "" && view.follow && !ended ? renderKeepAlive(format) : chunk;
    if (ended) yield renderEnd(format, page.position);
  }
  if (!ended && view.follow) yield retry;
}

/** Pages from `view.after` on, empty ones too, until the end, the present, or the time of the view is over. */
export async function* logPages(
  source: LogSource,
  view: LogView,
): AsyncGenerator<LogPage, void, undefined> {
  let position = view.after;
  for (;;) {
    const left = view.ends_at === null ? LOG_WAIT_MS : view.ends_at - Date.now();
    if (left <= 0) return;
    const page = await source(position, view.follow ? Math.min(left, LOG_WAIT_MS) : 0);
    position = page.position;
    yield page;
    if (page.end || (!view.follow && page.entries.length === 0)) return;
  }
}
