/**
 * The processes of a stack, found by a mark in their environment that children inherit: wrangler's own
 * children (workerd, esbuild) outlive its death and hold its port, and no list of pids would know them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Environment variables of every process of a stack. */
const STACK = "RAILHEAD_STACK";
const PART = "RAILHEAD_STACK_PART";
const POLL_MS = 50;
const REPEAT_MS = 1_000;

/** Environment that marks a process, and all that it starts, as `part` of the stack on `state`. */
export function mark(state: string, part: string): Record<string, string> {
  return { [STACK]: state, [PART]: part };
}

/** Pids of the living processes of the stack on `state`, or of one part of it; never our own. */
export function processesOf(state: string, part?: string): number[] {
  const wanted = [`${STACK}=${state}`, ...(part === undefined ? [] : [`${PART}=${part}`])];
  return pids().filter((pid) => {
    if (pid === process.pid) return false;
    const environment = read(pid, "environ")?.split("\0");
    return wanted.every((entry) => environment?.includes(entry)) && startOf(pid) !== null;
  });
}

/**
 * Ends them: TERM, again every second for those that need telling twice, and KILL for what is still there
 * after `grace_ms`. Settles when all are gone.
 */
export async function endProcesses(state: string, grace_ms: number, part?: string): Promise<void> {
  const start = performance.now();
  let next = start;
  for (;;) {
    const alive = processesOf(state, part);
    if (alive.length === 0) return;
    const now = performance.now();
    if (now >= next) {
      const signal = now - start < grace_ms ? "SIGTERM" : "SIGKILL";
      for (const pid of alive) send(pid, signal);
      next = signal === "SIGTERM" ? Math.min(now + REPEAT_MS, start + grace_ms) : now;
    }
    await sleep(POLL_MS);
  }
}

/**
 * When a process was started, in the kernel's ticks since boot: with its pid, what tells it from a later
 * one. Null when there is none, or only what its parent has not yet collected.
 */
export function startOf(pid: number): string | null {
  const stat = read(pid, "stat");
  // The name in parentheses may hold anything; behind it: state (field 3) … start time (field 22).
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields === undefined || fields[0] === "Z" ? null : (fields[19] ?? null);
}

/** Parent of a process; null when there is no such process. */
export function parentOf(pid: number): number | null {
  const stat = read(pid, "stat");
  const parent = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
  return parent === undefined ? null : Number(parent);
}

function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function read(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return null; // gone meanwhile, or another user's
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone meanwhile
  }
}
