/** What a benchmark is: it runs, and says for each figure what was promised and what was measured. */

export type Row = {
  /** What was measured, with its unit. */
  figure: string;
  /** The promise, as a person reads it; null when none was made. */
  target: string | null;
  measured: string;
  /** Null without a promise. A missed promise is shown, never hidden. */
  met: boolean | null;
};

export type Settings = {
  /** Fewer repetitions: for a look, not for the record. */
  quick: boolean;
};

export type Measure = {
  name: string;
  /** How it is done, for the reader of docs/benchmarks.md. */
  how: string;
  run(settings: Settings): Promise<Row[]>;
};

/** The value below which `share` (0 to 1) of the samples lie. Throws on none. */
export function percentile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new Error("no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** Milliseconds that `body` took, with what it answered. */
export async function timed<T>(body: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const begin = performance.now();
  const value = await body();
  return { ms: performance.now() - begin, value };
}

/** `below`: promised is an upper bound. */
export function promise(
  figure: string,
  bound: { below: number } | { atLeast: number },
  measured: number,
  unit: string,
): Row {
  const met = "below" in bound ? measured < bound.below : measured >= bound.atLeast;
  const target = "below" in bound ? `< ${bound.below}` : `≥ ${bound.atLeast}`;
  return { figure, target: `${target}${unit}`, measured: `${format(measured)}${unit}`, met };
}

/** A figure without a promise. */
export function fact(figure: string, measured: number, unit: string): Row {
  return { figure, target: null, measured: `${format(measured)}${unit}`, met: null };
}

/** Three significant digits, no exponent. */
export function format(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}
