/** What tutum-builder's clients are shown of an image's build: its status and its log. */
import type { Context } from "hono";
import { type BuildRecord, isTerminal, parseBuildId } from "../../shared/builds.ts";
import { type LogEntry, toPlain } from "../../shared/log.ts";
import type { AppEnv } from "../app.ts";
import { logSource } from "../log-source.ts";
import { logPages, streamText } from "../log-stream.ts";
import { retrying } from "../retry.ts";
import { noSuchJob, tutumAnswer } from "../tutum.ts";

/** Phases of an attempt whose image is built. */
const AFTER_BUILD = new Set(["push", "upload"]);
const NO_LINE_YET = "Fetching logs...";

export async function getStatus(c: Context<AppEnv>, jobid: string): Promise<Response> {
  return tutumAnswer({ Status: statusOf(await jobOf(c.env, jobid)) });
}

/** The one word, or sentence, that clients of tutum-builder wait for. What waits in a queue counts as being built. */
function statusOf({ state, phase, reason }: BuildRecord): string {
  if (state === "succeeded") return "Finished";
  if (isTerminal(state)) return `Failed: ${reason ?? state}`;
  return AFTER_BUILD.has(phase ?? "") ? "Pushing" : "Building";
}

/** The log so far as one string. It may be long: it is written as it is read. */
export async function getLogs(c: Context<AppEnv>, jobid: string): Promise<Response> {
  const { build_id, visibility } = await jobOf(c.env, jobid);
  const view = { build_id, after: 0, follow: false, ends_at: null };
  const pages = logPages(logSource(c.env, build_id, visibility), view);
  return new Response(streamText(quoted(linesOf(pages))), {
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}

/** `{"Logs": …}` around texts, indented as every answer of this face. */
async function* quoted(texts: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let empty = true;
  yield '{\n  "Logs": "';
  for await (const text of texts) {
    if (text === "") continue;
    empty = false;
    yield escaped(text);
  }
  yield `${empty ? NO_LINE_YET : ""}"\n}`;
}

/** The inside of a JSON string. */
function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

async function* linesOf(
  pages: AsyncIterable<{ entries: LogEntry[] }>,
): AsyncGenerator<string, void, undefined> {
  for await (const { entries } of pages)
    yield entries
      .filter(isShown)
      .map((entry) => `${toPlain(entry)}\n`)
      .join("");
}

/** What the edge itself says before an agent has begun is no line of the build, unless it is how it ended. */
function isShown({ attempt, level }: LogEntry): boolean {
  return attempt > 0 || level === "error";
}

async function jobOf(env: Env, jobid: string): Promise<BuildRecord> {
  const record = await imageRecord(env, jobid);
  if (record === null) throw noSuchJob();
  return record;
}

/** The record of an image's build; null when it is unknown, or another recipe's. */
async function imageRecord(env: Env, text: string): Promise<BuildRecord | null> {
  const id = parseBuildId(text);
  if (id === null) return null;
  const view = await retrying(() => env.BUILDS.getByName(id).view());
  return view?.record.recipe === "image" ? view.record : null;
}
