/** What the rooms of one Build share. */
import type { BuildPorts } from "./build-ports.ts";
import type { BuildRows } from "./build-rows.ts";
import type { Deadlines } from "./deadlines.ts";
import type { LogStore } from "./log-store.ts";
import type { Outbox } from "./outbox.ts";

export type BuildParts = {
  ports: BuildPorts;
  rows: BuildRows;
  log: LogStore;
  deadlines: Deadlines;
  outbox: Outbox;
};
