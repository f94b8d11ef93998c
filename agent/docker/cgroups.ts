/**
 * The cgroup that all containers of one image build are in. The engine's builder takes neither labels nor a limit of
 * processes for them: by the group they are found again, and its limit is theirs.
 */
import { constants } from "node:fs";
import { mkdir, readdir, realpath, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Owner } from "./contracts.ts";
import { allowed } from "./tools.ts";

const ROOT = "/sys/fs/cgroup";
const GROUP = "railhead";

/** What the engine is told as `cgroupparent`; `driver` is the engine's own way of making cgroups. */
export function cgroupOf({ build, attempt }: Owner, driver: string | undefined): string {
  return driver === "systemd"
    ? `${GROUP}-${build}-${attempt}.slice`
    : `/${GROUP}/${build}-${attempt}`;
}

/**
 * Limits the processes of a group, where this process can reach it: it is root on the engine's host, and systemd,
 * which makes slices itself, is not in between. @returns whether the limit holds
 */
export async function limitProcesses(cgroup: string, pids: number): Promise<boolean> {
  if (!cgroup.startsWith("/")) return false;
  try {
    const unified = await allowed(join(ROOT, "cgroup.controllers"), constants.F_OK);
    // Made below a hierarchy that is there: in any other place it would be an ordinary folder, or a group too many.
    const hierarchy = unified ? ROOT : await realpath(join(ROOT, "pids"));
    const group = join(hierarchy, cgroup);
    await mkdir(group, { recursive: true });
    if (unified)
      for (const parent of [ROOT, dirname(group)])
        await writeFile(join(parent, "cgroup.subtree_control"), "+pids");
    await writeFile(join(group, "pids.max"), String(pids));
    return true;
  } catch {
    return false;
  }
}

/** Takes away the empty groups that the engine leaves; systemd does so itself. */
export async function removeGroup(cgroup: string): Promise<void> {
  if (!cgroup.startsWith("/")) return;
  const hierarchies = await readdir(ROOT).catch(() => []);
  for (const hierarchy of ["", ...hierarchies])
    await rmdir(join(ROOT, hierarchy, cgroup)).catch(() => {});
}
