/** The calls to the engine about images (engine.ts has the rest). */
import type { Readable } from "node:stream";
import type Dockerode from "dockerode";
import { call, mappedCall } from "./calls.ts";
import { DockerError, type ImageFacts, type RegistryLogin } from "./contracts.ts";
import { inStream } from "./errors.ts";
import { type Progress, progressOf } from "./progress.ts";

/** Milliseconds without a word of progress after which a pull or push is given up. */
const SILENCE_MS = 60_000;
/** What the engine calls the registry of names without one, where it wants credentials. */
const HUB_SERVER = "https://index.docker.io/v1/";

/** Members of a build's query that dockerode's types lack. */
export type BuildQuery = Omit<Dockerode.ImageBuildOptions, "abortSignal" | "registryconfig"> & {
  cgroupparent: string;
  /** JSON. */
  ulimits: string;
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
    query: BuildQuery,
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
  async save(reference: string): Promise<Readable> {
    const stream = await call(`save the image ${reference}`, () =>
      this.#docker.getImage(reference).get(),
    );
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
