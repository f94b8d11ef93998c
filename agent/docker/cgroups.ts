/**
 * The cgroup that all containers of one image build are in. The engine's builder takes neither labels nor a limit of
 * processes for them: by the group they are found again, and its limit is theirs.
 */
import { mkdir, readdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Owner } from "./contracts.ts";

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
  for (const hierarchy of [join(ROOT, "pids"), ROOT]) {
    const group = join(hierarchy, cgroup);
    try {
      await mkdir(group, { recursive: true });
      await writeFile(join(group, "pids.max"), String(pids));
      return true;
    } catch {
      // The other version of cgroups, or not ours to write.
    }
  }
  return false;
}

/** Takes away the empty groups that the engine leaves; systemd does so itself. */
export async function removeGroup(cgroup: string): Promise<void> {
  if (!cgroup.startsWith("/")) return;
  const hierarchies = await readdir(ROOT).catch(() => []);
  for (const hierarchy of ["", ...hierarchies])
    await rmdir(join(ROOT, hierarchy, cgroup)).catch(() => {});
}
