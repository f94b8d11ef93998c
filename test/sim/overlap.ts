/** I6 and rules 9 and 10: an agent that lost its lease lets go of its attempt before another one begins. */
import { LEASE_EXPIRY_MS } from "../../shared/limits.ts";
import type { SimHost } from "./host/host.ts";

/**
 * Containers of an attempt that go on although another attempt begins, on machines that nothing disturbed for so long
 * that their agents had to notice. An attempt that was the newest for less than a lease may have been given up for
 * other reasons, of which its agent is told.
 */
export function overlap(
  { build, attempt }: { build: string; attempt: number },
  newest_ms: number,
  hosts: readonly SimHost[],
  now: number,
): string[] {
  if (newest_ms < LEASE_EXPIRY_MS) return [];
  return hosts
    .filter((host) => host.running && !host.suspended && now - host.steady_since > LEASE_EXPIRY_MS)
    .flatMap((host) => [...host.engine.containers.values()])
    .filter(({ status, spec: { owner } }) => {
      const own = owner.build === build && owner.attempt === attempt;
      return own && status === "running";
    })
    .map(({ name }) => name);
}
