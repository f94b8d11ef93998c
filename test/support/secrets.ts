/** Where a secret must not be: on the disk, in a command line, in an environment. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Names of the files below `folder` that hold `secret`. */
export async function filesWith(folder: string, secret: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    if (bytes.includes(secret)) found.push(path);
  }
  return found;
}

/** Command lines and environments of every process but this one's family of test runners. */
export async function processes(): Promise<string> {
  const texts: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const file of ["cmdline", "environ"])
      texts.push(await readFile(`/proc/${pid}/${file}`, "utf8").catch(() => ""));
  }
  return texts.join("\n");
}
