/** `railhead agent …`: starts the agent's own program. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { agentProgram } from "../agent-program.ts";

/** Runs it to its end with our terminal; answers its exit status. */
export function runAgent(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [agentProgram(), ...args], { stdio: "inherit" });
  // A terminal sends these to the whole group: passed on, they would count twice.
  for (const signal of ["SIGINT", "SIGHUP"] as const)
    process.on(signal, () => process.stdin.isTTY || child.kill(signal));
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((done, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      done(code ?? 128 + (signal ? constants.signals[signal] : 0)),
    );
  });
}
