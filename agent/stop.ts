/** Why an attempt stops before its recipe is through. */
export type StopKind =
  /** The build was cancelled, or its time is over: clean up and report it. */
  | "cancelled"
  | "timed_out"
  /** The attempt is another's, or nobody's: clean up, report nothing. */
  | "over"
  /** The host lost what it needs to go on (a reboot, a vanished container): the same, and another agent may try. */
  | "abandoned";

export class Stop extends Error {
  readonly kind: StopKind;
  constructor(kind: StopKind, reason: string) {
    super(reason);
    this.name = "Stop";
    this.kind = kind;
  }

  /** Whether the edge is told a result. */
  get reported(): boolean {
    return this.kind === "cancelled" || this.kind === "timed_out";
  }
}
