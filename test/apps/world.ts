/** An app on the agent's own code behind the edge on workerd: all but the container is real. */
import type { AppFacts } from "../../agent/apps/contracts.ts";
import { Replica } from "../../agent/apps/replica.ts";
import type { ReplicaState } from "../../agent/apps/state.ts";
import { dial } from "../../agent/dial.ts";
import type { Logger } from "../../agent/logger.ts";
import { clock } from "../../agent/machine.ts";
import type { Line } from "../../agent/ports.ts";
import type { AppTarget } from "../../shared/recipes/app.ts";
import { appCredentialSchema } from "../../shared/recipes/app.ts";
import { type AppWorld, openAppWorld } from "../worker/apps.ts";
import { TestApp } from "./app.ts";

const SILENT: Logger = {
  info: () => {},
  warn: () => {},
  error: () => {},
  bug: (event, error) => console.error(event, error),
  with: () => SILENT,
};

export class TunnelWorld {
  readonly apps: AppWorld;
  readonly app: TestApp;
  readonly #replicas: Replica[] = [];
  /** The sockets of replicas, the newest last. */
  readonly #lines: Line[] = [];

  private constructor(apps: AppWorld, app: TestApp) {
    this.apps = apps;
    this.app = app;
  }

  static async open(): Promise<TunnelWorld> {
    const app = await TestApp.start();
    return new TunnelWorld(await openAppWorld(), app);
  }

  /** Port of the edge. */
  get port(): number {
    return Number(new URL(this.apps.edge.url).port);
  }

  /** Serves the app on this host, as an agent does. */
  async deploy(project: string, host: string): Promise<Replica> {
    await this.apps.run(project, `Host:${host}`);
    const attempt = await this.apps.agent.attempt();
    const { serve } = appCredentialSchema.parse(JSON.parse(attempt.credentials[0] ?? ""));
    const target = attempt.target as AppTarget;
    const replica = this.#replica({
      build: target.job,
      attempt: 1,
      project,
      generation: target.generation,
      replica: target.replica,
      port: this.app.port,
      fingerprint: target.fingerprint,
      serve,
      live: false,
    });
    replica.begin();
    await attempt.permit();
    await replica.ask(AbortSignal.timeout(60_000));
    await attempt.finish({ outcome: "succeeded" });
    return replica;
  }

  /** Cuts the newest replica's socket as a network does; it comes back by itself. */
  cut(): void {
    this.#lines.at(-1)?.terminate();
  }

  /** Sockets of replicas that were opened so far. */
  get dialled(): number {
    return this.#lines.length;
  }

  async close(): Promise<void> {
    for (const replica of this.#replicas) replica.stop();
    await this.apps.close();
    await this.app.close();
  }

  #replica(state: ReplicaState): Replica {
    const replica = new Replica(state, {
      ports: {
        clock,
        // Nothing is waited for between two tries.
        random: { hex: () => "", fraction: () => 0 },
        net: {
          dial: (...args) => {
            const line = dial(...args);
            this.#lines.push(line);
            return line;
          },
          call: () => Promise.reject(new Error("a replica calls nothing")),
          download: () => {
            throw new Error("a replica downloads nothing");
          },
        },
      },
      apps: container(state),
      edge: this.apps.edge.url,
      agent: "test",
      name: "test",
      log: SILENT,
      live: async () => {},
      removed: (gone, drain_ms) => void gone.drain(drain_ms).then(() => gone.stop()),
      keep: () => {},
    });
    this.#replicas.push(replica);
    return replica;
  }
}

/** A container that runs for ever on this machine. */
function container(state: ReplicaState): ConstructorParameters<typeof Replica>[1]["apps"] {
  const facts: AppFacts = {
    ...state,
    id: "c".repeat(64),
    running: true,
    restarting: false,
    restarts: 0,
    health: null,
    exit_code: null,
    oom: false,
    address: "127.0.0.1",
  };
  const never = () => Promise.reject(new Error("there is no engine here"));
  return {
    start: never,
    keepUp: never,
    inspect: async () => facts,
    list: never,
    remove: never,
    async *logs() {},
    secure: never,
    keepImage: never,
    lending: never,
    keptImage: never,
    trimImages: never,
    trimProjects: never,
  };
}
