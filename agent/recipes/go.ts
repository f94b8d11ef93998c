/** The `go` recipe on the agent: from a target to the files that are published. */
import { type GoTarget, goRepository } from "../../shared/recipes/go.ts";
import { isGoPlatform } from "../../shared/recipes/go-platforms.ts";
import type { Recipe } from "./contracts.ts";
import { GoBuild } from "./go-build.ts";
import { GoCaches } from "./go-caches.ts";
import type { GoRecipeSettings } from "./go-settings.ts";

/** One per agent: builds share what it knows of their caches. */
export function goRecipe(
  settings: GoRecipeSettings,
  caches = new GoCaches(settings),
): Recipe<GoTarget> {
  return {
    name: "go",
    images: () => [settings.image],
    refuses: (target) => refusal(target, settings),
    make: (context) => new GoBuild(context, settings, caches).make(),
    idle: (context) => caches.idle(context, settings.image),
  };
}

function refusal(target: GoTarget, { remotes }: GoRecipeSettings): string | null {
  if (!Object.hasOwn(remotes, target.remote))
    return `this agent does not build ${goRepository(target)}: its operator allows ${
      Object.keys(remotes).join(", ") || "no git host at all"
    }`;
  if (!isGoPlatform(target.goos, target.goarch))
    return `this agent knows no platform ${target.goos}/${target.goarch}`;
  return null;
}
