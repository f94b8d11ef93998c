/** Which of the known words somebody may have meant. */

/** Characters of a word that are compared: what is longer is no typing error. */
const COMPARED_CHARS = 64;

/** The `count` candidates with the smallest edit distance to `word`, nearest first; equal ones keep their order. */
export function nearest(word: string, candidates: readonly string[], count: number): string[] {
  const wanted = word.slice(0, COMPARED_CHARS).toLowerCase();
  return candidates
    .map((candidate) => ({
      candidate,
      distance: editDistance(wanted, candidate.slice(0, COMPARED_CHARS).toLowerCase()),
    }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}

/** Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(at(previous, j) + 1, at(row, j - 1) + 1, at(previous, j - 1) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, at(before, j - 2) + 1);
      row.push(best);
    }
    before = previous;
    previous = row;
  }
  return at(previous, b.length);
}

function at(row: number[], index: number): number {
  return row[index] as number;
}
