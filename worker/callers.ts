/** Who may build and cancel here: everybody where builds are open, else whoever shows a build token; deployers cancel too. */
import type { Context } from "hono";
import type { AppEnv } from "./app.ts";
import { readConfig } from "./config.ts";
import type { Caller, Scope } from "./core/contracts.ts";
import { deployer } from "./deployers.ts";
import { authenticate, callerOf, type Principal, requireScope } from "./tokens.ts";

/** The caller, when it may post builds. Throws Problem `unauthorized` or `forbidden`. */
export async function requireBuilder(c: Context<AppEnv>): Promise<Caller> {
  return callerOf(c, await allowed(c, "build"));
}

/**
 * The same, for cancelling: every token with scope admin counts as the admin, and whoever may deploy is let in, for the
 * deploys that it posted.
 */
export async function requireCanceller(c: Context<AppEnv>): Promise<Caller> {
  const principal = (await deployer(c)) ?? (await allowed(c, "build", "deploy"));
  return principal?.scope === "admin" ? "admin" : callerOf(c, principal);
}

/** Whether a token is shown that may list agents. One that is not valid is nobody's here. */
export async function maySeeAgents(c: Context<AppEnv>): Promise<boolean> {
  const principal = await authenticate(c).catch(() => null);
  return principal?.scope === "admin" || principal?.scope === "build";
}

/** Everybody where builds are open. */
async function allowed(c: Context<AppEnv>, ...scopes: Scope[]): Promise<Principal | null> {
  return readConfig(c.env).openBuilds ? authenticate(c) : requireScope(c, ...scopes);
}
