/**
 * The web apps on this host. Their containers run on whatever becomes of this process, and of the edge; what is kept on
 * disk says whose they are, and a successor takes them up.
 */
import { join } from "node:path";
import type { Held } from "../../shared/protocol.ts";
import { messageOf } from "../errors.ts";
import type { Identity } from "../identity.ts";
import type { Logger } from "../logger.ts";
import type { AgentPorts } from "../ports.ts";
import {
  type AppContainers,
  type AppReplica,
  type AppRunner,
  type Candidate,
  Refused,
} from "./contracts.ts";
import { Replica } from "./replica.ts";
import { type ReplicaState, ReplicaStates } from "./state.ts";

/** Milliseconds that an app has to end by itself. */
const GRACE_MS = 10_000;
/** Folder of the agent's home. */
export const APPS_FOLDER = "apps";

type Claim = Pick<ReplicaState, "project" | "fingerprint">;

export type AppHostParts = {
  ports: Pick<AgentPorts, "clock" | "random" | "net" | "disk">;
  home: string;
  identity: Pick<Identity, "agent" | "name" | "url">;
  apps: AppContainers;
  log: Logger;
};

export class AppHost implements AppRunner {
  readonly #parts: AppHostParts;
  readonly #states: ReplicaStates;
  /** By build. */
  readonly #replicas = new Map<string, Replica>();
  /** Being removed, by build. */
  readonly #removals = new Map<string, Promise<void>>();

  /** Images that attempts are about to run. */
  readonly #claims = new Set<Claim>();

  constructor(parts: AppHostParts) {
    this.#parts = parts;
    this.#states = new ReplicaStates(parts.ports.disk, join(parts.home, APPS_FOLDER));
  }

  /** Takes up what a predecessor left. */
  async load(): Promise<void> {
    for (const state of await this.#states.load()) this.#add(state);
  }

  /** Lets go of all sockets: the containers run on. */
  stop(): void {
    for (const replica of this.#replicas.values()) replica.stop();
    this.#replicas.clear();
  }

  /** Removes what nobody claims: candidates of attempts that are not held, containers that nothing is known of. */
  async reap(held: readonly Held[]): Promise<void> {
    const { apps } = this.#parts;
    if (this.#replicas.size > 0) await apps.secure();
    const attempts = new Set(held.map(key));
    for (const replica of this.#replicas.values()) {
      const { state, leaving } = replica;
      const claimed = state.live || attempts.has(key(state));
      if (!claimed || (leaving && !this.#removals.has(state.build)))
        await this.#remove(replica, 0, 0);
    }
    for (const { build } of await apps.list())
      if (!this.#replicas.has(build)) await apps.remove(build, 0);
  }

  claim({ project, fingerprint }: Claim): Disposable {
    const claim = { project, fingerprint };
    this.#claims.add(claim);
    return { [Symbol.dispose]: () => void this.#claims.delete(claim) };
  }

  async start(candidate: Candidate): Promise<void> {
    const { build, attempt, project, generation, replica, port, fingerprint, serve } = candidate;
    const known = this.#replicas.get(build);
    if (known !== undefined && known.state.attempt !== attempt) await this.#remove(known, 0, 0);
    await this.#removals.get(build);
    const state = { build, attempt, project, generation, replica, port, fingerprint, serve };
    if (!this.#replicas.has(build)) {
      // Before the container: what no state is known of is removed.
      await this.#states.put({ ...state, live: false });
      this.#add({ ...state, live: false });
    }
    await this.#parts.apps.start(candidate);
  }

  async goLive(build: string, signal: AbortSignal): Promise<void> {
    const { apps } = this.#parts;
    const replica = this.#replicas.get(build);
    const facts = await apps.inspect(build);
    if (replica === undefined || facts === null) throw new Refused("It was removed meanwhile.");
    await apps.keepUp(facts.id);
    await replica.ask(signal);
  }

  async abandon({ build, attempt }: Pick<AppReplica, "build" | "attempt">): Promise<void> {
    const { apps } = this.#parts;
    const replica = this.#replicas.get(build);
    if (replica?.state.attempt === attempt) await this.#remove(replica, 0, 0);
    // The App may have removed it while its container was being made.
    if ((await apps.inspect(build))?.attempt === attempt) await apps.remove(build, 0);
  }

  async trim(): Promise<void> {
    await this.#parts.apps.trimProjects(this.#needed().map(({ project }) => project));
  }

  #add(state: ReplicaState): void {
    const { ports, apps, identity, log } = this.#parts;
    const { build, project } = state;
    const replica = new Replica(state, {
      ports,
      apps,
      edge: identity.url,
      agent: identity.agent,
      name: identity.name,
      log: log.with({ project, app: build }),
      live: async (replica) => {
        await this.#states.put(replica.state);
        log.info("app is live", { project, app: build });
      },
      removed: (replica, drain_ms) =>
        void this.#remove(replica, drain_ms, GRACE_MS).catch(this.#unable(replica)),
      keep: (of, fingerprints) =>
        void this.#keep(of, fingerprints).catch(this.#bug("trimming images")),
    });
    this.#replicas.set(build, replica);
    replica.begin();
  }

  /** Ends and forgets a replica. What fails is tried again by `reap`. */
  #remove(replica: Replica, drain_ms: number, grace_ms: number): Promise<void> {
    const { build } = replica.state;
    replica.leaving = true;
    const known = this.#removals.get(build);
    if (known !== undefined) return known;
    const removal = (async () => {
      await replica.drain(drain_ms);
      await this.#parts.apps.remove(build, grace_ms);
      await this.#states.remove(build);
      replica.stop();
      this.#replicas.delete(build);
      this.#parts.log.info("app removed", { project: replica.state.project, app: build });
    })().finally(() => this.#removals.delete(build));
    this.#removals.set(build, removal);
    return removal;
  }

  async #keep(project: string, fingerprints: readonly string[]): Promise<void> {
    const here = this.#needed().filter((image) => image.project === project);
    const needed = here.map(({ fingerprint }) => fingerprint);
    await this.#parts.apps.trimImages(project, [...fingerprints, ...needed]);
  }

  /** Images that run, or are about to. */
  #needed(): Claim[] {
    return [...[...this.#replicas.values()].map(({ state }) => state), ...this.#claims];
  }

  #unable({ state }: Replica): (error: unknown) => void {
    return (error) =>
      this.#parts.log.warn("app could not be removed", {
        app: state.build,
        why: messageOf(error),
      });
  }

  #bug(what: string): (error: unknown) => void {
    return (error) => this.#parts.log.bug(`${what} failed`, error);
  }
}

function key({ build, attempt }: Held): string {
  return `${build}-${attempt}`;
}
