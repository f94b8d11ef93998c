/** What the Erlang recipe makes of a repository before anything is compiled. */
import type { Owner } from "../../agent/docker/contracts.ts";
import { RecipeFailure } from "../../agent/recipes/contracts.ts";
import type { FetchedPackage, ResolvedRef } from "../../agent/recipes/erlang-contracts.ts";
import { resolveRef } from "../../agent/recipes/erlang-refs.ts";
import { fetchPackage } from "../../agent/recipes/erlang-source.ts";
import { erlangTargetSchema, type PackageAsked } from "../../shared/recipes/erlang.ts";
import { type ErlangWorld, REMOTE } from "./erlang-world.ts";
import { recipeContext, type Said } from "./recipe-context.ts";

export type Ended = {
  owner: Owner;
  log: Said[];
  resolved: ResolvedRef | null;
  fetched: FetchedPackage | null;
  failure: RecipeFailure | null;
};

/** Fetches `path` at what `ref` means, or at `known`. The owner's containers and volume are the caller's to clean. */
export async function fetchOf(
  world: ErlangWorld,
  owner: Owner,
  { path, ref, known }: { path: string; ref: string | null; known: ResolvedRef | null },
): Promise<Ended> {
  const [namespace, name] = path.split("/");
  const target = erlangTargetSchema.parse({
    recipe: "erlang",
    asked: {
      ...{ kind: "package", remote: REMOTE, path: path.split("/"), namespace, name, ref },
      ...{ notify: false, depth: 0 },
    },
    erl: null,
    visibility: "public",
  });
  const asked = target.asked as PackageAsked;
  const { docker, settings } = world;
  const { context, log } = recipeContext({ docker, owner, target, folder: docker.folder });
  const ended: Ended = { owner, log, resolved: null, fetched: null, failure: null };
  try {
    ended.resolved = known ?? (await resolveRef(context, settings, asked));
    ended.fetched = await fetchPackage(context, settings, asked, ended.resolved, async () => {});
  } catch (error) {
    if (!(error instanceof RecipeFailure)) throw error;
    ended.failure = error;
  }
  return ended;
}
