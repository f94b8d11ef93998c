/** What was built of a repository's last version: that is what its next one gets, unless it says otherwise. */
import * as semver from "semver";
import type { BuildRecord } from "../../shared/builds.ts";
import type { Wish } from "../../shared/railhead-file.ts";

/** What the builds, newest first, made of the version before `tag`. */
export function lastWishes(builds: readonly BuildRecord[], tag: string): Wish[] {
  const version = versionBefore(builds.map(versionOf), tag);
  const wishes = builds
    .filter((build) => version !== null && versionOf(build) === version)
    .flatMap(({ target, package: made }): Wish[] => {
      if (target.recipe === "go") {
        const { goos, goarch, make } = target;
        return [{ recipe: "go", goos, goarch, make }];
      }
      if (made === null) return [];
      const full_name = `${made.namespace}/${made.name}`;
      return [{ recipe: "erlang", full_name, erl: made.erl_version }];
    });
  return [...new Map(wishes.map((wish) => [JSON.stringify(wish), wish])).values()];
}

/** The highest version below `tag`; where versions have no order, the one that was built last. */
function versionBefore(built: readonly (string | null)[], tag: string): string | null {
  const others = built.filter((version) => version !== null && version !== tag);
  const limit = semver.parse(tag);
  const lower = others
    .map((version) => semver.parse(version))
    .filter((version) => version !== null && limit !== null && version.compare(limit) < 0)
    .toSorted((a, b) => semver.compareBuild(b as semver.SemVer, a as semver.SemVer))[0];
  return lower?.raw ?? others[0] ?? null;
}

function versionOf({ target, package: made }: BuildRecord): string | null {
  return target.recipe === "go" ? target.version : (made?.version ?? null);
}
