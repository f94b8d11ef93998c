/** Looks at how a build stands while its log is followed: a log says nothing of the line before it. */
import { setTimeout as pause } from "node:timers/promises";
import { describeWait } from "../shared/queue.ts";
import type { EdgeClient } from "./edge-client.ts";

/** Milliseconds between two looks. */
const LOOK_MS = 2_000;

export type Standing = {
  /** It waits, as `position 2, about 40 s, all 2 slots are busy`: once for each change. */
  waits(how: string): void;
  /** It runs, on that agent. */
  runs?(agent: string | null): void;
};

/** Tells how a build stands until `signal` aborts. What the edge does not answer is left out. */
export async function watchQueue(
  client: EdgeClient,
  id: string,
  signal: AbortSignal,
  standing: Standing,
): Promise<void> {
  let told = "";
  while (!signal.aborted) {
    const record = await client.build(id).catch(() => null);
    if (signal.aborted) return;
    const queue = record?.queue ?? null;
    const how = record && queue?.why ? describeWait(record.position, queue) : "";
    if (how !== "" && how !== told) standing.waits(how);
    told = how;
    if (record?.state === "running") standing.runs?.(record.agent);
    await pause(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}
