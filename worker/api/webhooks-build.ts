/** A new tag of any allowed repository: what it starts, and what it does not, with the reason. */
import { Problem } from "../../shared/problem.ts";
import { describeWish, type Wish } from "../../shared/railhead-file.ts";
import { goPath, isGoPathError, parseGoPath } from "../../shared/recipes/go.ts";
import { readConfig } from "../config.ts";
import type { BuildSummary } from "../core/contracts.ts";
import { claimName, isSameUrl, parseCloneUrl, parseFullName, requestPackage } from "../erlang.ts";
import { requestGo } from "../go.ts";
import type { Forge } from "../raw-file.ts";
import { type Resolved, resolveVersion } from "../resolve.ts";
import { refusedForNow } from "./go-answers.ts";
import { remoteBase } from "./go-request.ts";
import type { Named } from "./webhooks-payloads.ts";
import { type Tagged, wishesOf } from "./webhooks-wishes.ts";

export type Started = { build: string; build_id: string };
export type Skipped = { build: string; reason: string };
/** `reason`: why nothing was started; null when something was. */
export type Made = { builds: Started[]; skipped: Skipped[]; reason: string | null };

/** Where names of packages are verified: what a repository there is called is its own. */
const GITHUB = "https://github.com";

type Place = Pick<Tagged, "remote" | "base" | "path">;
type Tag = Tagged & { named: Named; resolved: Resolved };

/** The repository of a webhook. Throws Problem `bad_body`, `remote_not_allowed`. */
export function locate(env: Env, { clone_url }: Named): Place {
  const config = readConfig(env);
  const { remote, path } = parseCloneUrl(config, clone_url);
  return { remote, path, base: remoteBase(config, { remote }) };
}

/**
 * Starts what is to be built of a tag. Throws Problem when nothing was started for a reason that may pass, or that
 * the repository's owner should see.
 */
export async function buildTag(
  env: Env,
  forge: Forge,
  place: Place,
  named: Named,
  tag: string,
): Promise<Made> {
  const resolved = await resolveTag(place, tag);
  const { commit } = resolved;
  const tagged: Tag = { ...place, tag, commit, named, resolved };
  const builds: Started[] = [];
  const skipped: Skipped[] = [];
  const { wishes, from } = await wishesOf(env, forge, tagged);
  for (const wish of wishes) {
    const build = describeWish(wish);
    try {
      const { build_id } = await start(env, tagged, wish);
      builds.push({ build, build_id });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // All that came before is joined when the webhook comes again.
      if (error.code === "rate_limited" || error.code === "queue_full") throw error;
      skipped.push({ build, reason: error.message });
    }
  }
  if (builds.length > 0) return { builds, skipped, reason: null };
  const reason = wishes.length > 0 ? "Nothing was started." : `Nothing is to be built: ${from}.`;
  return { builds, skipped, reason };
}

async function resolveTag({ remote, base, path }: Place, tag: string): Promise<Resolved> {
  try {
    const resolved = await resolveVersion(base, { remote, path, version: tag }, []);
    if (resolved.version === tag) return resolved;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "no_such_repository")
      throw new Problem(
        "no_such_repository",
        `${[remote, ...path].join("/")} cannot be read without a credential, and a webhook brings none. Post builds of a private repository with a token of ${remote}.`,
      );
    if (error.code !== "no_such_version") throw error;
  }
  throw new Problem("no_such_version", `${[remote, ...path].join("/")} has no tag ${tag} now.`);
}

/** Throws Problem. */
async function start(env: Env, tagged: Tag, wish: Wish): Promise<BuildSummary> {
  const { remote, path, tag, named, resolved } = tagged;
  const caller = `webhook:${[remote, ...path].join("/")}`;
  if (wish.recipe === "go") {
    const { goos, goarch, make } = wish;
    const request = parseGoPath(
      goPath({ remote, path, goos, goarch, version: tag, make: null }),
      make,
    );
    if (request === null) throw new Problem("bad_path", "No path leads to such a build.");
    if (isGoPathError(request)) throw new Problem(request.code, request.message);
    const answer = await requestGo(env, request, resolved, caller);
    if (answer.kind === "refused") throw refusedForNow(answer);
    if (answer.kind === "published") throw new Problem("already_exists", "It was built before.");
    return answer.build;
  }
  const full_name = wish.full_name ?? path.slice(-2).join("/");
  const name = parseFullName(full_name);
  if (name === null) throw new Problem("bad_body", `${full_name} is no name of a package.`);
  const url = named.clone_url;
  const verified = isSameUrl(url, `${GITHUB}/${full_name}`);
  await claimName(env, { remote, path, ...name, url, verified });
  const { erl } = wish;
  const asked = { remote, path, ...name, ref: tag, notify: true, depth: 0, erl };
  return requestPackage(env, asked, caller);
}
