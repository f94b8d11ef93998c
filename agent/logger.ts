/** The agent's own log: one line an event on stderr, for people on a terminal, JSON where a collector reads. No secrets. */
import { messageOf } from "./errors.ts";

export type Fields = Record<string, string | number | boolean | null | undefined>;

export interface Logger {
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  /** An error that nobody expected, with its stack. */
  bug(event: string, error: unknown, fields?: Fields): void;
  /** The same log, with these fields in every line. */
  with(fields: Fields): Logger;
}

export function createLogger(
  options: { json: boolean; write: (line: string) => void },
  always: Fields = {},
): Logger {
  const log = (level: "info" | "warning" | "error", event: string, more: Fields = {}) => {
    const time = new Date().toISOString();
    const fields = { ...always, ...more };
    options.write(
      options.json
        ? JSON.stringify({ time, level, event, ...fields })
        : line(time, level, event, fields),
    );
  };
  return {
    info: (event, fields) => log("info", event, fields),
    warn: (event, fields) => log("warning", event, fields),
    error: (event, fields) => log("error", event, fields),
    bug: (event, error, fields) =>
      log("error", event, {
        ...fields,
        message: messageOf(error),
        stack: error instanceof Error ? error.stack : undefined,
      }),
    with: (fields) => createLogger(options, { ...always, ...fields }),
  };
}

function line(time: string, level: string, event: string, fields: Fields): string {
  const shown = Object.entries(fields)
    .filter(([key, value]) => value !== undefined && key !== "stack")
    .map(([key, value]) => ` ${key}=${/\s/.test(String(value)) ? JSON.stringify(value) : value}`);
  const word = level === "info" ? "" : `${level}: `;
  return `${time.slice(11, 19)} ${word}${event}${shown.join("")}`;
}
