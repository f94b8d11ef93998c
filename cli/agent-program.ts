import { existsSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "./errors.ts";

/** The agent's program: its source in a checkout, else its bundle, built or beside ours. Throws CliError. */
export function agentProgram(): string {
  const found = ["../agent/main.ts", "../dist/agent.js", "agent.js"]
    .map((file) => join(import.meta.dirname, file))
    .find((file) => existsSync(file));
  if (found === undefined)
    throw new CliError("The agent is not here: run npm run build, or use a whole checkout.");
  return found;
}
