/**
 * What the rest of the agent knows of Docker. Only `agent/docker` touches dockerode.
 * Every failure is a DockerError with a `kind`.
 */
import type { Readable } from "node:stream";

export type DockerErrorKind =
  | "gone"
  | "conflict"
  | "auth"
  | "not_found"
  | "unavailable"
  | "invalid"
  | "timeout";

export class DockerError extends Error {
  readonly kind: DockerErrorKind;
  readonly status: number | null;
  constructor(kind: DockerErrorKind, message: string, status: number | null = null) {
    super(message);
    this.name = "DockerError";
    this.kind = kind;
    this.status = status;
  }
}

/** Which attempt a container, volume or network belongs to; becomes its labels and its name. */
export type Owner = { agent: string; build: string; attempt: number };

export type Limits = {
  /** Cores; clamped to what the engine has. */
  cpus: number;
  memory_bytes: number;
  pids: number;
  /** Bytes the workspace volume may grow to. */
  disk_bytes: number;
};

export type Network =
  | { kind: "none" }
  /** Outbound only: no host, no neighbour, no private address. `none` where the host cannot enforce it. */
  | { kind: "outbound" }
  /** The host's own: only a fetch from a loopback remote that the operator named. */
  | { kind: "host" };

export type Mount = { volume: string; target: string; read_only: boolean };

/** One hardened container (DESIGN.md rule 6, docker.md section 5). */
export type RunSpec = {
  owner: Owner;
  /** `fetch`, `build`, …: part of the name, so creating it is a compare-and-set (rule 12). */
  phase: string;
  image: string;
  command: string[];
  /** Never a secret: `docker inspect` shows it. */
  env: Record<string, string>;
  working_dir: string;
  mounts: Mount[];
  network: Network;
  limits: Limits;
  /** Milliseconds after which the container is killed whoever watches. */
  deadline_ms: number;
  /** Written to stdin, then closed: the way for secrets. Null: no stdin. */
  stdin: string | null;
};

export type Chunk = {
  stream: "stdout" | "stderr";
  data: Buffer;
  /** The engine was away before this: what it had read of either stream and not yet kept is lost. */
  behindGap?: true;
};

export type KillReason = "deadline" | "cancel" | "disk" | "lease";

export type Exit = {
  code: number;
  /** The kernel killed something of it for memory. */
  oom: boolean;
  /** Why we killed it; null when it ended by itself. */
  killed: KillReason | null;
};

export interface RunHandle {
  readonly id: string;
  readonly name: string;
  /**
   * Starts it and reads its output live; a consumer that waits makes the container wait (rule 14). An adopted container
   * that was only created is started too; for one that was started before, nothing happens.
   */
  start(): Promise<void>;
  /** Output from `start`, or, for an adopted container, what the engine kept from the beginning on. Ends with the container. */
  output(): AsyncIterable<Chunk>;
  /**
   * Whether `output` begins with the container's first byte: false when the engine had to drop the beginning of what
   * it kept for an adopted container, so that offsets mean nothing. True for a container that was started here.
   */
  complete(): Promise<boolean>;
  /** Settles when the container has ended, whatever happens to a connection. Throws `gone` when it was removed. */
  wait(): Promise<Exit>;
  /** TERM, then KILL after `grace_ms`. Idempotent. */
  kill(reason: KillReason, grace_ms: number): Promise<void>;
  /** Files below `path` as a tar stream, cut with an error beyond `max_bytes`. Works after the end. */
  get(path: string, max_bytes: number): Promise<Readable>;
  /** Unpacks a tar stream at `path`, which must exist and be in a volume. */
  put(path: string, tar: Readable | Buffer): Promise<void>;
  remove(): Promise<void>;
}

export type VolumeSpec = {
  name: string;
  labels: Record<string, string>;
  /** A hard limit where the host can give one (loop-mounted), else the watcher's. */
  bytes: number | null;
};

export type HostFacts = {
  engine_id: string;
  engine_version: string;
  cpus: number;
  memory_bytes: number;
  cgroup_version: string;
  live_restore: boolean;
  userns: boolean;
  seccomp: boolean;
  /** Can set the firewall rules that `outbound` needs. */
  firewall: boolean;
  /** Can make loop-mounted volumes with a hard size. */
  quota: boolean;
  data_root: string;
  /** Null where the agent cannot see the engine's disk. */
  disk_free_bytes: number | null;
  disk_total_bytes: number | null;
};

export interface DockerHost {
  facts(): Promise<HostFacts>;
  /** Id of a local image (`sha256:…`); null when it is not on the host. */
  imageId(reference: string): Promise<string | null>;
  pull(reference: string): Promise<void>;
  /** Creates, does not start. A container of that owner and phase that is already there: kind `conflict`. */
  create(spec: RunSpec): Promise<RunHandle>;
  /** The container of that owner and phase, running or ended; null when there is none. */
  adopt(owner: Owner, phase: string): Promise<RunHandle | null>;
  createVolume(spec: VolumeSpec): Promise<void>;
  removeVolume(name: string): Promise<void>;
  volumes(
    label: string,
  ): Promise<{ name: string; labels: Record<string, string>; bytes: number | null }[]>;
  /** Everything labelled with this owner goes: containers, volumes, networks, disks. Idempotent. */
  clean(owner: Owner): Promise<void>;
  /** Cleans what belongs to this agent and to no attempt in `live`; answers what it removed. */
  reap(agent: string, live: { build: string; attempt: number }[]): Promise<string[]>;
  /** Removes all that this agent has on the host: containers, volumes (caches too), network, firewall rules, disks. */
  retire(): Promise<void>;
}

/** Volume that holds an attempt's workspace. */
export function workspaceVolume(owner: Owner): string {
  return `railhead-${owner.build}-${owner.attempt}`;
}
