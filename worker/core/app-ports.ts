/** What an App is given instead of the platform. */
import type { AppDown } from "../../shared/apps.ts";
import type { RoutesRpc } from "./app-contracts.ts";
import type { AppRows } from "./app-rows.ts";
import type { BuildRpc, Sealed } from "./contracts.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Outbox } from "./outbox.ts";
import type { Alarm, Clock, Random, Sql } from "./ports.ts";

/** The sockets of the replicas, by build. Without one, nothing happens. */
export interface AppSockets {
  isOpen(build: string): boolean;
  send(build: string, frame: AppDown): void;
  /** Closes it for good: the agent shall not come back with it. */
  end(build: string): void;
}

export type AppPorts = {
  sql: Sql;
  clock: Clock;
  random: Random;
  alarm: Alarm;
  sockets: AppSockets;
  vault: {
    seal(text: string): Promise<Sealed>;
    unseal(sealed: Sealed): Promise<string | null>;
    /** SHA-256 as hex. */
    digest(text: string): Promise<string>;
  };
  build(id: string): Pick<BuildRpc, "ensure" | "cancel">;
  routes(): RoutesRpc;
  /** The pool that an app's builds go to. */
  pool(project: string): string;
  /** Removes a context from the bucket. Idempotent. */
  dropContext(key: string): Promise<void>;
  /** Lets work go on behind the current event; it never throws. */
  background(work: Promise<void>): void;
  /** Tells the operator of a fault that is survived by trying again. */
  report(what: string, error: unknown): void;
};

export type AppParts = {
  ports: AppPorts;
  rows: AppRows;
  outbox: Outbox;
  deadlines: Deadlines;
};
