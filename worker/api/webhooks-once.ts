/** Taking a webhook once: git hosts send again what was not answered in time, and so may whoever saw it pass. */
import { WEBHOOK_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { sha256 } from "../secrets.ts";

/**
 * Does `work`, unless a webhook of the same bytes was taken at the same `door`: then null. What failed may come again.
 */
export async function once<T>(
  env: Env,
  door: string,
  body: Uint8Array<ArrayBuffer>,
  work: () => Promise<T>,
): Promise<T | null> {
  const catalog = env.CATALOG.getByName(CATALOG_NAME);
  const digest = await sha256(`${door} ${await sha256(body)}`);
  if (!(await catalog.remember(digest))) return null;
  try {
    return await work();
  } catch (error) {
    await catalog.forget(digest);
    throw error;
  }
}

export function tooLarge(): Problem {
  return new Problem("too_large", `A webhook has at most ${WEBHOOK_BYTES} bytes.`);
}
