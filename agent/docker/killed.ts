import type { Inspected } from "./engine.ts";

/** What a container exits with that SIGKILL ended: 128 and the signal's number. */
export const KILLED_CODE = 137;

/**
 * Whether the kernel killed a container for memory, when none of us killed it. The engine's flag alone does not do: containerd
 * loses the kernel's notice when the container's cgroup is gone before the notice is read.
 */
export function killedForMemory({
  OOMKilled,
  ExitCode,
}: Pick<Inspected["State"], "OOMKilled" | "ExitCode">): boolean {
  return OOMKilled || ExitCode === KILLED_CODE;
}
