/**
 * Outlives the stack that started it by as long as it takes to end what the stack could not: its stdin
 * closes when the stack ends, however it does. Argument: the stack's folder.
 */
import { endProcesses } from "./processes.ts";

/** Milliseconds the orphans of a killed stack get to end by themselves. */
const GRACE_MS = 3_000;

const [state] = process.argv.slice(2);
if (state === undefined) throw new Error("usage: guard.ts STATE");
// The signals that end a stack reach its whole group; this process is the last to go.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
process.stdin.resume();
process.stdin.on("close", () => endProcesses(state, GRACE_MS));
