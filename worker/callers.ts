/** Who may build and cancel here: everybody where builds are open, else whoever shows a build token. */
import type { Context } from "hono";
import type { AppEnv } from "./app.ts";
import { readConfig } from "./config.ts";
import type { Caller } from "./core/contracts.ts";
import { authenticate, callerOf, type Principal, requireScope } from "./tokens.ts";

/** The caller, when it may post builds. Throws Problem `unauthorized` or `forbidden`. */
export async function requireBuilder(c: Context<AppEnv>): Promise<Caller> {
  return callerOf(c, await builder(c));
}

/** The same, for cancelling: every token with scope admin counts as the admin. */
export async function requireCanceller(c: Context<AppEnv>): Promise<Caller> {
  const principal = await builder(c);
  return principal?.scope === "admin" ? "admin" : callerOf(c, principal);
}

/** Whether a token is shown that may list agents. One that is not valid is nobody's here. */
export async function maySeeAgents(c: Context<AppEnv>): Promise<boolean> {
  const principal = await authenticate(c).catch(() => null);
  return principal?.scope === "admin" || principal?.scope === "build";
}

async function builder(c: Context<AppEnv>): Promise<Principal | null> {
  return readConfig(c.env).openBuilds ? authenticate(c) : requireScope(c, "build");
}
