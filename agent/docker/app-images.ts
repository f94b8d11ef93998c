/**
 * Images of web apps that stay on the host behind their builds, so that what was made once is not made again: the images
 * that run or may be gone back to, and those that the stages of the last build ended with, whose layers the next one takes.
 * Their names say all: whose agent, whose project, and of what they were made.
 */
import { createHash } from "node:crypto";
import { appImageTag } from "../../shared/recipes/app.ts";
import type { Engine } from "./engine.ts";
import { isKind } from "./errors.ts";

/** Characters of a hash in a name. */
const HASH_CHARS = 16;
/** Begins the tag of a stage's image. */
const STAGE = "stage-";

export class AppImages {
  readonly #engine: Engine;
  /** Begins the name of each: another agent on this engine has its own. */
  readonly #prefix: string;
  #keeping: Promise<unknown> = Promise.resolve();
  /** Builds that use what is kept, by project. */
  readonly #lent = new Map<string, number>();

  constructor(engine: Engine, agent: string) {
    this.#engine = engine;
    this.#prefix = `railhead.local/app-${hash(agent)}-`;
  }

  /** One after the other: of two replicas that are built at once, one image stays, and both run it. */
  keep(
    built: string,
    project: string,
    fingerprint: string,
    stages: readonly string[],
  ): Promise<string> {
    const kept = this.#keeping.then(async () => {
      const id = await this.#keep(built, project, fingerprint);
      await this.#keepStages(project, stages);
      return id;
    });
    this.#keeping = kept.catch(() => {});
    return kept;
  }

  async kept(project: string, fingerprint: string): Promise<string | null> {
    const name = `${this.#repository(project)}:${appImageTag(fingerprint)}`;
    return (await this.#engine.images.inspect(name))?.id ?? null;
  }

  async lending<T>(project: string, work: (layers: string[]) => Promise<T>): Promise<T> {
    const repository = `${this.#repository(project)}:`;
    this.#lent.set(project, (this.#lent.get(project) ?? 0) + 1);
    try {
      const all = (await this.#engine.images.list()).flatMap(({ names }) => names);
      return await work(all.filter((name) => name.startsWith(repository)));
    } finally {
      this.#lent.set(project, (this.#lent.get(project) ?? 0) - 1);
    }
  }

  /** While a build takes layers, all stays: the next call removes it. */
  async trim(project: string, fingerprints: readonly string[]): Promise<void> {
    if (this.#isLent(project)) return;
    const repository = this.#repository(project);
    const kept = new Set(
      fingerprints.map((fingerprint) => `${repository}:${appImageTag(fingerprint)}`),
    );
    const stages = `${repository}:${STAGE}`;
    await this.#remove(
      (name) => name.startsWith(`${repository}:`) && !kept.has(name) && !name.startsWith(stages),
    );
  }

  async trimProjects(projects: readonly string[]): Promise<void> {
    const kept = new Set(projects.map((project) => this.#repository(project)));
    await this.#remove((name) => !kept.has(name.slice(0, name.lastIndexOf(":"))));
  }

  #isLent(project: string): boolean {
    return (this.#lent.get(project) ?? 0) > 0;
  }

  async #keep(built: string, project: string, fingerprint: string): Promise<string> {
    const there = await this.kept(project, fingerprint);
    if (there !== null) return there;
    await this.#engine.images.tag(built, this.#repository(project), appImageTag(fingerprint));
    const id = await this.kept(project, fingerprint);
    if (id === null) throw new Error(`${built} did not take its name`);
    return id;
  }

  async #keepStages(project: string, stages: readonly string[]): Promise<void> {
    const repository = this.#repository(project);
    const begin = `${repository}:${STAGE}`;
    const kept = new Set<string>();
    for (const { id, names } of await this.#engine.images.list()) {
      // What has another name stays by that, or is a base image.
      if (!stages.includes(id) || names.some((name) => !name.startsWith(begin))) continue;
      const tag = STAGE + hash(id);
      await this.#engine.images.tag(id, repository, tag);
      kept.add(`${repository}:${tag}`);
    }
    if (this.#isLent(project)) return;
    await this.#remove((name) => name.startsWith(begin) && !kept.has(name));
  }

  async #remove(condemned: (name: string) => boolean): Promise<void> {
    for (const { names } of await this.#engine.images.list())
      for (const name of names) {
        if (!name.startsWith(this.#prefix) || !condemned(name)) continue;
        await this.#engine.images.remove(name).catch((error: unknown) => {
          // A container has it, or it is gone already.
          if (!isKind(error, "conflict", "gone", "not_found")) throw error;
        });
      }
  }

  #repository(project: string): string {
    return this.#prefix + hash(project);
  }
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, HASH_CHARS);
}
