/** Erlang packages: what coon's face, the webhooks and the pages ask of the objects alike. */
import * as z from "zod";
import { parseGitUrl, type Repository, withoutGit } from "../shared/git-url.ts";
import { Problem } from "../shared/problem.ts";
import {
  ERLANG_LABEL,
  type ErlangTarget,
  erlangRepository,
  erlangTargetKey,
  followSchema,
  type PackageAsked,
} from "../shared/recipes/erlang.ts";
import { refusedForNow } from "./api/go-answers.ts";
import { remoteBase } from "./api/go-request.ts";
import { type Config, poolFor, readConfig } from "./config.ts";
import {
  type BuildRequest,
  type BuildSummary,
  CATALOG_NAME,
  type Caller,
  type TargetAnswer,
} from "./core/contracts.ts";
import { poolNames } from "./pools.ts";

/**
 * The repository that a clone URL names, in any of the forms that git takes: https, http, git, ssh, `git@host:path`,
 * below an allowed remote's base URL too; with or without `.git`.
 * Throws Problem `bad_body` for what is no such URL, `remote_not_allowed` for a host that is not built from here.
 */
export function parseCloneUrl(config: Config, url: string): Repository {
  const parsed = parseGitUrl(url, config.remotes);
  if ("error" in parsed)
    throw new Problem("bad_body", `The clone URL ${parsed.error}.`, {
      members: { member: "clone_url" },
    });
  remoteBase(config, parsed);
  return parsed;
}

/** Whether two clone URLs differ in their scheme and `.git` at most. */
export function isSameUrl(a: string, b: string): boolean {
  const bare = (url: string) => withoutGit(url).replace(/^[a-z+]+:\/\//i, "");
  return bare(a) === bare(b);
}

/** The two halves of coon's `full_name`; null for what is no such name. */
export function parseFullName(text: string): Pick<PackageAsked, "namespace" | "name"> | null {
  const halves = text.split("/");
  const { namespace, name } = followSchema.shape;
  const parsed = z.tuple([namespace, name]).safeParse(halves);
  return parsed.success ? { namespace: parsed.data[0], name: parsed.data[1] } : null;
}

/** A package to be built. */
export type PackageWish = Omit<PackageAsked, "kind"> & Pick<ErlangTarget, "erl">;

/**
 * Asks for a build of a package: a new one, or the one that is under way for the same wish. The repository is not
 * contacted. Throws Problem `rate_limited` and `queue_full`.
 */
export async function requestPackage(
  env: Env,
  { erl, ...asked }: PackageWish,
  caller: Caller,
): Promise<BuildSummary> {
  const target: ErlangTarget = {
    recipe: "erlang",
    asked: { kind: "package", ...asked },
    erl,
    visibility: "public",
  };
  const pool = poolFor(readConfig(env), target.recipe, erlangRepository(target) ?? "");
  const answer = await ask(env, { target, pool, caller });
  // No package is published under its target: each of its builds is a publication of its own.
  if (answer.kind === "published") throw new Error("a package was published under its target");
  return answer.build;
}

/** The same for the runtime system of a version that `pool` has. Null when it is published by now. */
export async function requestErts(
  env: Env,
  otp: string,
  pool: string,
  caller: Caller,
): Promise<BuildSummary | null> {
  const answer = await ask(env, { target: ertsTarget(otp), pool, caller });
  return answer.kind === "published" ? null : answer.build;
}

/** Where the runtime system of a version is published; whoever asks for it meets there. */
export function ertsKey(otp: string): string {
  return erlangTargetKey(ertsTarget(otp));
}

function ertsTarget(erl: string): ErlangTarget {
  return { recipe: "erlang", asked: { kind: "erts" }, erl, visibility: "public" };
}

async function ask(
  env: Env,
  request: { target: ErlangTarget } & Pick<BuildRequest, "pool" | "caller">,
): Promise<Exclude<TargetAnswer, { kind: "refused" }>> {
  const key = erlangTargetKey(request.target);
  const answer = await env.TARGETS.getByName(key).request({ ...request, key, credential: null });
  if (answer.kind === "refused") throw refusedForNow(answer);
  return answer;
}

/**
 * Gives a package's name to a repository; a `verified` claim takes it over. Throws Problem `name_taken`, in coon's
 * words, when another repository has it.
 */
export async function claimName(
  env: Env,
  claim: Pick<PackageAsked, "remote" | "path" | "namespace" | "name"> & {
    /** As it was written. */
    url: string;
    verified: boolean;
  },
): Promise<void> {
  const { namespace, name, url, verified } = claim;
  const full_name = `${namespace}/${name}`;
  const repository = [claim.remote, ...claim.path].join("/");
  const answer = await env.CATALOG.getByName(CATALOG_NAME).claim({
    full_name,
    repository,
    url,
    verified,
  });
  if (answer.kind === "ok") return;
  throw new Problem(
    "name_taken",
    `Validation failed: Request RepositoryDTO{fullName='${full_name}', cloneUrl='${url}'} tries to overwrite ` +
      `Repository{url='${answer.by}', name='${name}', namespace='${namespace}'}`,
  );
}

/** The Erlang versions that agents have, lowest first, each with the pools where there is one that has it. */
export async function otpPools(env: Env): Promise<Map<string, string[]>> {
  const names = await poolNames(env);
  const offers = await Promise.all(
    names.map(async (pool) => ({ pool, agents: await env.POOLS.getByName(pool).agents() })),
  );
  const found = offers.flatMap(({ pool, agents }) =>
    agents
      .filter(({ status, recipes }) => status !== "gone" && recipes.includes("erlang"))
      .flatMap(({ labels }) => labels[ERLANG_LABEL]?.split(",") ?? [])
      .map((otp) => ({ otp, pool })),
  );
  const sorted = found.toSorted((a, b) => collator.compare(a.otp, b.otp));
  const pools = new Map<string, string[]>();
  for (const { otp, pool } of sorted)
    pools.set(otp, [...new Set([...(pools.get(otp) ?? []), pool])]);
  return pools;
}

/** The Erlang versions that agents of any pool have, lowest first. */
export async function otpVersions(env: Env): Promise<string[]> {
  return [...(await otpPools(env)).keys()];
}

const collator = new Intl.Collator("en", { numeric: true });
