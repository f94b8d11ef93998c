const RANGE = /^(\d{1,9})(?:\.\.(\d{1,9}))?$/;

/** Seeds of `A..B`, `N` or `N,M`; null when it is none of these. */
export function parseSeeds(text: string): number[] | null {
  const seeds: number[] = [];
  for (const part of text.split(",")) {
    const match = RANGE.exec(part.trim());
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? from);
    if (match === null || to < from) return null;
    for (let seed = from; seed <= to; seed++) seeds.push(seed);
  }
  return seeds;
}
