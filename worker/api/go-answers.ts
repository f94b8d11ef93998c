/** What the Go face says: the same words for GET, POST and waiting. */
import { isTerminal } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { describeWait } from "../../shared/queue.ts";
import { type GoRequest, goArtifactPath, goPath, goRepository } from "../../shared/recipes/go.ts";
import type { BuildSummary, TargetAnswer } from "../core/contracts.ts";
import type { Resolved } from "../resolve.ts";

/** Seconds after which it is worth asking for a running build again. */
const RETRY_SECONDS = 5;
/** Every 404 of a Go path has them: who may read must not show in headers either. */
const MISS_HEADERS = { "cache-control": "no-store", vary: "authorization" };

/** `/builds/{id}/logs`, absolute. */
export function logUrl(origin: string, build_id: string): string {
  return `${origin}/builds/${build_id}/logs`;
}

/** 202, with torokko's member first. */
export function accepted(
  origin: string,
  request: GoRequest,
  build: BuildSummary,
  { version, commit }: Pick<Resolved, "version" | "commit">,
): Response {
  const location = goArtifactPath({ ...request, version });
  const body = {
    build_id: build.build_id,
    status: build.state,
    version,
    commit,
    position: build.position,
    queue: build.queue,
    log: logUrl(origin, build.build_id),
    artifact: `${origin}${location}`,
  };
  return new Response(`${JSON.stringify(body)}\n`, {
    status: 202,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      location,
      "retry-after": String(RETRY_SECONDS),
    },
  });
}

export function redirect(
  status: 302 | 303,
  location: string,
  headers: Record<string, string>,
): Response {
  return new Response(null, { status, headers: { location, ...headers } });
}

/** 409 in torokko's words, with the URL to download from. */
export function alreadyExists(origin: string, request: GoRequest): Problem {
  const location = goArtifactPath(request);
  return new Problem("already_exists", `already exists: download it from ${origin}${location}`, {
    members: { artifact: `${origin}${location}` },
    headers: { location },
  });
}

/** 429: nothing was started; the caller may come back. */
export function refusedForNow(answer: Extract<TargetAnswer, { kind: "refused" }>): Problem {
  const { code, retry_after_s } = answer;
  const why =
    code === "rate_limited"
      ? "You started as many builds as a minute allows."
      : "As many builds wait as the queue holds.";
  return new Problem(code, `${why} Send it again in ${retry_after_s} s.`, {
    headers: { "retry-after": String(retry_after_s) },
  });
}

/** What to answer where nothing was published: the build that is under way, or how the last one failed. */
export function notPublished(
  origin: string,
  request: GoRequest,
  build: BuildSummary | null,
): Problem {
  if (build === null || build.state === "succeeded") return notBuilt(origin, request);
  if (isTerminal(build.state)) return buildFailed(origin, request, build);
  return building(origin, build);
}

/** The one answer for "never built", "not for you" and "no such thing": nobody learns which it is. */
export function notBuilt(origin: string, request: GoRequest): Problem {
  const url = `${origin}${goPath(request)}`;
  return new Problem("not_built", `Not built. Build it with: curl -X POST '${url}'`, {
    members: { method: "POST", url },
    headers: MISS_HEADERS,
  });
}

function building(origin: string, build: BuildSummary): Problem {
  const log = logUrl(origin, build.build_id);
  const { build_id, state, position, queue } = build;
  const wait = describeWait(position, queue);
  const standing = wait === "" ? state : `${state}: ${wait}`;
  return new Problem("building", `Build ${build_id} is ${standing}. Its log: ${log}`, {
    members: { build_id, state, position, queue, log },
    headers: { ...MISS_HEADERS, "retry-after": String(RETRY_SECONDS) },
  });
}

export function buildFailed(origin: string, request: GoRequest, build: BuildSummary): Problem {
  const log = logUrl(origin, build.build_id);
  const { build_id, state, class: endClass, reason } = build;
  const why = reason ?? `it is ${state}`;
  return new Problem(
    "build_failed",
    `The build of ${goRepository(request)} ${request.version} failed: ${why} Its log: ${log}`,
    { members: { build_id, state, class: endClass, reason, log }, headers: MISS_HEADERS },
  );
}
