/** Starts again what ended unasked, so that builds that run can go on. */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../errors.ts";
import { duration } from "../terminal.ts";
import type { AgentEnd, LocalAgent } from "./agents.ts";
import type { Edge } from "./edge.ts";

export type Reviver = {
  /** Whether the stack is ending: then nothing is started any more. */
  ending: () => boolean;
  /** Told what happens, one line at a time. */
  say: (line: string) => void;
};

/** Milliseconds before a Worker that ended is started again. */
const EDGE_PAUSE_MS = 1_000;
/** Milliseconds before an agent that crashed is started again; doubled with every crash that follows. */
const AGENT_PAUSE_MS = 1_000;
const AGENT_MAX_PAUSE_MS = 30_000;
/** Milliseconds an agent must have run for its crash to count as the first. */
const STEADY_MS = 60_000;
/** What an agent's process ends with when it could not go on; the other statuses are decisions of its own. */
const CRASHED_STATUS = 1;

/** Starts the Worker again on its port and state. Nothing is thrown. */
export async function reviveEdge(edge: Edge, { ending, say }: Reviver): Promise<void> {
  await sleep(EDGE_PAUSE_MS);
  if (ending()) return;
  try {
    await edge.kill();
    await edge.start();
    say("The Worker runs again.");
  } catch (error) {
    say(messageOf(error));
  }
}

/** Starts one agent again after each of its crashes. */
export class AgentReviver {
  readonly #reviver: Reviver;
  #crashes = 0;

  constructor(reviver: Reviver) {
    this.#reviver = reviver;
  }

  /** Whether `end` was a crash; if so the agent starts again after a pause, which is said. */
  revive(agent: LocalAgent, end: AgentEnd): boolean {
    if (end.status !== null && end.status !== CRASHED_STATUS) return false;
    this.#crashes = end.ran_ms > STEADY_MS ? 1 : this.#crashes + 1;
    const pause = Math.min(AGENT_PAUSE_MS * 2 ** (this.#crashes - 1), AGENT_MAX_PAUSE_MS);
    const { ending, say } = this.#reviver;
    say(`${agent.name} ${end.why} and starts again in ${duration(pause)}. Its log: ${agent.log}`);
    const timer = setTimeout(() => {
      if (!ending() && agent.pid === null) agent.start();
    }, pause);
    timer.unref();
    return true;
  }
}
