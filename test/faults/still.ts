/** A sign of life of a case that takes long. */
import { awaited } from "../support/until.ts";

/** Milliseconds between two lines. */
const STILL_MS = 30_000;

/** Says every half minute, until `work` has settled, what is waited for. */
export async function telling<T>(say: (line: string) => void, work: Promise<T>): Promise<T> {
  const began = performance.now();
  const clock = setInterval(() => {
    const seconds = Math.round((performance.now() - began) / 1_000);
    say(`    ${seconds} s, waiting for ${awaited().join("; ") || "the case itself"}`);
  }, STILL_MS);
  try {
    return await work;
  } finally {
    clearInterval(clock);
  }
}
