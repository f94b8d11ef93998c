/** The agent's Docker room: `dockerHost` is all that the rest of the agent takes from it, beside its contracts. */
import type { DockerHost } from "./contracts.ts";
import { type DockerHostOptions, Host } from "./host.ts";

export { DEFAULT_SOCKET, type DockerHostOptions } from "./host.ts";

/**
 * One engine, as one agent sees it. Connects on use; throws DockerError `invalid` for options that cannot be right.
 */
export function dockerHost(options: DockerHostOptions): DockerHost {
  return new Host(options);
}
