/** The calls to the engine about images (engine.ts has the rest). */
import type { Duplex, Readable } from "node:stream";
import type DockerModem from "docker-modem";
import type Dockerode from "dockerode";
import type { CommonQuery } from "./build-query.ts";
import { call, mappedCall } from "./calls.ts";
import { DockerError, type ImageFacts, type RegistryLogin } from "./contracts.ts";
import { inStream } from "./errors.ts";
import { type Progress, progressOf } from "./progress.ts";

/** Milliseconds without a word of progress after which a pull or push is given up. */
const SILENCE_MS = 60_000;
/** Milliseconds that the engine may take to remove what builds left. */
const PRUNE_MS = 10 * 60_000;
/** What the engine calls the registry of names without one, where it wants credentials. */
const HUB_SERVER = "https://index.docker.io/v1/";

/** What the classic builder is told. dockerode's types lack some of it. */
export type ClassicQuery = Omit<Dockerode.ImageBuildOptions, "abortSignal" | "registryconfig"> & {
  cgroupparent: string;
  /** JSON. */
  ulimits: string;
};

/** What BuildKit is told. */
export type BuildKitQuery = CommonQuery & {
  nocache: true;
  networkmode?: "none";
  /** `name:address` for /etc/hosts. */
  extrahosts: string;
  /** Id of a session that is open. */
  session: string;
};

export type ImageRow = {
  id: string;
  /** Id of the image of the step before; empty for the first, and for what was pulled. */
  parent: string;
  names: string[];
};

export class EngineImages {
  readonly #docker: Dockerode;

  constructor(docker: Dockerode) {
    this.#docker = docker;
  }

  /** A local image; null when it is not on the host. */
  async inspect(reference: string): Promise<ImageFacts | null> {
    try {
      const found = await call(`inspect the image ${reference}`, () =>
        this.#docker.getImage(reference).inspect(),
      );
      return {
        id: found.Id,
        size_bytes: found.Size,
        names: [...(found.RepoTags ?? []), ...(found.RepoDigests ?? [])],
        // The engine knows more members than dockerode's types.
        on_build: (found.Config as { OnBuild?: string[] | null } | null)?.OnBuild ?? [],
      };
    } catch (error) {
      if (error instanceof DockerError && error.status === 404) return null;
      throw error;
    }
  }

  /** All images, those of single steps included. */
  async list(): Promise<ImageRow[]> {
    const found = await call("list images", () => this.#docker.listImages({ all: true }));
    return found.map(({ Id, ParentId, RepoTags, RepoDigests }) => ({
      id: Id,
      parent: ParentId,
      names: [...(RepoTags ?? []), ...(RepoDigests ?? [])].filter((name) => !/<none>/.test(name)),
    }));
  }

  async pull(reference: string, login: RegistryLogin | null, signal?: AbortSignal): Promise<void> {
    const what = `pull the image ${reference}`;
    const stream = await call(what, () =>
      this.#docker.pull(reference, {
        ...(login && { authconfig: authOf(login) }),
        ...(signal && { abortSignal: signal }),
      }),
    );
    for await (const { error } of progressOf(stream as Readable, what, SILENCE_MS))
      if (error !== undefined) throw inStream(error, what);
  }

  /** What the engine tells of a build by its classic builder; aborting ends the build and its container. */
  async *build(
    query: ClassicQuery,
    context: Readable,
    login: RegistryLogin | null,
    signal: AbortSignal,
  ): AsyncGenerator<Progress, void, undefined> {
    const what = "build the image";
    const options = {
      ...query,
      abortSignal: signal,
      ...(login && {
        registryconfig: {
          [serverOf(login)]: { username: login.username, password: login.password },
        },
      }),
    };
    const stream = await mappedCall(what, () => this.#docker.buildImage(context, options));
    yield* progressOf(stream as Readable, what, null);
  }

  /**
   * A connection on which BuildKit calls us, as long as it is open.
   * @param id of our choice, unguessable
   * @param methods that we answer, as paths of gRPC
   */
  async session(id: string, methods: readonly string[]): Promise<Duplex> {
    const opened = await call("open a session with BuildKit", () =>
      this.#dial({
        path: "/session",
        method: "POST",
        hijack: true,
        headers: {
          Upgrade: "h2c",
          "X-Docker-Expose-Session-Uuid": id,
          "X-Docker-Expose-Session-Name": "railhead",
          "X-Docker-Expose-Session-Grpc-Method": [...methods],
        },
      }),
    );
    return opened as Duplex;
  }

  /** What the engine tells of a build by BuildKit; aborting ends the build and its steps. */
  async *buildKit(
    query: BuildKitQuery,
    context: Readable,
    signal: AbortSignal,
  ): AsyncGenerator<Progress, void, undefined> {
    const what = "build the image";
    // Not by dockerode's own call, which would open a session that has no secrets.
    const stream = await mappedCall(what, () =>
      this.#dial({
        path: "/build?",
        method: "POST",
        options: { ...query, version: "2" },
        file: context,
        isStream: true,
        abortSignal: signal,
      }),
    );
    yield* progressOf(stream as Readable, what, null);
  }

  /** Removes what BuildKit keeps and nothing uses, until it has at most `keep_bytes`. */
  async prune(keep_bytes: number): Promise<void> {
    const options = { _query: { all: true, "keep-storage": keep_bytes }, _body: {} };
    await call(
      "prune the build cache",
      () => this.#dial({ path: "/build/prune?", method: "POST", options }),
      PRUNE_MS,
    );
  }

  /** A call that dockerode has no method for. */
  #dial(options: DockerModem.DialOptions): Promise<unknown> {
    const statusCodes = { 200: true, 500: "server error" };
    return new Promise((resolve, reject) => {
      this.#docker.modem.dial({ ...options, statusCodes }, (error, answer) => {
        if (error) reject(error);
        else resolve(answer);
      });
    });
  }

  async tag(source: string, repository: string, tag: string): Promise<void> {
    await call(`name the image ${repository}:${tag}`, () =>
      this.#docker.getImage(source).tag({ repo: repository, tag }),
    );
  }

  async *push(
    repository: string,
    tag: string,
    login: RegistryLogin | null,
    signal: AbortSignal,
  ): AsyncGenerator<Progress, void, undefined> {
    const what = `push ${repository}:${tag}`;
    const stream = await call(what, () =>
      this.#docker.getImage(repository).push({
        tag,
        // Without the header the engine refuses the call before it asks the registry.
        authconfig: login ? authOf(login) : ({} as Dockerode.AuthConfig),
        abortSignal: signal,
      }),
    );
    yield* progressOf(stream as Readable, what, SILENCE_MS);
  }

  /** What `docker load` takes. */
  async save(id: string): Promise<Readable> {
    const stream = await call("save the image", () => this.#docker.getImage(id).get());
    return stream as Readable;
  }

  /** Takes a name away, and with the last name the image and the steps below it. An id takes the image away. */
  async remove(reference: string): Promise<void> {
    await call(`remove the image ${reference}`, () => this.#docker.getImage(reference).remove());
  }
}

/** The engine's words for who logs in where. */
function authOf(login: RegistryLogin): Dockerode.AuthConfig {
  const { username, password } = login;
  return { username, password, serveraddress: serverOf(login) };
}

function serverOf({ registry }: RegistryLogin): string {
  return registry === null ? HUB_SERVER : registry;
}
