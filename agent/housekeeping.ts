/** Lets recipes work on their caches while no attempt runs. */
import type { Attempts } from "./attempts.ts";
import type { DockerHost, Limits, Owner } from "./docker/contracts.ts";
import type { Logger } from "./logger.ts";
import type { Random } from "./ports.ts";
import type { Recipe } from "./recipes/contracts.ts";

export type HousekeepingParts = {
  random: Random;
  agent: string;
  attempts: Attempts;
  docker: DockerHost;
  limits: Limits;
  recipes: readonly Recipe[];
  log: Logger;
};

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  /** What the reaper must spare. */
  #owner: Owner | null = null;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  get owner(): Owner | null {
    return this.#owner;
  }

  /** Works whenever the agent became idle, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { attempts, recipes } = this.#parts;
    if (recipes.every((recipe) => !recipe.idle)) return;
    while (!signal.aborted) {
      if (attempts.running === 0) await this.#once(signal);
      await attempts.changed(signal);
    }
  }

  async #once(signal: AbortSignal): Promise<void> {
    const { attempts, recipes, docker, limits, log, agent, random } = this.#parts;
    const owner: Owner = { agent, build: random.hex(16), attempt: 1 };
    const over = new AbortController();
    const ending = AbortSignal.any([signal, over.signal]);
    const watching = (async () => {
      while (attempts.running === 0 && !ending.aborted) await attempts.changed(ending);
      over.abort();
    })();
    this.#owner = owner;
    try {
      for (const recipe of recipes) {
        if (ending.aborted) break;
        await recipe.idle?.({ owner, docker, limits, signal: ending });
      }
      await docker.clean(owner);
    } catch (error) {
      log.bug("housekeeping failed", error);
    } finally {
      this.#owner = null;
      over.abort();
      await watching;
    }
  }
}
