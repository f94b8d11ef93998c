/** What the App and the Routes objects promise each other and the API. Expected failures are values here, never throws. */
import type { ProjectView } from "../../shared/apps.ts";
import type { BuildState, EndClass } from "../../shared/builds.ts";
import type { AppSettings } from "../../shared/recipes/app.ts";
import type { BuildContext, Caller } from "./contracts.ts";

export type DeployRequest = {
  project: string;
  rule: string;
  settings: AppSettings;
  /** The id of the first replica's build, which is the deploy's logid; made by the Worker, under which the context lies. */
  build: string;
  /** In the bucket; the App removes it once no kept deployment needs it. */
  context: BuildContext;
  caller: Caller;
};

export type DeployAnswer =
  | { kind: "ok"; generation: number }
  | { kind: "refused"; code: "rate_limited" | "queue_full"; retry_after_s: number };

/** How a build of a replica ended; delivered by the Build's outbox, idempotent by build. */
export type ReplicaBuilt = {
  build: string;
  outcome: BuildState;
  class: EndClass | null;
  reason: string | null;
};

export interface AppRpc {
  /** Deploys run in order; one that waits is superseded by a newer. Idempotent by build. */
  deploy(request: DeployRequest): Promise<DeployAnswer>;
  /** A new deployment of what an earlier, kept one was built from; `to` null: the one that served before. */
  rollback(
    to: number | null,
    build: string,
    caller: Caller,
  ): Promise<DeployAnswer | { kind: "refused"; code: "unknown" | "none" }>;
  /** Null when there is no such project. */
  view(): Promise<ProjectView | null>;
  /** Stops it everywhere and forgets it. False when there is no such project. */
  remove(): Promise<boolean>;
  /** Sets and, with null, unsets variables for deployments to come. `redeploy`: deploys what is current again, with them. */
  setEnv(changes: Record<string, string | null>): Promise<ReadonlyArray<string> | null>;
  built(end: ReplicaBuilt): Promise<void>;
}

/** One row of the table of all rules. Times are milliseconds since the epoch. */
export type Route = { project: string; rule: string };

export interface RoutesRpc {
  /** Gives a project its rule, in place of its old one. Refused when another project has the very same. */
  put(route: Route): Promise<{ kind: "ok" } | { kind: "taken"; by: string }>;
  remove(project: string): Promise<void>;
  /** Every rule, by priority: the longest first, then by name. */
  list(): Promise<Route[]>;
}

/** There is one Routes object, of this name. */
export const ROUTES_NAME = "routes";
