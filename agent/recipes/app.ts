/** The `app` recipe on the agent: from a context to a container that serves. */

import type { AppTarget } from "../../shared/recipes/app.ts";
import { parseRule, RuleError } from "../../shared/rules/index.ts";
import type { AppRunner } from "../apps/contracts.ts";
import { AppBuild, type AppRecipeSettings } from "./app-build.ts";
import type { Recipe } from "./contracts.ts";

export function appRecipe(settings: AppRecipeSettings, apps: AppRunner): Recipe<AppTarget> {
  return {
    name: "app",
    images: () => [],
    refuses: ({ rule }) => refusal(rule),
    make: (context) => new AppBuild(context, settings, apps).make(),
    async idle({ docker }) {
      await apps.trim();
      await docker.images.trim(settings.cache_bytes);
    },
  };
}

function refusal(rule: string): string | null {
  try {
    parseRule(rule);
    return null;
  } catch (error) {
    if (error instanceof RuleError)
      return `this agent does not understand its rule: ${error.message}`;
    throw error;
  }
}
