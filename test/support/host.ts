/** What a folder's owners left on this host, asked of the kernel. */
import { readdir, readFile, readlink } from "node:fs/promises";

/** Processes that name the folder in their command line or environment, or work in it. */
export async function processesUsing(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
    const [command, environment, cwd] = await Promise.all([
      read("cmdline"),
      read("environ"),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
    ]);
    if ([command, environment, cwd].some((text) => text.includes(folder)))
      found.push(`${pid} ${command.replaceAll("\0", " ")}`);
  }
  return found;
}

/** Files below the folder, deleted ones too, that a loop device of this host still holds. */
export async function disksIn(folder: string): Promise<string[]> {
  const devices = (await readdir("/sys/block")).filter((name) => name.startsWith("loop"));
  const files = await Promise.all(
    devices.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "")),
  );
  return files.map((file) => file.trim()).filter((file) => file.startsWith(`${folder}/`));
}
