/** All the pools of an installation: those that agents registered in, and those that builds are sent to. */
import type { AgentView } from "../shared/identity.ts";
import { DEFAULT_POOL, readConfig } from "./config.ts";
import { CATALOG_NAME, type PoolStats } from "./core/contracts.ts";

export async function poolNames(env: Env): Promise<string[]> {
  const known = await env.CATALOG.getByName(CATALOG_NAME).pools();
  const ruled = readConfig(env).poolRules.map(({ pool }) => pool);
  return [...new Set([DEFAULT_POOL, ...ruled, ...known])].sort();
}

/** Every registered agent. */
export async function allAgents(env: Env): Promise<AgentView[]> {
  const names = await poolNames(env);
  const pools = await Promise.all(names.map((name) => env.POOLS.getByName(name).agents()));
  return pools.flat();
}

export async function poolStats(env: Env): Promise<PoolStats[]> {
  const names = await poolNames(env);
  return Promise.all(names.map((name) => env.POOLS.getByName(name).stats()));
}
