/**
 * The calls to the engine that we use; those about images are in engine-images.ts, and no third file knows dockerode.
 * Every call throws a DockerError and settles: dockerode's own promises stay pending for ever when a connection dies
 * at the wrong moment.
 */
import type { Duplex, Readable } from "node:stream";
import Dockerode from "dockerode";
import { call, mappedCall, type Split } from "./calls.ts";
import { DockerError } from "./contracts.ts";
import { EngineImages } from "./engine-images.ts";
import { type Labels, labelFilter } from "./labels.ts";

export type ContainerBody = Dockerode.ContainerCreateOptions;
export type MountBody = Dockerode.MountSettings;
export type Inspected = Dockerode.ContainerInspectInfo;
export type VolumeInfo = Dockerode.VolumeInspectInfo;
export type NetworkBody = Dockerode.NetworkCreateOptions;

/** What of the engine's `info` we read; dockerode leaves it untyped. */
export type EngineInfo = {
  ID: string;
  ServerVersion: string;
  NCPU: number;
  MemTotal: number;
  CgroupVersion?: string;
  LiveRestoreEnabled?: boolean;
  SecurityOptions?: string[] | null;
  DockerRootDir: string;
  CgroupDriver?: string;
};

export type LogQuery = {
  follow: boolean;
  /** Each frame begins with its time (RFC 3339) and a blank. */
  timestamps?: true;
  /** Seconds since the epoch, with a fraction. */
  since?: string;
  tail?: number;
};

/** Milliseconds of a call that moves a source or an artifact. */
const ARCHIVE_MS = 10 * 60_000;
/** Milliseconds that the engine may take to end a container, beside what the container is given. */
const STOP_MS = 60_000;

export class Engine {
  readonly images: EngineImages;
  readonly #docker: Dockerode;

