/** Where the pages of a log come from: the Build while it has them, then the copy in R2. */

import type { Visibility } from "../shared/builds.ts";
import { LOG_PAGE_BYTES } from "../shared/limits.ts";
import type { LogEntry } from "../shared/log.ts";
import { getLog } from "./artifacts.ts";
import type { LogPage } from "./core/contracts.ts";
import type { LogSource } from "./log-stream.ts";
import { retrying } from "./retry.ts";

/** A source for one reader; it keeps its place in the R2 copy, so that reading on costs nothing twice. */
export function logSource(env: Env, build_id: string, visibility: Visibility): LogSource {
  let stored: StoredLog | null = null;
  return async (after, wait_ms) => {
    if (stored === null) {
      const page = await retrying(() =>
        env.BUILDS.getByName(build_id).log(after, LOG_PAGE_BYTES, wait_ms),
      );
      if (page !== null && !page.moved) return page;
      const object = await getLog(env.ARTIFACTS, visibility, build_id);
      stored = new StoredLog(object?.body ?? null);
    }
    return stored.page(after);
  };
}

/** The R2 copy, read once from its start to its end. */
class StoredLog {
  readonly #lines: AsyncGenerator<string, void, undefined>;
  readonly #missing: boolean;

  constructor(body: ReadableStream<Uint8Array> | null) {
    this.#missing = body === null;
    this.#lines = body === null ? nothing() : linesOf(body);
  }

  async page(after: number): Promise<LogPage> {
    if (this.#missing) return lost(after);
    const entries: LogEntry[] = [];
    let bytes = 0;
    while (bytes < LOG_PAGE_BYTES) {
      const { done, value } = await this.#lines.next();
      if (done) break;
      const entry: LogEntry = JSON.parse(value);
      if (entry.position <= after) continue;
      entries.push(entry);
      bytes += value.length;
    }
    const position = entries.at(-1)?.position ?? after;
    return { entries, position, end: bytes < LOG_PAGE_BYTES, moved: true };
  }
}

/** Says that there was a log: a reader must be able to tell a lost one from an empty one. */
function lost(after: number): LogPage {
  const reason = "the log of this build is no longer kept";
  const entry: LogEntry = {
    position: after + 1,
    attempt: 0,
    time: new Date().toISOString(),
    level: "warning",
    msg: reason,
    gap: { reason },
  };
  return { entries: after === 0 ? [entry] : [], position: after + 1, end: true, moved: true };
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}

async function* nothing(): AsyncGenerator<string, void, undefined> {}
