/**
 * The frame that every face hangs its routes on: a face exports one function that takes the App and
 * adds to it (`agentRoutes(app)`). Errors are thrown as Problem and rendered by respond.ts.
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, Next } from "hono";
import { bodyLimit } from "hono/body-limit";
import { methodNotAllowed } from "hono/method-not-allowed";
import type * as z from "zod";
import { BODY_BYTES } from "../shared/limits.ts";
import { Problem, type ProblemCode } from "../shared/problem.ts";
import { refusedMember } from "../shared/refused-member.ts";
import type { AppEnv } from "./app-env.ts";
import { readConfig } from "./config.ts";
import { respond, respondWithError } from "./respond.ts";

export type { AppEnv };
export type App = OpenAPIHono<AppEnv>;

/** Routes that answer whatever the settings are, so that a broken deployment can be looked at. */
const ALWAYS_SERVED = new Set(["/healthz", "/version"]);
/** Bodies of any other route are read as JSON, and small. */
const STREAMED = [
  "/agent/uploads/",
  "/api/images",
  "/api/v1/build",
  "/callback",
  "/webhooks/",
  "/run",
];

const SECURITY_HEADERS: Record<string, string> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

export function createApp(): App {
  const app: App = new OpenAPIHono<AppEnv>({ defaultHook });
  app.onError(respondWithError);
  app.notFound((c) =>
    respond(
      new Problem("not_found", `There is no ${shorten(c.req.path)} here. See /openapi.json.`),
      c,
    ),
  );
  app.use(addSecurityHeaders, refuseWithoutSettings, limitBody);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => respond(wrongMethod(c.req.method, methods), c),
    }),
  );
  return app;
}

/** 405 with `Allow`; `hint` is a further sentence for who is likely to have sent it. */
export function wrongMethod(method: string, allowed: readonly string[], hint = ""): Problem {
  const allow = allowed.join(", ");
  const detail = `${shorten(method)} is not for this path. Use ${allow}. ${hint}`.trim();
  return new Problem("method_not_allowed", detail, { headers: { allow } });
}

const CODE_OF_TARGET: Record<string, ProblemCode> = {
  json: "bad_body",
  form: "bad_body",
  query: "bad_query",
  header: "bad_header",
  cookie: "bad_header",
  param: "bad_path",
};

/** Turns what a request schema refused into the Problem that names the member and what is wrong with it. */
function defaultHook(
  result: { target: string } & ({ success: true } | { success: false; error: z.ZodError }),
): void {
  if (result.success) return;
  const { member, text } = refusedMember(result.error);
  throw new Problem(
    CODE_OF_TARGET[result.target] ?? "bad_body",
    member === "" ? `The request is refused: ${text}.` : `${text}.`,
    { members: member === "" ? {} : { member } },
  );
}

async function addSecurityHeaders(c: Context<AppEnv>, next: Next): Promise<void> {
  await next();
  if (c.res.status === 101) return;
  for (const [name, value] of Object.entries(SECURITY_HEADERS))
    if (!c.res.headers.has(name)) c.header(name, value);
}

/** Throws Problem `not_ready` where the settings cannot be read. */
export async function refuseWithoutSettings(c: Context<AppEnv>, next: Next): Promise<void> {
  if (!ALWAYS_SERVED.has(c.req.path)) readConfig(c.env);
  await next();
}

/** Refuses a body of more than BODY_BYTES. */
export const smallBody = bodyLimit({
  maxSize: BODY_BYTES,
  onError: () => {
    throw new Problem("too_large", `A request body is at most ${BODY_BYTES} bytes here.`);
  },
});

async function limitBody(c: Context<AppEnv>, next: Next): Promise<Response | undefined> {
  if (STREAMED.some((prefix) => c.req.path.startsWith(prefix))) {
    await next();
    return undefined;
  }
  return (await smallBody(c, next)) ?? undefined;
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
