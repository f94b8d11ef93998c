/** What an App says to Builds and to the bucket, from its outbox. */
import { type AppTarget, appTargetKey } from "../../shared/recipes/app.ts";
import type { DeployRefused } from "./app-contracts.ts";
import type { AppParts } from "./app-ports.ts";
import type { BuildRequest } from "./contracts.ts";
import type { Message } from "./outbox.ts";

export class AppMail {
  readonly #parts: AppParts;
  /** Deploys that the pool did not take, until their poster was told. */
  readonly #refusals = new Map<string, DeployRefused>();

  constructor(parts: AppParts) {
    this.#parts = parts;
  }

  /** Why the deploy that this build was to begin was not taken; told once. */
  refusalOf(build: string): DeployRefused | null {
    const refusal = this.#refusals.get(build) ?? null;
    this.#refusals.delete(build);
    return refusal;
  }

  /** Delivers one row of the outbox; throws to have it sent again. */
  async deliver({ verb, key }: Message): Promise<void> {
    const { ports } = this.#parts;
    try {
      if (verb === "build") await this.#build(key);
      else if (verb === "cancel") await ports.build(key).cancel("admin");
      else if (verb === "context") await ports.dropContext(key);
    } catch (error) {
      ports.report(`${verb} ${key}`, error);
      throw error;
    }
  }

  /** Opens the build of a replica. What was given up meanwhile is not opened. */
  async #build(build: string): Promise<void> {
    const { rows, ports } = this.#parts;
    const request = await this.#request(build);
    if (request === null) return;
    const answer = await ports.build(build).ensure(build, request);
    if (answer.kind === "ok") return;
    const deployment = rows.deploymentOf(build);
    if (deployment === null || deployment.state === "live")
      throw new Error(`the pool takes no build now: ${answer.code}`);
    this.#refusals.set(build, answer);
  }

  async #request(build: string): Promise<BuildRequest | null> {
    const { rows, ports } = this.#parts;
    const project = rows.project();
    const replica = rows.replica(build);
    const deployment = replica && rows.deployment(replica.generation);
    if (project === null || replica === null || deployment?.context == null) return null;
    const serve = await ports.vault.unseal(replica.sealed);
    const pairs = await Promise.all(
      rows.env().map(async ({ name, sealed }) => [name, await ports.vault.unseal(sealed)] as const),
    );
    const env = Object.fromEntries(pairs.filter(([, value]) => value !== null));
    const { generation, rule, settings, context, fingerprint, caller } = deployment;
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
