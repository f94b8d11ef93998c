import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LogEntry } from "../shared/log.ts";
import { chooseLogFormat } from "./log-format.ts";
import { type LogSource, type LogView, streamLog } from "./log-stream.ts";

const BUILD = "0123456789abcdef0123456789abcdef";

function entry(position: number): LogEntry {
  const time = "2026-01-01T00:00:00Z";
  return { position, attempt: 1, time, level: "info", msg: `line ${position}`, stream: "stdout" };
}

/** A log of `count` entries in pages of two; `asked` lists the positions it was asked behind. */
function logOf(count: number, ended = true): { source: LogSource; asked: number[] } {
  const asked: number[] = [];
  const source: LogSource = async (after) => {
    asked.push(after);
    const last = Math.min(after + 2, count);
    const entries = Array.from({ length: last - after }, (_, i) => entry(after + i + 1));
    return { entries, position: last, end: ended && last === count, moved: false };
  };
  return { source, asked };
}

function view(more: Partial<LogView> = {}): LogView {
  return { build_id: BUILD, after: 0, follow: true, ends_at: null, ...more };
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream).text();
}

describe("a log as a stream", () => {
  test("a reader that does not read is not read for", async () => {
    const { source, asked } = logOf(1_000);
    const reader = streamLog(source, "ndjson", view()).getReader();
    await reader.read();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(asked, [0]);
    await reader.read();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(asked, [0, 2]);
    await reader.cancel();
    assert.deepEqual(asked, [0, 2]);
  });

  test("NDJSON has one object a line, torokko's members among them", async () => {
    const text = await textOf(streamLog(logOf(3).source, "ndjson", view()));
    const lines = text.trimEnd().split("\n");
    assert.equal(lines.length, 3);
    const first = JSON.parse(lines[0] ?? "");
    assert.deepEqual(first, { build_id: BUILD, ...entry(1) });
  });

  test("without follow, the stream ends at the present", async () => {
    const text = await textOf(streamLog(logOf(3, false).source, "plain", view({ follow: false })));
    assert.equal(text, "line 1\nline 2\nline 3\n");
  });

  test("Server-Sent Events carry positions, and an end", async () => {
    const text = await textOf(streamLog(logOf(3).source, "sse", view({ after: 2 })));
    const data = JSON.stringify({
      build_id: BUILD,
      level: "info",
      msg: "line 3",
      time: "2026-01-01T00:00:00Z",
      position: 3,
      attempt: 1,
      stream: "stdout",
    });
    assert.equal(
      text,
      `retry: 1000\n\nid: 3\ndata: ${data}\n\nid: 3\nevent: end\ndata: {"position":3}\n\n`,
    );
  });

  test("a silent build keeps Server-Sent Events alive and leaves the other formats alone", async () => {
    for (const [format, kept] of [
      [
        "sse",
        'retry: 1000\n\n: waiting\n\n: waiting\n\nid: 0\nevent: end\ndata: {"position":0}\n\n',
      ],
      ["ndjson", ""],
      ["plain", ""],
    ] as const) {
      let asked = 0;
      const silent: LogSource = async (after) => ({
        entries: [],
        position: after,
        end: ++asked === 3,
        moved: false,
      });
      assert.equal(await textOf(streamLog(silent, format, view())), kept);
    }
  });

  test("a private stream ends when access must be proven anew, and says when to come back", async () => {
    const waits: number[] = [];
    const ends_at = Date.now() + 40;
    const silent: LogSource = async (after, wait_ms) => {
      waits.push(wait_ms);
      await new Promise((resolve) => setTimeout(resolve, wait_ms));
      return { entries: [], position: after, end: false, moved: false };
    };
    const text = await textOf(streamLog(silent, "sse", view({ ends_at })));
    assert.ok(text.endsWith(": waiting\n\nretry: 1000\n\n"), text);
    assert.ok(waits.every((wait) => wait <= 40));
  });

  test("a source that fails breaks the stream, so that nobody takes it for the end", async () => {
    const failing: LogSource = async () => {
      throw new Error("gone");
    };
    await assert.rejects(textOf(streamLog(failing, "ndjson", view())));
  });

  test("Accept chooses the format; torokko's clients and curl get NDJSON", () => {
    for (const [accept, format] of [
      [undefined, "ndjson"],
      ["*/*", "ndjson"],
      ["", "ndjson"],
      ["text/html,*/*;q=0.8", "ndjson"],
      ["application/json", "ndjson"],
      ["application/x-ndjson", "ndjson"],
      ["text/plain", "plain"],
      ["Text/Plain", "plain"],
      ["text/event-stream", "sse"],
      ["text/plain;q=0.5, application/json", "ndjson"],
      ["text/event-stream, */*", "sse"],
      ["text/plain;q=0", "ndjson"],
      [";;q=x,", "ndjson"],
    ] as const)
      assert.equal(chooseLogFormat(accept), format, accept);
  });
});
