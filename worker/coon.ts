/** The shapes that coon's and enot's clients know: `{"result":…,"response":…}`, and a few bodies that they compare. */
import type { Problem, ProblemCode } from "../shared/problem.ts";

/** First segments of its paths. `/builds` is its own too, what lies below is ours. */
const ROUTES = new Set([
  "buildAsync",
  "buildSync",
  "rebuild",
  "callback",
  "search",
  "versions",
  "last_builds",
  "download",
  "get",
  "build_log",
  "download_erts",
  "badge",
]);
const BUILDS = /^\/builds\/?$/;
/** It answers 400 to whatever is wrong with a request itself. */
const INVALID = new Set<ProblemCode>(["bad_body", "bad_query", "remote_not_allowed", "name_taken"]);
const BAD_REQUEST = 400;
const PREFIX = "Validation failed: ";

/** Bodies, sent with status 200, that its clients compare what they get with. */
export const NO_BUILD_FOR_ID = "No build for id";
export const NO_SUCH_BUILD = "No such build";
export const NO_SUCH_ERLANG = "No such erlang";

export function isCoonPath(path: string): boolean {
  return ROUTES.has(path.split("/")[1] ?? "") || BUILDS.test(path);
}

export function coonAnswer(response: unknown): Response {
  return envelope(true, response, 200, {});
}

/** Its word for what did not come out well. */
export function coonRefusal(response: string): Response {
  return envelope(false, response, BAD_REQUEST, {});
}

export function coonError({ code, message, status, headers }: Problem): Response {
  if (!INVALID.has(code)) return envelope(false, message, status, headers);
  const text = message.startsWith(PREFIX) ? message : PREFIX + message;
  return envelope(false, text, BAD_REQUEST, headers);
}

/** Text as it is, without a line's end: clients compare the whole body. */
export function coonText(text: string): Response {
  return new Response(text, {
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
  });
}

function envelope(
  result: boolean,
  response: unknown,
  status: number,
  headers: Record<string, string>,
): Response {
  return new Response(JSON.stringify({ result, response }), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}
