/** The context that a build was posted with, from the edge to this host's disk. */
import { pause } from "./backoff.ts";
import { EdgeUnreachable, edgeUrl } from "./edge.ts";
import type { Logger } from "./logger.ts";
import type { AgentPorts } from "./ports.ts";
import { RecipeFailure } from "./recipes/contracts.ts";

/** Tries without a byte before the download counts as failed. */
const TRIES = 8;

export type PostedParts = {
  ports: AgentPorts;
  edge: string;
  build: string;
  attempt: number;
  lease: string;
  log: Logger;
  signal: AbortSignal;
};

/**
 * Fills `file`, behind what an earlier try brought, until it has `size` bytes.
 * @throws EdgeRefusal; RecipeFailure (storage) when the edge cannot be reached for long
 */
export async function fetchPosted(
  file: string,
  size: number,
  { ports, edge, build, attempt, lease, log, signal }: PostedParts,
): Promise<void> {
  const url = edgeUrl(edge, `agent/builds/${build}/attempts/${attempt}/context`);
  const into = ports.disk.open(file);
  let have = into.size;
  try {
    for (let failures = 0; have < size; failures++) {
      signal.throwIfAborted();
      try {
        for await (const chunk of ports.net.download(url, lease, have, signal)) {
          into.append(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
          have += chunk.byteLength;
          failures = 0;
        }
      } catch (error) {
        if (!(error instanceof EdgeUnreachable)) throw error;
        if (failures + 1 >= TRIES)
          throw new RecipeFailure("storage", `The context could not be fetched: ${error.message}`);
        log.warn("context is fetched on", { have, why: error.message });
        await pause(ports, failures, signal);
      }
    }
  } finally {
    into.close();
  }
}
