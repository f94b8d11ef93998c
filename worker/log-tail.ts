/** The last part of a build's log, for a page: from the Build while it has it, else from the copy in R2. */
import type { BuildRecord } from "../shared/builds.ts";
import type { LogEntry } from "../shared/log.ts";
import { getLogEnd } from "./artifacts.ts";
import { retrying } from "./retry.ts";

/** Bytes of entries (JSON) on a page: some hundred lines. */
const TAIL_BYTES = 64 * 1024;

export type LogTail = {
  entries: LogEntry[];
  /** There is nothing before it. */
  whole: boolean;
  /** Nothing will follow. */
  end: boolean;
};

export async function logTail(
  env: Env,
  { build_id, visibility }: Pick<BuildRecord, "build_id" | "visibility">,
): Promise<LogTail> {
  const page = await retrying(() => env.BUILDS.getByName(build_id).log(null, TAIL_BYTES, 0));
  const stored = page === null || page.moved;
  const entries = stored
    ? parse(await getLogEnd(env.ARTIFACTS, visibility, build_id, TAIL_BYTES))
    : page.entries;
  const first = entries[0]?.position ?? 1;
  return { entries, whole: first === 1, end: stored || page.end };
}

/** Whole lines of NDJSON; the first one is cut unless it is the log's first. */
function parse(text: string | null): LogEntry[] {
  if (text === null) return [];
  return text
    .split("\n")
    .filter((line) => line.startsWith('{"position":'))
    .map((line) => JSON.parse(line));
}
