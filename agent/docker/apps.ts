/** Web apps on one engine: their containers, and what they print. */
import type {
  AppContainers,
  AppFacts,
  AppLog,
  AppReplica,
  AppSpec,
  LogsWanted,
} from "../apps/contracts.ts";
import { AppImages } from "./app-images.ts";
import { appLog, logQuery } from "./app-log.ts";
import { DockerError } from "./contracts.ts";
import type { ContainerBody, Engine, EngineInfo, Inspected } from "./engine.ts";
import { isKind } from "./errors.ts";
import { hardened } from "./hardening.ts";
import { insist } from "./insist.ts";
import { killedForMemory } from "./killed.ts";
import { appContainerName, LABEL, type Labels } from "./labels.ts";

/** What an image's own user may still do to its own files, and to open a port below 1024. */
const CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "KILL",
  "NET_BIND_SERVICE",
  "SETGID",
  "SETUID",
];
/** What the engine keeps of an app's output. */
const LOG_FILES = { "max-size": "10m", "max-file": "3" };

export type AppsView = {
  info: () => Promise<EngineInfo>;
  /** Name of the network that lets out only; null where the host cannot enforce one. */
  network: () => Promise<string | null>;
};

export class Apps implements AppContainers {
  readonly images: AppImages;
  readonly #engine: Engine;
  readonly #agent: string;
  readonly #view: AppsView;

  constructor(engine: Engine, agent: string, view: AppsView) {
    this.#engine = engine;
    this.#agent = agent;
    this.#view = view;
    this.images = new AppImages(engine, agent);
  }

  async start(spec: AppSpec): Promise<AppFacts> {
    const known = await this.#find(spec.build);
    const ours = known !== null && factsOf(known).attempt === spec.attempt;
    if (known !== null && !ours) await this.#discard(known.Id);
    const id = ours ? known.Id : await this.#create(spec);
    if (!ours || known.State.Status === "created") await this.#engine.start(id);
    return factsOf(await this.#engine.inspect(id));
  }

  keepUp(id: string): Promise<void> {
    return this.#engine.restartAlways(id);
  }

  async inspect(build: string): Promise<AppFacts | null> {
    const found = await this.#find(build);
    return found && factsOf(found);
  }

  async list(): Promise<AppReplica[]> {
    const found = await this.#engine.containers({ [LABEL.agent]: this.#agent });
    return found.map(({ Labels }) => replicaOf(Labels)).filter(({ build }) => build !== "");
  }

  async remove(build: string, grace_ms: number): Promise<void> {
    const found = await this.#find(build);
    if (found === null) return;
    if (grace_ms > 0)
      await this.#engine.stop(found.Id, grace_ms).catch((error: unknown) => {
        if (!isKind(error, "gone")) throw error;
      });
    await this.#discard(found.Id);
  }

  async *logs(
    build: string,
    wanted: LogsWanted,
    signal: AbortSignal,
  ): AsyncGenerator<AppLog, void, undefined> {
    if (signal.aborted) return;
    yield* appLog(await this.#engine.logs(appContainerName(build), logQuery(wanted)), signal);
  }

  async secure(): Promise<void> {
    await this.#view.network();
  }

  keepImage(
    built: string,
    project: string,
    fingerprint: string,
    stages: readonly string[],
  ): Promise<string> {
    return this.images.keep(built, project, fingerprint, stages);
  }

  lending<T>(project: string, work: (layers: string[]) => Promise<T>): Promise<T> {
    return this.images.lending(project, work);
  }

  keptImage(project: string, fingerprint: string): Promise<string | null> {
    return this.images.kept(project, fingerprint);
  }

  trimImages(project: string, fingerprints: readonly string[]): Promise<void> {
    return this.images.trim(project, fingerprints);
  }

  trimProjects(projects: readonly string[]): Promise<void> {
    return this.images.trimProjects(projects);
  }

  async #create(spec: AppSpec): Promise<string> {
    const network = spec.network ?? (await this.#view.network());
    if (network === null)
      throw new DockerError(
        "invalid",
        "this host cannot keep a container from its neighbours (agent doctor: firewall), and its owner named no network for web apps (app.network)",
      );
    const { NCPU } = await this.#view.info();
    const own = spec.network === null;
    const body = appBody(spec, { agent: this.#agent, network, own, cpus: NCPU });
    const id = await this.#engine.createContainer(appContainerName(spec.build), body);
    if (spec.traefik_network !== null) await this.#engine.joinNetwork(spec.traefik_network, id);
    return id;
  }

  /** The container of that build, if it is this agent's. */
  async #find(build: string): Promise<Inspected | null> {
    const found = await this.#engine.inspect(appContainerName(build)).catch((error: unknown) => {
      if (isKind(error, "gone")) return null;
      throw error;
    });
    return found?.Config.Labels[LABEL.agent] === this.#agent ? found : null;
  }

  async #discard(id: string): Promise<void> {
    await insist(() => this.#engine.removeContainer(id));
  }
}

type BodyFacts = {
  agent: string;
  network: string;
  /** The network is the agent's own. */
  own: boolean;
  cpus: number;
};

/** The body for `POST /containers/create`. */
function appBody(spec: AppSpec, { agent, network, own, cpus }: BodyFacts): ContainerBody {
  return {
    Image: spec.image,
    Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
    Labels: { ...spec.labels, ...labelsOf(spec, agent) },
    Tty: false,
    OpenStdin: false,
    HostConfig: {
      NetworkMode: network,
      ...hardened(spec.limits, { cpus, bridged: own }),
      CapAdd: CAPABILITIES,
      // Open files: as many as the engine may have itself, more it cannot give.
      Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }],
      // Byte-true, unlike the `local` driver (kept.ts).
      LogConfig: { Type: "json-file", Config: LOG_FILES },
    },
  };
}

function labelsOf(replica: AppReplica, agent: string): Labels {
  return {
    [LABEL.agent]: agent,
    [LABEL.app]: replica.build,
    [LABEL.attempt]: String(replica.attempt),
    [LABEL.project]: replica.project,
    [LABEL.generation]: String(replica.generation),
    [LABEL.replica]: String(replica.replica),
  };
}

function replicaOf(labels: Labels): AppReplica {
  return {
    build: labels[LABEL.app] ?? "",
    attempt: Number(labels[LABEL.attempt]),
    project: labels[LABEL.project] ?? "",
    generation: Number(labels[LABEL.generation]),
    replica: Number(labels[LABEL.replica]),
  };
}

function factsOf(found: Inspected): AppFacts {
  const { State, Config, HostConfig, NetworkSettings } = found;
  // `none` is what an image's HEALTHCHECK NONE comes to.
  const health = State.Health?.Status === "none" ? undefined : State.Health;
  const running = State.Running && !State.Restarting;
  const address = NetworkSettings.Networks[HostConfig.NetworkMode ?? ""]?.IPAddress;
  return {
    ...replicaOf(Config.Labels),
    id: found.Id,
    running,
    restarting: State.Restarting,
    restarts: (found as Inspected & { RestartCount?: number }).RestartCount ?? 0,
    health: health
      ? { status: statusOf(health.Status), output: health.Log?.at(-1)?.Output.trim() ?? "" }
      : null,
    exit_code: running ? null : State.ExitCode,
    oom: !running && killedForMemory(State),
    address: running && address ? address : null,
  };
}

function statusOf(status: string): "starting" | "healthy" | "unhealthy" {
  return status === "healthy" || status === "unhealthy" ? status : "starting";
}
