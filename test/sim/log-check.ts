/** Whether a build's whole log is what its attempts said: nothing missing without a word, nothing twice. */
import type { LogEntry } from "../../shared/log.ts";

/** As host/program.ts writes it: build/attempt/phase/stream/number. */
const LINE = /^([0-9a-f]{32})\/(\d+)\/(\w+)\/(stdout|stderr)\/(\d+)(?: |$)/;
const FINAL = /^Your build (?:failed|is successful)/;

/** What is wrong with the log of build `id`, in words. */
export function checkLog(id: string, entries: readonly LogEntry[]): string[] {
  const faults: string[] = [];
  entries.forEach(({ position }, i) => {
    if (position !== i + 1) faults.push(`${id}: entry ${i + 1} has position ${position}`);
  });
  const finals = entries.filter(
    ({ msg, attempt, seq }) => FINAL.test(msg) && seq === undefined && attempt >= 0,
  );
  if (finals.length !== 1) faults.push(`${id} has ${finals.length} final lines`);
  if (entries.at(-1) !== finals[0]) faults.push(`${id}: something follows the final line`);
  for (const attempt of new Set(entries.map((entry) => entry.attempt))) {
    const own = entries.filter((entry) => entry.attempt === attempt && entry.seq !== undefined);
    own.forEach(({ seq }, i) => {
      if (seq !== i + 1) faults.push(`${id}: attempt ${attempt} has seq ${seq} at place ${i + 1}`);
    });
    faults.push(...checkLines(id, attempt, own));
  }
  return faults;
}

/** Lines of the build container of an attempt that the log lacks without a gap record. */
export function checkWhole(
  id: string,
  attempt: number,
  printed: { stdout: number; stderr: number },
  entries: readonly LogEntry[],
): string[] {
  const own = entries.filter((entry) => entry.attempt === attempt);
  if (own.some(({ gap }) => gap)) return [];
  return (["stdout", "stderr"] as const).flatMap((stream) => {
    const lines = own.filter(({ msg }) =>
      msg.startsWith(`${id}/${attempt}/build/${stream}/`),
    ).length;
    const whole = lines === printed[stream];
    return whole ? [] : [`${id}/${attempt}: ${lines} of ${printed[stream]} lines of ${stream}`];
  });
}

/** Each stream of each container counts up by one, except over a gap record. */
function checkLines(id: string, attempt: number, entries: readonly LogEntry[]): string[] {
  const faults: string[] = [];
  const last = new Map<string, { k: number; gaps: number }>();
  const ends = lastOfStreams(entries);
  let gaps = 0;
  for (const entry of entries) {
    if (entry.gap) gaps++;
    const match = entry.stream === undefined ? null : LINE.exec(entry.msg);
    if (match === null) continue;
    const [, build, number, phase, stream, digits] = match;
    if (build !== id || Number(number) !== attempt || stream !== entry.stream)
      faults.push(`${id}/${attempt} ${entry.stream} has a line of another: ${entry.msg}`);
    const name = `${phase} ${stream}`;
    const k = Number(digits);
    const before = last.get(name) ?? { k: 0, gaps: 0 };
    const next = k === before.k + 1;
    const again = phase === "fetch" && k === 1;
    // Behind a gap record what the engine kept may begin anywhere.
    const over = gaps > before.gaps;
    // Who was killed in the middle of a line leaves its beginning.
    const torn = ends.has(entry) && `${before.k + 1}`.startsWith(`${k}`);
    if (!next && !again && !over && !torn)
      faults.push(
        `${id}/${attempt}: after ${phase} ${stream} ${before.k} comes ${k} (seq ${entry.seq})`,
      );
    last.set(name, { k, gaps });
  }
  return faults;
}

/** The last line of each stream, and of each run of a fetch. */
function lastOfStreams(entries: readonly LogEntry[]): Set<LogEntry> {
  const ends = new Set<LogEntry>();
  const last = new Map<string, LogEntry>();
  for (const entry of entries) {
    const match = entry.stream === undefined ? null : LINE.exec(entry.msg);
    if (match === null) continue;
    const name = `${match[3]} ${match[4]}`;
    const before = last.get(name);
    if (before && match[3] === "fetch" && match[5] === "1") ends.add(before);
    last.set(name, entry);
  }
  for (const entry of last.values()) ends.add(entry);
  return ends;
}
