/** Reads a build's log, as it is or as it grows, across cuts: every entry once, in order. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { isTerminal } from "../shared/builds.ts";
import { LOG_LEVELS } from "../shared/log.ts";
import type { EdgeClient } from "./edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "./errors.ts";

const entrySchema = z.looseObject({
  position: z.int(),
  level: z.enum(LOG_LEVELS),
  msg: z.string(),
  time: z.string(),
  stream: z.enum(["stdout", "stderr"]).optional(),
});
/** One line of `GET /builds/{id}/logs`. */
export type LogLine = z.infer<typeof entrySchema>;

export type LogOptions = {
  /** Stay until the build has ended. */
  follow: boolean;
  signal?: AbortSignal;
  /** Told when the connection was lost and is tried again. */
  onCut?: () => void;
};

/** Cuts in a row without a single new entry after which we give up. */
export const MAX_CUTS = 8;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;

/** The entries of build `id`. Throws EdgeRefusal, or CliError (unreachable) once the edge stays away. */
export async function* readLog(
  client: EdgeClient,
  id: string,
  options: LogOptions,
): AsyncGenerator<LogLine> {
  let after = 0;
  let cuts = 0;
  // A stream that ends tells nothing: a private one ends every minute. What it left out is read once the build is over.
  let over = !options.follow;
  for (;;) {
    try {
      const path = `/builds/${id}/logs?after=${after}${over ? "" : "&follow=1"}`;
      for await (const entry of entries(client, path, options.signal)) {
        if (entry.position <= after) continue;
        after = entry.position;
        cuts = 0;
        yield entry;
      }
      if (over) return;
      over = isTerminal((await client.build(id)).state);
    } catch (error) {
      if (options.signal?.aborted) return;
      if (!mayPass(error) || ++cuts > MAX_CUTS) throw error;
      options.onCut?.();
      await pauseAfter(cuts);
    }
  }
}

/** Waits before it is tried again, after so many cuts in a row. */
export async function pauseAfter(cuts: number): Promise<void> {
  await sleep(Math.min(FIRST_PAUSE_MS * 2 ** (cuts - 1), LONGEST_PAUSE_MS));
}

/** Whether asking again may help: the edge is away, restarting, or cut the stream. */
export function mayPass(error: unknown): boolean {
  if (error instanceof EdgeRefusal) return error.http >= 500;
  return error instanceof CliError ? error.status === EXIT.unreachable : error instanceof TypeError;
}

async function* entries(
  client: EdgeClient,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<LogLine> {
  const response = await client.request("GET", path, {
    headers: { accept: "application/x-ndjson, application/json" },
    ...(signal ? { signal } : {}),
  });
  for await (const line of lines(response.body)) {
    const entry = entrySchema.safeParse(JSON.parse(line));
    // Other lines are for machines, such as the word to come back.
    if (entry.success) yield entry.data;
  }
}

/** The non-empty lines of a body. A last line without its end was cut off and is left out. */
async function* lines(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  if (body === null) return;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part.trim() !== "") yield part;
  }
}

/** What people are told then. */
export const CUT = "(The connection to the edge was cut; trying again.)";

/** An entry as people read it. */
export function plainLine(entry: LogLine): string {
  return entry.stream ? entry.msg : `==> ${entry.msg}`;
}
