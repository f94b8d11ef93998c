/** An attempt as the edge's side of the tests knows it. */
import { randomBytes } from "node:crypto";
import type { WebSocket } from "ws";
import type { AgentEntry } from "../../shared/log.ts";
import type { AttemptUp, Held } from "../../shared/protocol.ts";

type Result = Extract<AttemptUp, { t: "result" }>;
export type Upload = Extract<AttemptUp, { t: "upload" }> & {
  parts: Map<number, Buffer>;
  stored: boolean;
};

/** One attempt as the Build would know it. */
export class BuildSide {
  readonly held: Held;
  readonly lease = randomBytes(16).toString("hex");
  readonly log: AgentEntry[] = [];
  readonly uploads = new Map<string, Upload>();
  readonly frames: AttemptUp[] = [];
  credentials: string[] = [];
  result: Result | null = null;
  results = 0;
  starts = 0;
  done = false;
  /** Answers `refused` to the next start. */
  refused = false;
  /** Decides what becomes of a frame: taken, cut before it is taken, or cut after. */
  fate: (frame: AttemptUp, count: number) => "take" | "lose" | "take, then cut" = () => "take";
  /** Acknowledges log frames. */
  acks = true;
  socket: WebSocket | null = null;

  constructor(held: Held) {
    this.held = held;
  }

  get acked(): number {
    return this.log.length;
  }

  lines(stream?: string): string[] {
    return this.log.filter((entry) => entry.stream === stream).map((entry) => entry.msg);
  }

  file(name: string): Buffer | null {
    const upload = [...this.uploads.values()].find((one) => one.name === name && one.stored);
    return upload ? Buffer.concat([...upload.parts.values()]) : null;
  }
}
