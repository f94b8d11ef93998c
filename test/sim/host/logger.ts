/** The agent's log in the simulation: part of the trace, and what it calls a bug is one, but for a full disk. */
import { messageOf } from "../../../agent/errors.ts";
import type { Fields, Logger } from "../../../agent/logger.ts";
import type { Kernel } from "../kernel.ts";

/** @param bug called with what nobody expected, in words */
export function simLogger(
  kernel: Kernel,
  name: string,
  bug: (what: string) => void,
  always: Fields = {},
): Logger {
  const tell = (event: string, fields: Fields = {}) =>
    kernel.tell(() => {
      const all = Object.entries({ ...always, ...fields }).map(
        ([key, value]) => ` ${key}=${value}`,
      );
      return `${name}: ${event}${all.join("")}`;
    });
  return {
    info: tell,
    warn: tell,
    error: tell,
    bug(event, error, fields) {
      tell(`${event}: ${messageOf(error)}`, fields);
      if (error instanceof Error && "code" in error && error.code === "ENOSPC") return;
      bug(`${event}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    },
    with: (fields) => simLogger(kernel, name, bug, { ...always, ...fields }),
  };
}
