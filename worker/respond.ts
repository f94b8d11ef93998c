/** The one place that turns an error into a response (RFC 9457, or one plain line for people at a terminal). */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { Problem, type ProblemCode } from "../shared/problem.ts";
import { prefersPlainText } from "./accept.ts";
import type { AppEnv } from "./app-env.ts";
import { coonError, isCoonPath } from "./coon.ts";
import { isTutumPath, tutumError } from "./tutum.ts";

/** What hono and its middleware throw, as our codes. */
const CODE_OF_STATUS: Record<number, ProblemCode> = {
  400: "bad_body",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  405: "method_not_allowed",
  411: "length_required",
  413: "too_large",
  415: "unsupported_media_type",
  426: "upgrade_required",
};

/** Seconds after which a caller may come back when an object was too busy or just restarting. */
const RETRY_SECONDS = 2;

/** Renders any thrown value. */
export function respondWithError(error: unknown, c: Context<AppEnv>): Response {
  return respond(toProblem(error, c), c);
}

/** Renders one problem: JSON by default, its detail alone where the caller reads plain text, a seed's own shape on its paths. */
export function respond(problem: Problem, c: Context<AppEnv>): Response {
  if (isTutumPath(c.req.path)) return tutumError(problem);
  if (isCoonPath(c.req.path)) return coonError(problem);
  const headers = new Headers({ "cache-control": "no-store", ...problem.headers });
  if (prefersPlainText(c.req.header("accept"), c.req.header("user-agent"))) {
    headers.set("content-type", "text/plain; charset=utf-8");
    return new Response(`${problem.message}\n`, { status: problem.status, headers });
  }
  headers.set("content-type", "application/problem+json");
  return new Response(`${JSON.stringify(problemBody(problem))}\n`, {
    status: problem.status,
    headers,
  });
}

/** The members of an RFC 9457 body: the standard ones come first, and no extension takes their place. */
export function problemBody(problem: Problem): Record<string, unknown> {
  const standard = {
    type: `urn:railhead:problem:${problem.code}`,
    title: problem.title,
    status: problem.status,
    detail: problem.message,
    code: problem.code,
  };
  return { ...standard, ...problem.members, ...standard };
}

/** Any thrown value as a Problem. What is not ours becomes a 500 with a request id and one JSON line in the Worker's log. */
export function toProblem(error: unknown, c: Context<AppEnv>): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof HTTPException) {
    const code = CODE_OF_STATUS[error.status];
    if (code !== undefined) return new Problem(code, error.message || "The request was refused.");
  }
  const flags = error as { overloaded?: unknown; retryable?: unknown } | null;
  const request_id = crypto.randomUUID();
  console.error(
    JSON.stringify({
      level: "error",
      request_id,
      method: c.req.method,
      path: c.req.path.slice(0, 1_000),
      error: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
      stack: error instanceof Error ? error.stack : undefined,
    }),
  );
  if (flags?.overloaded === true || flags?.retryable === true)
    return new Problem("overloaded", "The edge is busy or just restarting. Send it again.", {
      members: { request_id },
      headers: { "retry-after": String(RETRY_SECONDS) },
    });
  return new Problem(
    "internal",
    `Something went wrong at our end. The operator finds it in the log as ${request_id}.`,
    { members: { request_id } },
  );
}
