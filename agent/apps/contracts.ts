/** What the agent knows of web apps: the containers that it runs, and the socket that it holds for each project. */
import type { AppTarget } from "../../shared/recipes/app.ts";

/** One container of an app. It lives longer than the attempt that started it. */
export type AppReplica = Pick<AppTarget, "project" | "generation" | "replica">;

export type AppSpec = AppReplica & {
  agent: string;
  /** Id of a local image. */
  image: string;
  env: Record<string, string>;
  limits: { memory_bytes: number; cpus: number; pids: number };
  /** Beside ours: Traefik's. */
  labels: Record<string, string>;
  /** A network of the operator's that it joins as well; null for none. */
  network: string | null;
};

export type AppFacts = AppReplica & {
  id: string;
  image: string;
  running: boolean;
  restarts: number;
  /** Of the image's HEALTHCHECK; null where it has none. */
  health: { status: "starting" | "healthy" | "unhealthy"; output: string } | null;
  /** Exit status of its last end. */
  exit_code: number | null;
  oom: boolean;
  /** Where the agent reaches it; null while it does not run. */
  address: string | null;
};

/** Web apps on the engine (agent/docker/apps.ts). Labels: `railhead.agent`, `railhead.project`, `railhead.generation`, `railhead.replica`. */
export interface AppContainers {
  /** Creates and starts it: bridge network with outbound, neighbours blocked, no new privileges, the image's own user, restarted by the engine. One that is there already is taken as it is. */
  start(spec: AppSpec): Promise<AppFacts>;
  inspect(replica: AppReplica): Promise<AppFacts | null>;
  /** All that this agent has, of every project. */
  list(): Promise<AppFacts[]>;
  /** TERM, KILL after `grace_ms`, then removed. Idempotent. */
  remove(replica: AppReplica, grace_ms: number): Promise<void>;
  /** What it printed: the engine's own frames taken apart. Ends with `signal`, or with the container when `follow`. */
  logs(
    replica: AppReplica,
    options: { since: string | null; tail: number | null; follow: boolean; signal: AbortSignal },
  ): AsyncIterable<{ stream: "stdout" | "stderr"; data: Buffer; time: string | null }>;
  /** Keeps an attempt's built image for the project under a name that `clean` and the reaper spare; its id. */
  keepImage(built: string, project: string, fingerprint: string): Promise<string>;
  /** Id of the kept image of that very context and Dockerfile; null when it is not on the host. */
  keptImage(project: string, fingerprint: string): Promise<string | null>;
  /** Removes kept images of the project, but for these fingerprints and what runs. */
  trimImages(project: string, fingerprints: readonly string[]): Promise<void>;
  /** Settles when something of an app changed on the engine: started, ended, became healthy or not. */
  changed(signal: AbortSignal): Promise<void>;
}

/** What a recipe asks of the agent's app host (agent/apps/host.ts). */
export interface AppHost {
  /** Starts the candidate beside what serves, and holds a socket to its App; both outlive this process. */
  start(candidate: Candidate, signal: AbortSignal): Promise<AppFacts>;
  /** Settles when it is healthy; throws Unhealthy with what was seen when it is not within its time. */
  healthy(candidate: Candidate, signal: AbortSignal): Promise<void>;
  /** Asks the App to send requests to it; settles when it does. Throws Refused. */
  goLive(candidate: Candidate, attempt: number, signal: AbortSignal): Promise<void>;
  /** Removes a candidate that will not serve; its last lines. */
  abandon(candidate: Candidate): Promise<string[]>;
}

export type Candidate = AppSpec & {
  port: number;
  health: AppTarget["settings"]["health"];
  /** Opens the App's socket. Secret. */
  serve: string;
  fingerprint: string;
};
