/** The recipes of the agent: a new one is registered here. */
import { join } from "node:path";
import type { RecipeName } from "../../shared/recipes/index.ts";
import type { AppRunner } from "../apps/contracts.ts";
import type { AgentSettings } from "../config.ts";
import { appRecipe } from "./app.ts";
import type { Recipe } from "./contracts.ts";
import { erlangRecipe } from "./erlang.ts";
import { goRecipe } from "./go.ts";
import { imageRecipe } from "./image.ts";

/**
 * Every recipe that the operator lets this agent make, by its name. `home` is the agent's folder; `apps` runs its web
 * apps, null where nothing is to be run.
 */
export function recipes(
  settings: AgentSettings,
  home: string,
  apps: AppRunner | null,
): Partial<Record<RecipeName, Recipe>> {
  const {
    images,
    remotes,
    hex,
    allow_addresses,
    goproxy,
    goprivate,
    gosumdb,
    build_network,
    cache,
  } = settings;
  const { enabled, ...image } = settings.image;
  const { enabled: runsApps, ...app } = settings.app;
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
    ...(Object.keys(images.erlang).length > 0 && {
      erlang: erlangRecipe({ images: images.erlang, remotes, hex }),
    }),
    ...(enabled && {
      image: imageRecipe({ git_image: images.go, remotes, allow_addresses, ...image }),
    }),
    ...(runsApps && apps !== null && { app: appRecipe({ ...image, ...app }, apps) }),
  };
}
