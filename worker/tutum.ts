/** The shapes that clients of tutum-builder know: JSON indented by two spaces, errors as `{"Error": …}`. */
import { Problem, type ProblemCode } from "../shared/problem.ts";

const PREFIX = "/api/v1";
/** Its own words for what the framework finds. */
const WORDS: Partial<Record<ProblemCode, string>> = {
  not_found: "Resource not found",
  method_not_allowed: "Method not allowed",
};

export function isTutumPath(path: string): boolean {
  return path === PREFIX || path.startsWith(`${PREFIX}/`);
}

export function tutumAnswer(body: Record<string, string>): Response {
  return answer(body, 200, {});
}

export function tutumError(problem: Problem): Response {
  const body = { Error: WORDS[problem.code] ?? problem.message };
  return answer(body, problem.status, problem.headers);
}

export function insufficient(): Problem {
  return new Problem(
    "bad_body",
    "Insufficient Information.  Must provide at least an Image Name and a Dockerfile/Tarurl.",
  );
}

export function noSuchJob(): Problem {
  return new Problem("no_such_build", "Jobid doesn't exist in the cache.  Bad request.");
}

function answer(
  body: Record<string, string>,
  status: number,
  headers: Record<string, string>,
): Response {
  return new Response(JSON.stringify(body, null, 2), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}
