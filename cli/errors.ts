/** Exit statuses of `railhead`: scripts may switch on them. */
export const EXIT = {
  ok: 0,
  /** The build failed, was cancelled or timed out; or a local command could not do its work. */
  failed: 1,
  usage: 2,
  /** The edge said no: a 4xx. */
  refused: 3,
  /** The edge could not be reached, or had an error of its own. */
  unreachable: 4,
  /** The edge answered, but a git host did not answer it. */
  remoteUnreachable: 5,
  interrupted: 130,
} as const;

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

/** An end that the person at the terminal is told in one line, which says what to do. */
export class CliError extends Error {
  readonly status: ExitStatus;
  constructor(message: string, status: ExitStatus = EXIT.failed) {
    super(message);
    this.name = "CliError";
    this.status = status;
  }
}

/** What the edge answered with a status of 400 and above. */
export class EdgeRefusal extends CliError {
  readonly http: number;
  /** Stable word of the problem (shared/problem.ts); null from something that is no Railhead. */
  readonly code: string | null;
  /** Members of the problem body. */
  readonly members: Readonly<Record<string, unknown>>;
  /** Where the edge points instead, from Location. */
  readonly location: string | null;

  constructor(
    message: string,
    answer: Pick<EdgeRefusal, "http" | "code" | "members" | "location">,
  ) {
    super(message, statusOf(answer));
    this.name = "EdgeRefusal";
    this.http = answer.http;
    this.code = answer.code;
    this.members = answer.members;
    this.location = answer.location;
  }
}

function statusOf({ http, code }: Pick<EdgeRefusal, "http" | "code">): ExitStatus {
  if (code === "remote_unreachable") return EXIT.remoteUnreachable;
  return http < 500 ? EXIT.refused : EXIT.unreachable;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system's own code of an error (`ENOENT`), wherever fetch has hidden it. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error instanceof AggregateError) return systemCode(error.errors[0]);
  return systemCode(error.cause);
}
