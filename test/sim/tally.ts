/** What many seeds came to: a run that never exercised something must be visible. */
import { FAULTS } from "./faults.ts";
import type { Verdict } from "./run.ts";

export class Tally {
  readonly counts = new Map<string, number>();
  seeds = 0;
  events = 0;
  failed = 0;
  /** Virtual milliseconds. */
  elapsed = 0;
  readonly #began = performance.now();

  add({ failure, events, elapsed, counts }: Verdict): void {
    this.seeds++;
    this.events += events;
    this.elapsed += elapsed;
    if (failure !== null) this.failed++;
    for (const [what, n] of Object.entries(counts))
      this.counts.set(what, (this.counts.get(what) ?? 0) + n);
  }

  /** Kinds of faults that never struck. */
  missing(): string[] {
    return FAULTS.filter((fault) => !this.counts.has(`fault ${fault}`));
  }

  line(): string {
    return `${this.seeds} seeds, ${this.failed} failed, ${Math.round(this.#rate())} a minute `;
  }

  table(): string {
    const rows = [...this.counts].sort(([a], [b]) => (a < b ? -1 : 1));
    const width = Math.max(...rows.map(([what]) => what.length), 0);
    const hours = (this.elapsed / 3_600_000).toFixed(0);
    return [
      ...rows.map(([what, n]) => `${what.padEnd(width)}  ${String(n).padStart(9)}`),
      ...this.missing().map((fault) => `fault ${fault}: NEVER`),
      "",
      `${this.seeds} seeds, ${this.failed} failed · ${this.events} events, ${hours} virtual hours · ${Math.round(this.#rate())} seeds a minute`,
    ].join("\n");
  }

  #rate(): number {
    return this.seeds / ((performance.now() - this.#began) / 60_000);
  }
}
