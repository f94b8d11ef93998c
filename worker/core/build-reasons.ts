/** The sentences of the ends that the edge itself decides: what happened, and what to do next. */
import type { EndClass } from "../../shared/builds.ts";
import { ATTEMPT_DEADLINE_MS, MAX_ATTEMPTS, QUEUE_DEADLINE_MS } from "../../shared/limits.ts";

const MINUTE_MS = 60_000;

export const REASONS = {
  queueTimeout: `no agent took it within ${QUEUE_DEADLINE_MS / MINUTE_MS} minutes. Look at the agents of its pool (railhead agents), then post it again.`,
  attemptTimeout: `it ran for more than ${ATTEMPT_DEADLINE_MS / MINUTE_MS} minutes. Make the build shorter, or ask the operator for a longer limit.`,
  agentLost: (agent: string, why: string) =>
    `agent ${agent} was lost (${why}), as were those before it: ${MAX_ATTEMPTS} attempts were started. Look at the agents (railhead agents), then post it again.`,
  cancelled: "it was cancelled by a caller.",
  cancelledUnconfirmed:
    "it was cancelled by a caller; its agent did not answer in time and cleans up when it returns.",
  cancelledByAgent: "it was cancelled by its agent. Post it again.",
  unfinishedUpload:
    "its agent named a file that it had not uploaded. Post it again; if it happens again, upgrade the agent.",
  storage:
    "its files could not be published: the storage did not answer. Post it again when it does.",
} as const;

/** For an agent that gave a class without words. */
export function reasonOf(endClass: EndClass): string {
  return `${endClass.replaceAll("_", " ")}. The log has the rest.`;
}
