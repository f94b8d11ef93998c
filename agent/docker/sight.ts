/** What this process can see and do of the engine's host: it may be root on it, a plain user, or in a container. */
import { constants } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { Disks } from "./disks.ts";
import type { EngineInfo } from "./engine.ts";
import { allowed, isRoot } from "./tools.ts";

export type Sight = {
  /** May write in the engine's volumes, under the ids that its containers have. */
  volumes: boolean;
  /** Can make disks with a hard size for volumes. */
  quota: boolean;
};

export function hasSecurityOption(info: EngineInfo, name: string): boolean {
  return (info.SecurityOptions ?? []).some((option) => option.startsWith(`name=${name}`));
}

export async function sightOf(info: EngineInfo): Promise<Sight> {
  // Under user namespaces the builder's id is another one on the host.
  const mapped = hasSecurityOption(info, "userns") || hasSecurityOption(info, "rootless");
  const folder = join(info.DockerRootDir, "volumes");
  const volumes = isRoot() && !mapped && (await allowed(folder, constants.R_OK | constants.W_OK));
  return { volumes, quota: volumes && (await Disks.able()) };
}

/** Bytes of the disk that holds `folder`; nulls where this process cannot see it. */
export async function diskOf(
  folder: string,
): Promise<{ free: number | null; total: number | null }> {
  const found = await statfs(folder).catch(() => null);
  if (found === null) return { free: null, total: null };
  return { free: found.bavail * found.bsize, total: found.blocks * found.bsize };
}