  /** @param socket path of the engine's socket */
  constructor(socket: string) {
    this.#docker = new Dockerode({ socketPath: socket });
    this.images = new EngineImages(this.#docker);
  }

  info(): Promise<EngineInfo> {
    return call("ask the engine about itself", () => this.#docker.info());
  }

  /** @returns the container's id */
  async createContainer(name: string, body: ContainerBody): Promise<string> {
    const split: Split = { _query: { name }, _body: { ...body } };
    const made = await call(`create the container ${name}`, () =>
      this.#docker.createContainer(split as ContainerBody & Split),
    );
    return made.id;
  }

  inspect(id: string): Promise<Inspected> {
    return call("inspect the container", () => this.#docker.getContainer(id).inspect());
  }

  /** Bytes that a container has written over its image. */
  async written(id: string): Promise<number> {
    // dockerode's types do not know the option.
    const options = { size: true } as Dockerode.ContainerInspectOptions;
    const found: Inspected & { SizeRw?: number } = await call("measure the container", () =>
      this.#docker.getContainer(id).inspect(options),
    );
    return found.SizeRw ?? 0;
  }

  async start(id: string): Promise<void> {
    await call("start the container", () => this.#docker.getContainer(id).start());
  }

  /** The connection that carries framed output, and input when `stdin`; attached before `start` it misses nothing. */
  async attach(id: string, stdin: boolean): Promise<Duplex> {
    // Asked to open stdin, dockerode sends either nothing at all or a body that may reach the container as its input.
    const split = {
      _query: { stream: true, stdin, stdout: true, stderr: true },
      _body: {},
      hijack: true,
    };
    const stream = await call("attach to the container", () =>
      this.#docker.getContainer(id).attach(split as Dockerode.ContainerAttachOptions & Split),
    );
    return stream as Duplex;
  }

  /**
   * The engine's own answer that the container has ended. The one call without a time limit: it is the caller's to
   * abort, and never to rely on.
   */
  async waited(id: string, signal: AbortSignal): Promise<void> {
    const what = "wait for the container";
    const options = { condition: "not-running" as const, abortSignal: signal };
    const answer: { StatusCode?: unknown } = await mappedCall(what, () =>
      this.#docker.getContainer(id).wait(options),
    );
    // A connection that was closed in good order looks like an answer.
    if (typeof answer.StatusCode !== "number") {
      throw new DockerError("unavailable", `cannot ${what}: the engine went away`);
    }
  }

  async kill(id: string, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await call("kill the container", () => this.#docker.getContainer(id).kill({ signal }));
  }

  async pause(id: string): Promise<void> {
    await call("pause the container", () => this.#docker.getContainer(id).pause());
  }

  async unpause(id: string): Promise<void> {
    await call("unpause the container", () => this.#docker.getContainer(id).unpause());
  }

  /** TERM, and KILL after `grace_ms`; it is not started again by the engine. */
  async stop(id: string, grace_ms: number): Promise<void> {
    const seconds = Math.ceil(grace_ms / 1000);
    await call(
      "stop the container",
      () => this.#docker.getContainer(id).stop({ t: seconds }),
      STOP_MS + seconds * 1000,
    );
  }

  /** Has the engine start it again whenever it ends. */
  async restartAlways(id: string): Promise<void> {
    await call("keep the container up", () =>
      this.#docker.getContainer(id).update({ RestartPolicy: { Name: "unless-stopped" } }),
    );
  }

  /** Removes a container, running or not, and its anonymous volumes. */
  async removeContainer(id: string): Promise<void> {
    await call("remove the container", () =>
      this.#docker.getContainer(id).remove({ force: true, v: true }),
    );
  }

  /** What the engine kept of the output, framed; with `follow` on until the container or the connection ends. */
  async logs(id: string, wanted: LogQuery): Promise<Readable> {
    // dockerode streams only what it follows, and would gather the rest in memory: so the query is told apart.
    const split = {
      _query: { ...wanted, stdout: true, stderr: true },
      _body: {},
      follow: true as const,
    };
    const stream = await call("read the container's output", () =>
      this.#docker.getContainer(id).logs(split),
    );
    return stream as Readable;
  }

  async getArchive(id: string, path: string): Promise<Readable> {
    const stream = await call(`read ${path} in the container`, () =>
      this.#docker.getContainer(id).getArchive({ path }),
    );
    return stream as Readable;
  }

  async putArchive(id: string, path: string, tar: Readable | Buffer): Promise<void> {
    await call(
      `write ${path} in the container`,
      () => this.#docker.getContainer(id).putArchive(tar, { path }),
      ARCHIVE_MS,
    );
  }

  /** Containers with all of the labels, in any state. */
  containers(labels: Labels): Promise<Dockerode.ContainerInfo[]> {
    return call("list containers", () =>
      this.#docker.listContainers({ all: true, filters: { label: labelFilter(labels) } }),
    );
  }

  async createVolume(name: string, labels: Labels, options: Labels): Promise<void> {
    await call(`create the volume ${name}`, () =>
      this.#docker.createVolume({
        Name: name,
        Driver: "local",
        DriverOpts: options,
        Labels: labels,
      }),
    );
  }

  inspectVolume(name: string): Promise<VolumeInfo> {
    return call(`inspect the volume ${name}`, () => this.#docker.getVolume(name).inspect());
  }

  async removeVolume(name: string): Promise<void> {
    await call(`remove the volume ${name}`, () => this.#docker.getVolume(name).remove());
  }

  async volumes(labels: string[]): Promise<VolumeInfo[]> {
    const filters = JSON.stringify({ label: labels });
    const answer = await call("list volumes", () => this.#docker.listVolumes({ filters }));
    return answer.Volumes ?? [];
  }

  /** Bytes of every local volume, as the engine counts them: slow, but needs no sight of its disk. */
  async volumeSizes(): Promise<Map<string, number>> {
    const usage: { Volumes?: VolumeInfo[] | null } = await call("measure volumes", () =>
      this.#docker.df(),
    );
    return new Map(usage.Volumes?.map((volume) => [volume.Name, volume.UsageData?.Size ?? 0]));
  }

  async createNetwork(body: NetworkBody): Promise<void> {
    await call(`create the network ${body.Name}`, () => this.#docker.createNetwork(body));
  }

  inspectNetwork(name: string): Promise<Dockerode.NetworkInspectInfo> {
    return call(`inspect the network ${name}`, () => this.#docker.getNetwork(name).inspect());
  }

  async joinNetwork(name: string, container: string): Promise<void> {
    await call(`join the network ${name}`, () =>
      this.#docker.getNetwork(name).connect({ Container: container }),
    );
  }

  async removeNetwork(name: string): Promise<void> {
    await call(`remove the network ${name}`, () => this.#docker.getNetwork(name).remove());
  }
}
