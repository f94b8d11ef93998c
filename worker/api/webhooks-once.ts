/** Taking a webhook once: git hosts send again what was not answered in time, and so may whoever saw it pass. */
import { WEBHOOK_BYTES } from "../../shared/limits.ts";
import { Problem } from "../../shared/problem.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { sha256 } from "../secrets.ts";

/**
 * Does `work`, unless a webhook of the same bytes was taken at the same `door`: then null. What failed, was not `done` or
 * was cut off may come again; one that comes while its twin is at work joins the same builds.
 */
export async function once<T>(
  env: Env,
  door: string,
  body: Uint8Array<ArrayBuffer>,
  work: () => Promise<T>,
  done: (made: T) => boolean = () => true,
): Promise<T | null> {
  const catalog = env.CATALOG.getByName(CATALOG_NAME);
  const digest = await sha256(`${door} ${await sha256(body)}`);
  if (await catalog.remembers(digest)) return null;
  const made = await work();
  if (done(made)) await catalog.remember(digest);
  return made;
}

export function tooLarge(): Problem {
  return new Problem("too_large", `A webhook has at most ${WEBHOOK_BYTES} bytes.`);
}
