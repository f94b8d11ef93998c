/** Go binaries: what their face and the webhooks ask of the objects alike. */
import { type GoRequest, type GoTarget, goRepository, goTargetKey } from "../shared/recipes/go.ts";
import { poolFor, readConfig } from "./config.ts";
import type { Caller, TargetAnswer } from "./core/contracts.ts";
import type { Resolved } from "./resolve.ts";
import { seal } from "./secrets.ts";

/** Asks for the build of a request whose version was resolved: a new one, or the one that is under way. */
export async function requestGo(
  env: Env,
  { remote, path, goos, goarch, make }: GoRequest,
  { version, commit, visibility, advertised, credential }: Resolved,
  caller: Caller,
): Promise<TargetAnswer> {
  const target: GoTarget = {
    recipe: "go",
    remote,
    path,
    goos,
    goarch,
    make,
    version,
    commit,
    visibility,
    advertised,
  };
  const key = goTargetKey(target);
  return env.TARGETS.getByName(key).request({
    key,
    target,
    pool: poolFor(readConfig(env), target.recipe, goRepository(target)),
    caller,
    credential: credential === null ? null : await seal(env, credential),
  });
}
