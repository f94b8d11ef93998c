/**
 * What the rest of the agent knows of Docker. Only `agent/docker` touches dockerode.
 * Every failure is a DockerError with a `kind`.
 */
import type { Readable } from "node:stream";
import type { AppContainers } from "../apps/contracts.ts";

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
  /** The engine's own sentence, where it said one. */
  readonly said: string | null;
  constructor(
    kind: DockerErrorKind,
    message: string,
    { status = null, said = null }: { status?: number | null; said?: string | null } = {},
  ) {
    super(message);
    this.name = "DockerError";
    this.kind = kind;
    this.status = status;
    this.said = said;
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
  /** What makes its cgroups; null where it does not say. */
  cgroup_driver: string | null;
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

/** Who logs in at a registry. */
export type RegistryLogin = {
  /** Host, with its port; null for Docker Hub. */
  registry: string | null;
  username: string;
  password: string;
};

/** A local image. */
export type ImageFacts = {
  /** `sha256:…` */
  id: string;
  /** Bytes of all its layers, unpacked. */
  size_bytes: number;
  /** By tag and by digest, as `docker images` shows them. */
  names: string[];
  /** Instructions that a build FROM it runs. */
  on_build: string[];
};

/** A word that a step may read while it runs (`RUN --mount=type=secret`). It is in no layer, and in no history. */
export type BuildSecret = { id: string; value: string };

export type BuildKit = {
  kind: "buildkit";
  /** Of RUN steps. It knows no network of ours: `bridge` is the engine's own, where the host and its neighbours are reached. */
  network: "none" | "bridge";
  secrets: readonly BuildSecret[];
};

/** Which of the engine's two builders. The limits of a build hold with the classic one alone. */
export type Builder = { kind: "classic" } | BuildKit;

/** One build. */
export type ImageSpec = {
  owner: Owner;
  builder: Builder;
  /** Path in the context. */
  dockerfile: string;
  stage: string | null;
  args: Record<string, string>;
  labels: Record<string, string>;
  /** Images on the host whose layers may be taken instead of made anew; BuildKit takes none. */
  cache_from: string[];
  login: RegistryLogin | null;
  limits: Limits;
  /** Bytes of all its layers. */
  max_bytes: number;
};

/** What a build says, and how it failed, unless it ends well. `message` is the engine's own. */
export type BuildEvent =
  | { kind: "output"; chunk: Chunk }
  | { kind: "failed"; message: string }
  /** A step wrote more than `limits.disk_bytes`, or the image has more than `max_bytes`. */
  | { kind: "outgrown"; what: "step" | "image" };

/** What a push says, and how it ended. */
export type PushEvent =
  | { kind: "output"; chunk: Chunk }
  | { kind: "failed"; message: string }
  | { kind: "pushed"; digest: string };

/** Images on the engine. What an attempt makes there is in a ledger on disk, so that `clean` and `reap` find it. */
export interface Images {
  /** Null when it is not on the host. An id, or its beginning, is no reference that others may use: look at `names`. */
  inspect(reference: string): Promise<ImageFacts | null>;
  /** Brings a base image to the host, to stay until `trim`. */
  pull(reference: string, login: RegistryLogin | null, signal: AbortSignal): Promise<void>;
  /** Whether `pull` brought it with a login: whoever has none must not get it from the host. */
  isGuarded(reference: string): boolean;
  /** Runs `work` while none of these names can change. */
  holding<T>(references: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Builds under a name that is the attempt's own, `builtImage`. */
  build(spec: ImageSpec, context: Readable, signal: AbortSignal): AsyncIterable<BuildEvent>;
  /** Images that the stages of an attempt's build ended with, made or taken from `cache_from`, until `clean`. */
  stages(owner: Owner): Promise<string[]>;
  /** @throws DockerError `conflict` when `naming` could not give the name: the host's owner has an image that bears it */
  checkName(reference: string): Promise<void>;
  /**
   * Runs `work` while the attempt's image bears that name on the host: alone, and never instead of an image that
   * is not of our pulling. @throws DockerError `conflict` when there is one
   */
  naming<T>(owner: Owner, reference: string, work: () => Promise<T>): Promise<T>;
  /** What `docker load` takes, of an image by its id: it names none. */
  save(id: string): Promise<Readable>;
  push(
    reference: string,
    login: RegistryLogin | null,
    signal: AbortSignal,
  ): AsyncIterable<PushEvent>;
  /** Removes what `pull` brought and no build used for longest, until the rest has at most `max_bytes`. */
  trim(max_bytes: number): Promise<void>;
  /** Removes what BuildKit keeps of builds, the oldest first, until the rest has at most `max_bytes`. */
  pruneCache(max_bytes: number): Promise<void>;
}

export interface DockerHost {
  readonly images: Images;
  readonly apps: AppContainers;
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
  /** Everything of this owner goes: containers, volumes, networks, disks, images. Idempotent. */
  clean(owner: Owner): Promise<void>;
  /** Cleans what belongs to this agent and to no attempt in `live`; answers what it removed. */
  reap(agent: string, live: { build: string; attempt: number }[]): Promise<string[]>;
  /** Removes all that this agent has on the host: containers, volumes and images (caches too), network, firewall rules, disks. */
  retire(): Promise<void>;
}

/** Volume that holds an attempt's workspace. */
export function workspaceVolume(owner: Owner): string {
  return `railhead-${owner.build}-${owner.attempt}`;
}

/** Name of the image that an attempt built, as long as it is there. */
export function builtImage({ build, attempt }: Omit<Owner, "agent">): string {
  return `railhead.local/${build}-${attempt}:latest`;
}
