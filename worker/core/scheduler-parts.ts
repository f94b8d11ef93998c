/** What the parts of the scheduler share. */
import type { BuildRpc } from "./contracts.ts";
import type { PoolMetrics } from "./pool-metrics.ts";
import type { Clock } from "./ports.ts";
import type { Registry, Wire } from "./registry.ts";
import type { SchedulerStore } from "./scheduler-store.ts";

/** What a pool asks of a Build. */
export type BuildPort = Pick<BuildRpc, "begin" | "lost" | "unplaceable" | "summary">;

export type SchedulerParts = {
  clock: Clock;
  wire: Wire;
  /** A fresh way to one Build for each call: a stub that threw is broken. */
  builds: (build: string) => BuildPort;
  /** Takes work that no caller waits for. */
  background: (work: Promise<void>) => void;
  registry: Registry;
  store: SchedulerStore;
  metrics: PoolMetrics;
};
