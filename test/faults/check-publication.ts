/** I1 and I4: one publication for a target, by the newest attempt, and a URL serves exactly the bytes that were published. */
import { createHash } from "node:crypto";
import type { Found } from "./checker.ts";
import type { FaultWorld } from "./world.ts";

export async function checkPublication(
  world: FaultWorld,
  found: readonly Found[],
): Promise<string[]> {
  const wrong: string[] = [];
  const published = new Map<string, Found>();
  for (const one of found) {
    const { state, artifact, build_id, artifacts } = one.record;
    if (state !== "succeeded") {
      if (artifacts.length > 0) wrong.push(`I1: build ${build_id} is ${state} and has artifacts`);
      continue;
    }
    if (published.has(artifact) && !world.rebuilt.has(new URL(artifact).pathname))
      wrong.push(`I1: ${artifact} was published twice`);
    published.set(artifact, one);
    const attempts = one.log.map(({ attempt }) => attempt);
    if (Math.max(...attempts) > one.record.attempt)
      wrong.push(
        `I1: build ${build_id} was published by attempt ${one.record.attempt}, not the newest`,
      );
  }
  for (const { record, headers } of found) {
    if (published.has(record.artifact)) continue;
    const answer = await world.stack.fetch(new URL(record.artifact).pathname, { headers });
    await answer.body?.cancel();
    if (answer.status !== 404)
      wrong.push(`I1: ${record.artifact} answers ${answer.status}, and its build ${record.state}`);
  }
  for (const { record, headers } of published.values())
    for (const { url, size, sha256 } of record.artifacts) {
      const path = new URL(url, world.stack.url).pathname;
      const answer = await world.stack.fetch(path, { headers });
      const bytes = Buffer.from(await answer.arrayBuffer());
      const hash = createHash("sha256").update(bytes).digest("hex");
      if (answer.status !== 200 || bytes.length !== size || hash !== sha256)
        wrong.push(
          `I4: ${path} answers ${answer.status} with ${bytes.length} bytes (${hash}), published were ${size} (${sha256})`,
        );
    }
  return wrong;
}
