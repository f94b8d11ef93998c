/** What people see: results on stdout, everything else on stderr, one status line on a terminal. */

import { relative } from "node:path";

/** A result. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A remark. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A line below the remarks that is rewritten as things go on; nothing where stderr is no terminal. */
export class StatusLine {
  readonly #shown = process.stderr.isTTY === true;
  #text = "";

  /** Whether anybody sees it. */
  get shown(): boolean {
    return this.#shown;
  }

  set(text: string): void {
    if (!this.#shown) return;
    this.#clear();
    this.#text = text.slice(0, Math.max(10, (process.stderr.columns || 80) - 1));
    process.stderr.write(this.#text);
  }

  /** A line above it. */
  say(line: string, to: "stdout" | "stderr" = "stderr"): void {
    this.#clear();
    process[to].write(`${line}\n`);
    if (this.#text !== "") process.stderr.write(this.#text);
  }

  end(): void {
    this.#clear();
    this.#text = "";
  }

  #clear(): void {
    if (this.#text !== "") process.stderr.write("\r\u001b[2K");
  }
}

/** Rows below their headings, in columns. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A path as one would type it here: from the working folder, where it is below it. */
export function shortPath(path: string): string {
  const below = relative(process.cwd(), path);
  return below.startsWith("..") || below === "" ? path : below;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `bytes` as people read it: `4.2 MiB`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `ms` as people read it: `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** Seconds of `90s`, `15m`, `12h`, `30d`, `2w`; null when it is none of these. */
export function parseDuration(text: string): number | null {
  const [, count, unit] = /^([1-9]\d{0,8})([smhdw])$/.exec(text) ?? [];
  return count === undefined || unit === undefined ? null : Number(count) * (SECONDS[unit] ?? 0);
}
