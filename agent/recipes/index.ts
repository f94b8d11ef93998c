/** The recipes of the agent: a new one is registered here. */
import { join } from "node:path";
import type { RecipeName } from "../../shared/recipes/index.ts";
import type { AgentSettings } from "../config.ts";
import type { Recipe } from "./contracts.ts";
import { goRecipe } from "./go.ts";

/** Every recipe by its name; `home` is the agent's folder. */
export function recipes(settings: AgentSettings, home: string): Record<RecipeName, Recipe> {
  const { images, remotes, goproxy, goprivate, gosumdb, build_network, cache } = settings;
  return {
    go: goRecipe({
      image: images.go,
      remotes,
      goproxy,
      goprivate,
      gosumdb,
      build_network,
      cache,
      folder: join(home, "go"),
    }),
  };
}
