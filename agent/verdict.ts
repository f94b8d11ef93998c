/** From what stopped an attempt to what its result says: a class, and a sentence that gives nothing away. */
import { DockerError } from "./docker/contracts.ts";
import { messageOf } from "./errors.ts";
import type { Verdict } from "./journal.ts";
import type { Logger } from "./logger.ts";
import { RecipeFailure } from "./recipes/contracts.ts";
import type { Redactor } from "./redact.ts";
import { Stop } from "./stop.ts";

/** Characters of a reason: the protocol's own limit. */
const REASON_CHARS = 2_000;

export function verdictOf(cause: unknown, redactor: Redactor, log: Logger): Verdict {
  const { outcome, class: endClass, reason } = unredacted(cause, log);
  return {
    outcome,
    class: endClass,
    reason: reason === null ? null : redactor.text(reason).slice(0, REASON_CHARS),
  };
}

function unredacted(cause: unknown, log: Logger): Verdict {
  if (cause instanceof Stop) return ofStop(cause);
  if (cause instanceof RecipeFailure) return ofRecipe(cause);
  if (cause instanceof DockerError) {
    log.error("docker failed", { kind: cause.kind, why: messageOf(cause) });
    return {
      outcome: "failed",
      class: "agent_error",
      reason: `The agent's Docker engine failed: ${messageOf(cause)}. Post the build again; if it stays so, run \`railhead agent doctor\` on the host.`,
    };
  }
  log.bug("unexpected error", cause);
  return {
    outcome: "failed",
    class: isFull(cause) ? "disk_full" : "agent_error",
    reason: isFull(cause)
      ? "The agent's disk is full. Its owner must make room; post the build again."
      : "The agent met an error that it did not expect; its own log tells more. Post the build again.",
  };
}

function ofStop({ kind, message }: Stop): Verdict {
  if (kind === "timed_out") return { outcome: "timed_out", class: "timed_out", reason: message };
  return { outcome: "cancelled", class: "cancelled", reason: message };
}

function ofRecipe(failure: RecipeFailure): Verdict {
  const { class: endClass, message: reason } = failure;
  if (endClass === "timed_out") return { outcome: "timed_out", class: endClass, reason };
  if (endClass === "cancelled") return { outcome: "cancelled", class: endClass, reason };
  return { outcome: "failed", class: endClass, reason };
}

function isFull(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ENOSPC";
}
