/** Exit statuses of the agent, documented in `railhead-agent --help`. */
export const EXIT = {
  ok: 0,
  /** `doctor` found a failure, or a command could not do its work. */
  failed: 1,
  /** Wrong option, setting or file. */
  usage: 2,
  /** The edge does not know this agent, or an operator removed it. */
  refused: 3,
  /** Another process of the same agent took over. */
  superseded: 4,
} as const;

/** Ends the process with one line for the operator. */
export class AgentExit extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "AgentExit";
    this.status = status;
  }
}

/** What an unknown thrown value says, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").slice(0, 500);
}
