/** How a waiting build stands in the line of its pool, and the words for it. */
import * as z from "zod";

export const queueSchema = z.object({
  /** Milliseconds until it starts, estimated from how long builds of its recipe ran in this pool; null without such history. */
  expected_wait_ms: z.int().nullable(),
  /** Why it does not start now ("all 2 slots are busy"); null when it is about to. */
  why: z.string().nullable(),
});
export type Queue = z.infer<typeof queueSchema>;

/** For people: `position 2, about 40 s, all 2 slots are busy`; empty when nothing is known. */
export function describeWait(position: number | null, queue: Queue | null): string {
  const parts = [
    position === null ? null : `position ${position}`,
    queue?.expected_wait_ms ? `about ${roughly(queue.expected_wait_ms)}` : null,
    queue?.why,
  ];
  return parts.filter((part) => part).join(", ");
}

/** An estimate is not worth more digits than these. */
function roughly(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
