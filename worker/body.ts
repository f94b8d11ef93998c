/** A request's body as it comes, for what is too large to be held, or must not be larger than it may be. */
import type { Problem } from "../shared/problem.ts";

export type Chunks = AsyncIterable<Uint8Array>;

export function bodyOf({ body }: Request): Chunks {
  return body ?? once(new Uint8Array());
}

export async function* once(bytes: Uint8Array): Chunks {
  yield bytes;
}

/** UTF-8 of `limit` bytes at most. Throws what `tooLarge` makes. */
export async function readText(
  chunks: Chunks,
  limit: number,
  tooLarge: () => Problem,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
