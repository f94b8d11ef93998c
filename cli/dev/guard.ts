/**
 * Outlives the stack that started it by as long as it takes to end what the stack could not: its stdin
 * closes when the stack ends, however it does. Argument: the stack's folder.
 */
import { endProcesses } from "./processes.ts";

/** Milliseconds the orphans of a killed stack get to end by themselves. */
const GRACE_MS = 3_000;

const [state] = process.argv.slice(2);
if (state === undefined) throw new Error("usage: guard.ts STATE");
// A signal that ends the stack by its group comes here too: this process is the last to go, and tells of it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.stdout.write(`${signal}\n`));
process.stdout.on("error", () => {});
process.stdin.resume();
process.stdin.on("close", () => endProcesses(state, GRACE_MS));
