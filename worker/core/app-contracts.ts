/** What the App and the Routes objects promise each other and the API. Expected failures are values here, never throws. */
import type { ProjectView } from "../../shared/apps.ts";
import type { BuildState, EndClass } from "../../shared/builds.ts";
import type { AppSettings } from "../../shared/recipes/app.ts";
import type { BuildContext, Caller } from "./contracts.ts";

export type DeployRequest = {
  project: string;
  rule: string;
  settings: AppSettings;
  /** SHA-256 of the context's SHA-256 and the Dockerfile's path. */
  fingerprint: string;
  /** The id of the first replica's build, which is the deploy's logid; made by the Worker, under which the context lies. */
  build: string;
  /** In the bucket; the App removes it once no kept deployment needs it. */
  context: BuildContext;
  caller: Caller;
};

export type DeployRefused =
  | { kind: "refused"; code: "rate_limited" | "queue_full"; retry_after_s: number }
  /** Another project has this very rule. */
  | { kind: "refused"; code: "rule_taken"; by: string };

export type DeployAnswer = { kind: "ok"; generation: number; build: string } | DeployRefused;

export type RollbackAnswer =
  | DeployAnswer
  /** There is no such project. */
  | { kind: "refused"; code: "unknown" }
  /** `kept`: the generations that may be gone back to, newest first; what serves is the first of them. */
  | { kind: "refused"; code: "not_kept"; kept: number[] };

/** `env`: the names of all. `chars`: what all would have, of which ENVIRONMENT_CHARS may be. */
export type EnvAnswer =
  | { kind: "ok"; env: string[] }
  | { kind: "refused"; code: "too_large"; chars: number };

/** How a build of a replica ended; delivered by the Build's outbox, idempotent by build. */
export type ReplicaBuilt = {
  build: string;
  outcome: BuildState;
  class: EndClass | null;
  reason: string | null;
};

export interface AppRpc {
  /** Deploys go live in order; one that waits is superseded by a newer. Idempotent by build. */
  deploy(request: DeployRequest): Promise<DeployAnswer>;
  /**
   * A new deployment of what an earlier, kept one was made from, with its rule and settings. `to` null: the one that
   * served before. `build`: the id of its first build.
   */
  rollback(to: number | null, build: string, caller: Caller): Promise<RollbackAnswer>;
  /** Null when there is no such project. */
  view(): Promise<ProjectView | null>;
  /** Stops it everywhere and forgets it. False when there is no such project. */
  remove(): Promise<boolean>;
  /**
   * Sets variables, and unsets those that are null, for deployments to come: all of them or none. The first one makes
   * the project. Values stay sealed.
   */
  setEnv(project: string, changes: Record<string, string | null>): Promise<EnvAnswer>;
  built(end: ReplicaBuilt): Promise<void>;
}

export type Route = { project: string; rule: string };

export interface RoutesRpc {
  /**
   * Has a project in the list of all, with these rules and no others. Those that another project has stay with it: they
   * are the answer. Idempotent.
   */
  put(project: string, rules: string[]): Promise<Route[]>;
  /** The project that has this very rule. */
  holder(rule: string): Promise<string | null>;
  /** Takes it out of the list, and its rules. Idempotent. */
  remove(project: string): Promise<void>;
  /** Every rule, by priority: the longest first, then by project. */
  list(): Promise<Route[]>;
  /** All projects, by name. */
  projects(): Promise<string[]>;
}

/** There is one Routes object, of this name. */
export const ROUTES_NAME = "routes";
