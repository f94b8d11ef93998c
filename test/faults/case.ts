/** A case of the fault suite: what is broken, on the real stack, and what must hold afterwards (spec: failures I1–I9). */
import type { FaultWorld } from "./world.ts";

export const AREAS = [
  "agent",
  "control plane",
  "network",
  "races",
  "logs",
  "artifacts",
  "host",
  "input",
] as const;
export type Area = (typeof AREAS)[number];

export type FaultCase = {
  area: Area;
  /** What happens, in a few words: a line of the table. */
  name: string;
  /** Runs inside `npm test` too: a matter of seconds. */
  quick: boolean;
  /** Why it cannot run on this machine; null when it can. Looked at before `run`. */
  impossible?: () => Promise<string | null>;
  /** Breaks something, heals it (`world.healed()` starts the clock of recovery), and asserts what is special to the case. */
  run(world: FaultWorld): Promise<void>;
};
