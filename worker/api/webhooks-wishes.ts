/** What is to be built of a new tag: what the repository itself lists, else what was built of its last version. */
import * as semver from "semver";
import type { BuildRecord } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { parseRailheadFile, RAILHEAD_FILE, type Wish } from "../../shared/railhead-file.ts";
import { CATALOG_NAME } from "../core/contracts.ts";
import { type Forge, readRawFile } from "../raw-file.ts";
import { unreachable } from "../resolve.ts";

export type Tagged = {
  remote: string;
  /** Base URL of the remote. */
  base: string;
  path: string[];
  tag: string;
  commit: string;
};

/** Builds of a repository that are looked through for its last version. */
const LOOKED_THROUGH = 200;

/** Throws Problem `bad_railhead_file` and `remote_unreachable`. */
export async function wishesOf(
  env: Env,
  forge: Forge,
  { remote, base, path, tag, commit }: Tagged,
): Promise<Wish[]> {
  const file = await readRawFile(forge, base, path, commit, RAILHEAD_FILE);
  if (file.kind === "unreachable") throw unreachable(remote, file.why);
  if (file.kind === "absent") {
    const repository = [remote, ...path].join("/");
    const query = { repository, state: "succeeded", limit: LOOKED_THROUGH } as const;
    const page = await env.CATALOG.getByName(CATALOG_NAME).list(query);
    return lastWishes(page?.builds ?? [], tag);
  }
  const parsed = parseRailheadFile(file.text);
  if ("wishes" in parsed) return parsed.wishes;
  throw new Problem("bad_railhead_file", `${RAILHEAD_FILE} at ${tag} is refused: ${parsed.error}.`);
}

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
