/** Output that the engine kept, as it is read again: the two streams interleave otherwise, the chunks are others. */
import type { Chunk } from "../../../agent/docker/contracts.ts";
import type { SeededRandom } from "../random.ts";

const NEWLINE = 10;
/** Bytes of a chunk that is read again, at the most. */
const CHUNK_BYTES = 2_000;

/**
 * @param cut drops the beginning, when there is enough of it
 * @returns `complete`: whether it begins with the first byte
 */
export function readAgain(
  kept: readonly Chunk[],
  random: SeededRandom,
  cut: boolean,
): { chunks: Chunk[]; complete: boolean } {
  const from = cut && kept.length > 1 ? 1 + random.below(kept.length - 1) : 0;
  const streams = (["stdout", "stderr"] as const).map((stream) => {
    const dropped = bytesOf(kept.slice(0, from), stream);
    const bytes = bytesOf(kept.slice(from), stream);
    // Whole lines are dropped.
    const torn = dropped.length > 0 && dropped.at(-1) !== NEWLINE;
    return { stream, bytes: torn ? bytes.subarray(bytes.indexOf(NEWLINE) + 1) : bytes };
  });
  const chunks: Chunk[] = [];
  for (;;) {
    const left = streams.filter(({ bytes }) => bytes.length > 0);
    if (left.length === 0) return { chunks, complete: from === 0 };
    const next = random.pick(left);
    const size = 1 + random.below(Math.min(next.bytes.length, CHUNK_BYTES));
    chunks.push({ stream: next.stream, data: next.bytes.subarray(0, size) });
    next.bytes = next.bytes.subarray(size);
  }
}

function bytesOf(chunks: readonly Chunk[], stream: Chunk["stream"]): Buffer {
  return Buffer.concat(chunks.filter((chunk) => chunk.stream === stream).map(({ data }) => data));
}
