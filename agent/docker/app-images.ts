/**
 * Images of web apps that stay on the host behind their builds, so that what was made once is not made again. Their names
 * say all: whose agent, whose project, and of what they were made.
 */
import { createHash } from "node:crypto";
import type { Engine } from "./engine.ts";
import { isKind } from "./errors.ts";

/** Characters of a hash in a name. */
const HASH_CHARS = 16;
/** Characters of a fingerprint in a tag. */
const TAG_CHARS = 32;

export class AppImages {
  readonly #engine: Engine;
  /** Begins the name of each: another agent on this engine has its own. */
  readonly #prefix: string;
  #keeping: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, agent: string) {
    this.#engine = engine;
    this.#prefix = `railhead.local/app-${hash(agent)}-`;
  }

  /** One after the other: of two replicas that are built at once, one image stays, and both run it. */
  keep(built: string, project: string, fingerprint: string): Promise<string> {
    const kept = this.#keeping.then(() => this.#keep(built, project, fingerprint));
    this.#keeping = kept.catch(() => {});
    return kept;
  }

  async kept(project: string, fingerprint: string): Promise<string | null> {
    const name = `${this.#repository(project)}:${tagOf(fingerprint)}`;
    return (await this.#engine.images.inspect(name))?.id ?? null;
  }

  async trim(project: string, fingerprints: readonly string[]): Promise<void> {
    const repository = this.#repository(project);
    const kept = new Set(fingerprints.map((fingerprint) => `${repository}:${tagOf(fingerprint)}`));
    await this.#remove((name) => name.startsWith(`${repository}:`) && !kept.has(name));
  }

  async trimProjects(projects: readonly string[]): Promise<void> {
    const kept = new Set(projects.map((project) => this.#repository(project)));
    await this.#remove((name) => !kept.has(name.slice(0, name.lastIndexOf(":"))));
  }

  async #keep(built: string, project: string, fingerprint: string): Promise<string> {
    const there = await this.kept(project, fingerprint);
    if (there !== null) return there;
    await this.#engine.images.tag(built, this.#repository(project), tagOf(fingerprint));
    const id = await this.kept(project, fingerprint);
    if (id === null) throw new Error(`${built} did not take its name`);
    return id;
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

function tagOf(fingerprint: string): string {
  return fingerprint.slice(0, TAG_CHARS);
}
