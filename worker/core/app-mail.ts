/** What an App says to Builds, to the table of rules and to the bucket, from its outbox. */
import { type AppTarget, appTargetKey } from "../../shared/recipes/app.ts";
import type { DeployRefused } from "./app-contracts.ts";
import type { AppEnv } from "./app-env.ts";
import type { AppParts } from "./app-ports.ts";
import type { AppRoute } from "./app-route.ts";
import type { BuildRequest } from "./contracts.ts";
import type { Message } from "./outbox.ts";

export class AppMail {
  readonly #parts: AppParts;
  readonly #env: AppEnv;
  readonly #route: AppRoute;
  /** Builds of deploys whose posters wait for the pool's word, with its no. */
  readonly #asked = new Map<string, DeployRefused | null>();

  constructor(parts: AppParts, env: AppEnv, route: AppRoute) {
    this.#parts = parts;
    this.#env = env;
    this.#route = route;
  }

  /** The deploy that this build begins may still be refused: its poster waits. */
  expect(build: string): void {
    this.#asked.set(build, null);
  }

  /** Why it was not taken. From here on it is promised: the pool is asked until it takes it. */
  refusalOf(build: string): DeployRefused | null {
    const refusal = this.#asked.get(build) ?? null;
    this.#asked.delete(build);
    return refusal;
  }

  /** Delivers one row of the outbox; throws to have it sent again. */
  async deliver({ verb, key }: Message): Promise<void> {
    const { ports } = this.#parts;
    try {
      if (verb === "build") await this.#build(key);
      else if (verb === "cancel") await ports.build(key).cancel("admin");
      else if (verb === "context") await ports.dropContext(key);
      else if (verb === "listing") await this.#route.bring(key);
    } catch (error) {
      ports.report(`${verb} ${key}`, error);
      throw error;
    }
  }

  /** Opens the build of a replica. What was given up meanwhile is not opened. */
  async #build(build: string): Promise<void> {
    const request = await this.#request(build);
    if (request === null) return;
    const answer = await this.#parts.ports.build(build).ensure(build, request);
    if (answer.kind === "ok") return;
    if (!this.#asked.has(build)) throw new Error(`the pool takes no build now: ${answer.code}`);
    this.#asked.set(build, answer);
  }

  async #request(build: string): Promise<BuildRequest | null> {
    const { rows, ports } = this.#parts;
    const project = rows.project();
    const replica = rows.replica(build);
    const deployment = replica && rows.deployment(replica.generation);
    if (project === null || replica === null || deployment?.context == null) return null;
    const serve = await ports.vault.unseal(replica.sealed);
    const { generation, rule, settings, context, fingerprint, caller } = deployment;
    const env = await this.#env.values(rows.envOf(generation));
    const target: AppTarget = {
      recipe: "app",
      job: build,
      project: project.name,
      generation,
      replica: replica.replica,
      rule,
      context: { size: context.size, sha256: context.sha256 },
      fingerprint,
      settings,
      visibility: "unlisted",
    };
    return {
      key: appTargetKey(target),
      target,
      pool: ports.pool(project.name),
      caller,
      credential: await ports.vault.seal(JSON.stringify({ env, serve })),
      context: { ...context, kept: true },
      avoid: rows
        .replicas(generation)
        .flatMap(({ build: other, agent }) => (other === build || agent === null ? [] : [agent])),
    };
  }
}
