/** Words for agents that are not connected. Times are told, not spans: what says this is read again later. */

/** An agent that is away; `lastSeen` in milliseconds since the epoch, null for one that never connected. */
export type Away = { name: string; lastSeen: number | null };

/** Agents that one sentence names. */
const NAMED = 5;

/** Each as `smithy was last seen at 2026-01-02T03:04:05Z`, the latest first: for those who may list agents. */
export function awayTexts(agents: readonly Away[]): string[] {
  return agents
    .toSorted((a, b) => (b.lastSeen ?? 0) - (a.lastSeen ?? 0))
    .slice(0, NAMED)
    .map(({ name, lastSeen }) =>
      lastSeen === null ? `${name} never connected` : `${name} was last seen at ${time(lastSeen)}`,
    );
}

/** The same of the latest alone, without its name; null where none ever connected. */
export function lastSign(agents: readonly Away[]): string | null {
  const times = agents.flatMap(({ lastSeen }) => lastSeen ?? []);
  return times.length === 0 ? null : `one was last seen at ${time(Math.max(...times))}`;
}

/** RFC 3339, to the second. */
function time(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
