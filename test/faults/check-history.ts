/** I3 and I6, judged by what was written down: what viewers saw, the stored log, and the containers that were started. */
import type { Line } from "../support/test-stack.ts";
import type { Start } from "./starts.ts";

/** I3: a viewer who saw the end saw the stored log, entry by entry. */
export function checkSeen(id: string, seen: readonly Line[], log: readonly Line[]): string[] {
  const wrong = seen.findIndex((line, i) => JSON.stringify(line) !== JSON.stringify(log[i]));
  if (wrong !== -1)
    return [
      `I3: entry ${wrong} of build ${id} was seen live as ${JSON.stringify(seen[wrong])} and is stored as ${JSON.stringify(log[wrong])}`,
    ];
  if (seen.length < log.length)
    return [
      `I3: the viewer of build ${id} saw ${seen.length} of ${log.length} entries, and not the end`,
    ];
  return [];
}

/** I3: numbered lines of each attempt follow each other, unless the log says that some are missing; positions rise. */
export function checkOrder(id: string, log: readonly Line[]): string[] {
  const wrong: string[] = [];
  let position = 0;
  const next = new Map<number, number>();
  for (const line of log) {
    if (Number(line.position) <= position)
      wrong.push(`I3: position ${line.position} of build ${id} comes after ${position}`);
    position = Number(line.position);
    if (line.gap !== undefined) next.delete(line.attempt);
    const number = line.stream && /\bline (\d+)$/.exec(line.msg)?.[1];
    if (number === undefined) continue;
    const expected = next.get(line.attempt);
    if (expected !== undefined && Number(number) !== expected)
      wrong.push(
        `I3: attempt ${line.attempt} of build ${id}: line ${number} where line ${expected} was due`,
      );
    next.set(line.attempt, Number(number) + 1);
  }
  return wrong.slice(0, 3);
}

/** I6: each attempt ran on one agent only, and none of its containers but the fetch was started twice. */
export function checkStarts(all: readonly Start[], ids: ReadonlySet<string>): string[] {
  const wrong: string[] = [];
  const agents = new Map<string, string>();
  const started = new Set<string>();
  for (const { agent, build, attempt, phase } of all) {
    if (!ids.has(build)) continue;
    const one = `attempt ${attempt} of build ${build}`;
    if ((agents.get(one) ?? agent) !== agent) wrong.push(`I6: two agents ran ${one}`);
    agents.set(one, agent);
    // Fetching runs nothing of the repository, and begins anew after a crash (rule 12).
    if (phase === "fetch") continue;
    if (started.has(`${one} ${phase}`)) wrong.push(`I6: ${phase} of ${one} was started twice`);
    started.add(`${one} ${phase}`);
  }
  return wrong;
}
