/**
 * Who may deploy (spec apps.md, "Server"): a token with scope deploy, the admin token, or the secret PEROKU_TOK, as Bearer
 * or as the password of Basic. Without any of them configured, nobody.
 */
import type { Context } from "hono";
import type { AppEnv } from "./app-env.ts";
import { readConfig } from "./config.ts";
import { decodeBasic } from "./credentials.ts";
import { timingSafeEqual } from "./secrets.ts";
import { authenticate, type Principal, TOKEN_HEADER } from "./tokens.ts";

/** Whoever asks, when it may deploy; null for everybody else. */
export async function deployer(c: Context<AppEnv>): Promise<Principal | null> {
  const shown = c.req.header(TOKEN_HEADER)?.trim() ?? shownToken(c.req.header("authorization"));
  const { perokuToken } = readConfig(c.env);
  if (shown !== null && perokuToken !== null && timingSafeEqual(shown, perokuToken))
    return { caller: "token:peroku", scope: "deploy" };
  const principal = await authenticate(c).catch(() => null);
  return principal?.scope === "admin" || principal?.scope === "deploy" ? principal : null;
}

/** Scheme names are matched without regard to case (RFC 9110 section 11.1); a password may hold colons. */
function shownToken(header: string | undefined): string | null {
  const [, scheme, value] = /^(bearer|basic) +(\S+)$/i.exec(header?.trim() ?? "") ?? [];
  if (scheme === undefined || value === undefined) return null;
  if (scheme.toLowerCase() === "bearer") return value;
  return decodeBasic(value)?.[1] ?? null;
}
