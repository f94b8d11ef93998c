/** The table that the suite prints: a line for each case. */

import type { Area } from "./case.ts";
import { mib } from "./check-memory.ts";

export type Outcome = {
  area: Area;
  name: string;
  result: "held" | "VIOLATED" | "cannot run";
  /** Seconds of the whole case. */
  seconds: number;
  /** Seconds from the end of the fault until everything was well; null when nothing had to heal. */
  recovery_s: number | null;
  /** Bytes in memory at most. */
  peaks: { agent: number; workerd: number } | null;
  /** What was violated, or why it cannot run. */
  reasons: string[];
};

const AREA_CHARS = 13;
const NAME_CHARS = 66;

export function heading(): string {
  return line("area", "case", "recovery", "agent", "workerd", "I1–I9");
}

export function row({ area, name, result, recovery_s, peaks }: Outcome): string {
  return line(
    area,
    name,
    recovery_s === null ? "–" : `${recovery_s.toFixed(1)} s`,
    peaks === null ? "–" : mib(peaks.agent),
    peaks === null ? "–" : mib(peaks.workerd),
    result,
  );
}

export function summary(outcomes: readonly Outcome[]): string {
  const count = (result: Outcome["result"]) =>
    outcomes.filter((outcome) => outcome.result === result).length;
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  return `${count("held")} held, ${count("VIOLATED")} violated, ${count("cannot run")} cannot run here; ${Math.round(seconds)} s`;
}

function line(area: string, name: string, ...rest: string[]): string {
  const [recovery = "", agent = "", workerd = "", result = ""] = rest;
  return `${area.padEnd(AREA_CHARS)}  ${name.padEnd(NAME_CHARS)}  ${recovery.padStart(8)}  ${agent.padStart(7)}  ${workerd.padStart(7)}  ${result}`;
}
