/**
 * Railhead's own tokens in a request (spec conventions.md, "Tokens and access"): `rh_…` or the admin
 * secret, in `Authorization` or, beside a git credential, in `Railhead-Token`. Anything else in
 * `Authorization` is a git host's, and none of our business here.
 */
import type { Context, MiddlewareHandler } from "hono";
import { CREDENTIAL_CHARS } from "../shared/limits.ts";
import { Problem } from "../shared/problem.ts";
import type { AppEnv } from "./app.ts";
import { CATALOG_NAME, type Caller, type Scope } from "./core/contracts.ts";
import { timingSafeEqual } from "./secrets.ts";

export const TOKEN_PREFIX = "rh_";
export const TOKEN_HEADER = "railhead-token";
const TOKEN = /^rh_[A-Za-z0-9_-]{43}$/;

/** Milliseconds for which an isolate trusts what the Catalog said of a token: how late a revocation may be noticed. */
const KEPT_MS = 5_000;
/** Tokens whose answers are kept at once. */
const KEPT_TOKENS = 1_000;

/** Somebody who showed a token. `scope` admin may everything. */
export type Principal = { caller: Caller; scope: Scope };

type Answer = { id: string; scope: Scope } | null;

const answers = new Map<string, { answer: Answer; until: number }>();

/** Whether a value is one of our tokens, valid or not: such a value is never sent to a git host. */
export function isOwnToken(env: { RAILHEAD_TOKEN: string }, value: string): boolean {
  return value.startsWith(TOKEN_PREFIX) || timingSafeEqual(value, env.RAILHEAD_TOKEN);
}

/**
 * Who is asking, by token; null without one of ours. Throws Problem `unauthorized` for a token of ours
 * that is unknown, expired or revoked: it must not pass for nobody's.
 */
export async function authenticate(c: Context<AppEnv>): Promise<Principal | null> {
  const token = shownToken(c);
  if (token === null) return null;
  if (timingSafeEqual(token, c.env.RAILHEAD_TOKEN)) return { caller: "admin", scope: "admin" };
  const known = TOKEN.test(token) ? await check(c.env, token) : null;
  if (known === null)
    throw unauthorized(
      "This token is unknown, expired or revoked. Ask the operator for a new one.",
    );
  return { caller: `token:${known.id}`, scope: known.scope };
}

/** Who is asking, when that token may do what one of `scopes` may. Throws Problem `unauthorized` or `forbidden`. */
export async function requireScope(c: Context<AppEnv>, ...scopes: Scope[]): Promise<Principal> {
  const principal = await authenticate(c);
  if (principal === null)
    throw unauthorized(
      `A token with scope ${anyOf(scopes)} is needed here, as "Authorization: Bearer rh_…".`,
    );
  if (principal.scope === "admin" || scopes.includes(principal.scope)) return principal;
  throw new Problem(
    "forbidden",
    `This token has scope ${principal.scope}; ${anyOf(scopes)} is needed here.`,
  );
}

/** The scopes that open a route, for people. The admin's opens them all. */
function anyOf(scopes: readonly Scope[]): string {
  return [...new Set<Scope>([...scopes, "admin"])].join(" or ");
}

/** For a route: lets nobody in without such a token, before anything of the request is read. */
export function requires(...scopes: Scope[]): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    await requireScope(c, ...scopes);
    await next();
  };
}

/** Names a caller for rates and ownership, with a token or without. */
export function callerOf(c: Context<AppEnv>, principal: Principal | null): Caller {
  return principal?.caller ?? `ip:${c.req.header("cf-connecting-ip") ?? "unknown"}`;
}

function unauthorized(detail: string): Problem {
  return new Problem("unauthorized", detail, {
    headers: { "www-authenticate": 'Bearer realm="railhead"' },
  });
}

function shownToken(c: Context<AppEnv>): string | null {
  const own = c.req.header(TOKEN_HEADER);
  if (own !== undefined) return own.trim();
  const header = c.req.header("authorization");
  if (header === undefined || header.length > CREDENTIAL_CHARS) return null;
  return valuesOf(header).find((value) => isOwnToken(c.env, value)) ?? null;
}

/** Where a token may stand in an Authorization header: behind a scheme, as a Basic password, or alone. */
function valuesOf(header: string): string[] {
  const [, scheme, value = ""] = /^(?:([A-Za-z]+) +)?(\S+)$/.exec(header.trim()) ?? [];
  if (scheme?.toLowerCase() !== "basic") return [value];
  try {
    const pair = atob(value);
    return [pair.slice(pair.indexOf(":") + 1)];
  } catch {
    return [];
  }
}

async function check(env: AppEnv["Bindings"], token: string): Promise<Answer> {
  const now = Date.now();
  const kept = answers.get(token);
  if (kept !== undefined && kept.until > now) return kept.answer;
  // Kept once it is there: what another request still waits for would never come if that one were cut off.
  const answer = await env.CATALOG.getByName(CATALOG_NAME).checkToken(token);
  if (answers.size >= KEPT_TOKENS) answers.clear();
  answers.set(token, { answer, until: now + KEPT_MS });
  return answer;
}
