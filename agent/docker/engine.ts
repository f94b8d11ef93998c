/**
 * The calls to the engine that we use, and the only file that knows dockerode. Every call throws a DockerError and
 * settles: dockerode's own promises stay pending for ever when a connection dies at the wrong moment.
 */
import type { Duplex, Readable } from "node:stream";
import Dockerode from "dockerode";
import { DockerError } from "./contracts.ts";
import { inStreamKind, mapped } from "./errors.ts";
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
};

/** Milliseconds of an ordinary call. */
const CALL_MS = 60_000;
/** Milliseconds of a call that moves a source or an artifact. */
const ARCHIVE_MS = 10 * 60_000;
/** Milliseconds without a word of progress after which a pull is given up. */
const PULL_SILENCE_MS = 60_000;

type Json = Record<string, unknown>;
/** dockerode sends all options as query and as body unless they are told apart with these two. */
type Split = { _query: Json; _body: Json };

export class Engine {
  readonly #docker: Dockerode;

  /** @param socket path of the engine's socket */
  constructor(socket: string) {
    this.#docker = new Dockerode({ socketPath: socket });
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

  /** Removes a container, running or not, and its anonymous volumes. */
  async removeContainer(id: string): Promise<void> {
    await call("remove the container", () =>
      this.#docker.getContainer(id).remove({ force: true, v: true }),
    );
  }

  /** What the engine kept of the output, framed; with `follow` on until the container or the connection ends. */
  async logs(id: string, { follow }: { follow: boolean }): Promise<Readable> {
    // dockerode streams only what it follows, and would gather the rest in memory: so the query is told apart.
    const split = {
      _query: { follow, stdout: true, stderr: true },
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

  /** Local image; null when it is not on the host. */
  async imageId(reference: string): Promise<string | null> {
    try {
      return (
        await call(`inspect the image ${reference}`, () =>
          this.#docker.getImage(reference).inspect(),
        )
      ).Id;
    } catch (error) {
      if (error instanceof DockerError && error.status === 404) return null;
      throw error;
    }
  }

  async pull(reference: string): Promise<void> {
    const what = `pull the image ${reference}`;
    const stream = await call(what, () => this.#docker.pull(reference));
    let silence = setTimeout(() => {}, 0);
    const hush = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        const error = new DockerError("timeout", `cannot ${what}: the registry fell silent`);
        (stream as Readable).destroy(error);
      }, PULL_SILENCE_MS);
    };
    let rest = "";
    try {
      hush();
      for await (const chunk of stream) {
        hush();
        const lines = (rest + String(chunk)).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) progress(line, what);
      }
      progress(rest, what);
    } catch (error) {
      throw mapped(error, what);
    } finally {
      clearTimeout(silence);
    }
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

  async removeNetwork(name: string): Promise<void> {
    await call(`remove the network ${name}`, () => this.#docker.getNetwork(name).remove());
  }
}

/** One line of a pull's progress; an error comes in the stream of an answer that began with 200. */
function progress(line: string, what: string): void {
  if (line.trim() === "") return;
  const said: { error?: unknown } = JSON.parse(line);
  if (said.error === undefined) return;
  const text = String(said.error);
  throw new DockerError(inStreamKind(text), `cannot ${what}: ${text}`);
}

async function mappedCall<T>(what: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    throw mapped(error, what);
  }
}

/** A call that settles within `ms` whatever becomes of its connection. */
async function call<T>(what: string, make: () => Promise<T>, ms = CALL_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DockerError("timeout", `cannot ${what}: no answer in ${ms / 1000} seconds`));
    }, ms);
  });
  try {
    return await Promise.race([mappedCall(what, make), late]);
  } finally {
    clearTimeout(timer);
  }
}
