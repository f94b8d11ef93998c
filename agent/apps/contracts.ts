/** What the agent knows of web apps: the containers that it runs, and who decides over them. */
import type { AppTarget } from "../../shared/recipes/app.ts";

/** One container of an app, known by the build that made it. It lives longer than the attempt that started it. */
export type AppReplica = Pick<AppTarget, "project" | "generation" | "replica"> & {
  build: string;
  /** Of the build: what an earlier attempt left is not taken for this one's. */
  attempt: number;
};

export type AppSpec = AppReplica & {
  /** Id of a local image. */
  image: string;
  env: Record<string, string>;
  limits: { memory_bytes: number; cpus: number; pids: number };
  /** Beside ours: Traefik's. */
  labels: Record<string, string>;
  /** A network of the operator's in place of our own, which lets out only; null for ours. */
  network: string | null;
  /** A network of the operator's that it joins as well; null for none. */
  traefik_network: string | null;
};

export type AppFacts = AppReplica & {
  /** Of the container. */
  id: string;
  running: boolean;
  /** It ended, and the engine will start it again. */
  restarting: boolean;
  restarts: number;
  /** Of the image's HEALTHCHECK; null where it has none. */
  health: { status: "starting" | "healthy" | "unhealthy"; output: string } | null;
  /** Exit status of its last end; null while it runs. */
  exit_code: number | null;
  oom: boolean;
  /** Where the agent reaches it; null while it does not run. */
  address: string | null;
};

export type AppLog = {
  stream: "stdout" | "stderr";
  /** A line, with its newline; a part of one that is longer than 16 KiB. */
  data: Buffer;
  /** RFC 3339, with nanoseconds. */
  time: string;
};

export type LogsWanted = {
  /** RFC 3339; null for the beginning of what is kept. */
  since: string | null;
  /** Lines; null for all. */
  tail: number | null;
  follow: boolean;
};

/** Web apps on the engine (agent/docker/apps.ts). Their containers carry no label of an attempt, so that `clean` and `reap` pass them by. */
export interface AppContainers {
  /**
   * Creates and starts it, behind the firewall's rules. The engine does not start it again before `keepUp`. One that
   * this attempt has started before is taken as it is.
   * @throws DockerError `invalid` where the host has no network for it
   */
  start(spec: AppSpec): Promise<AppFacts>;
  /** From now on the engine starts it again whenever it ends, after a boot too. */
  keepUp(id: string): Promise<void>;
  inspect(build: string): Promise<AppFacts | null>;
  /** All that this agent has, of every project. */
  list(): Promise<AppReplica[]>;
  /** TERM, KILL after `grace_ms`, then removed. Idempotent. */
  remove(build: string, grace_ms: number): Promise<void>;
  /** What it printed. Ends with `signal`, and when the container ends. */
  logs(build: string, wanted: LogsWanted, signal: AbortSignal): AsyncIterable<AppLog>;
  /** Sets right what the network of apps is behind: a boot of the host leaves containers without it. */
  secure(): Promise<void>;
  /**
   * Keeps an attempt's built image for the project, when its own name is taken away, and instead of those of the build
   * before the `stages` of this one, for their layers. @returns id of the first
   */
  keepImage(
    built: string,
    project: string,
    fingerprint: string,
    stages: readonly string[],
  ): Promise<string>;
  /** Runs `work` with the names of all that is kept of a project: none is removed meanwhile. */
  lending<T>(project: string, work: (layers: string[]) => Promise<T>): Promise<T>;
  /** Id of the kept image of that very context and Dockerfile; null when it is not on the host. */
  keptImage(project: string, fingerprint: string): Promise<string | null>;
  /** Removes kept images of the project, but for these fingerprints and what runs. */
  trimImages(project: string, fingerprints: readonly string[]): Promise<void>;
  /** Removes kept images of all projects but these. */
  trimProjects(projects: readonly string[]): Promise<void>;
}

/** A version that is to be started, looked at, and let serve. */
export type Candidate = AppSpec & {
  port: number;
  health: AppTarget["settings"]["health"];
  fingerprint: string;
  /** Opens the App's socket. Secret. */
  serve: string;
};

/** Why a candidate will never serve. */
export class Refused extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "Refused";
  }
}

/** What the recipe asks of the agent's app host (agent/apps/host.ts). */
export interface AppRunner {
  /** Until it is disposed of, no image of that project and fingerprint is removed: it may be about to run. */
  claim(image: Pick<AppTarget, "project" | "fingerprint">): Disposable;
  /** Starts the candidate beside what serves, and holds a socket to its App; both outlive this process. */
  start(candidate: Candidate): Promise<void>;
  /** Asks the App to send requests to it; settles when it does. Throws Refused. */
  goLive(build: string, signal: AbortSignal): Promise<void>;
  /** Removes a candidate of this attempt that will not serve. Idempotent. */
  abandon(replica: Pick<AppReplica, "build" | "attempt">): Promise<void>;
  /** Removes images of projects that run here no more. */
  trim(): Promise<void>;
}
