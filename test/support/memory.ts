/** Memory of processes, as the kernel counts it (proc(5): VmRSS and VmHWM of /proc/pid/status). */
import { readFile, writeFile } from "node:fs/promises";

const KIB = 1024;

/** Bytes that a process has in memory now, and had at most since `forgetPeak`; zeros when it is gone. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const bytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s*(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * KIB;
  return { now: bytes("VmRSS"), peak: bytes("VmHWM") };
}

/** From now on, `memoryOf` tells the peak since now. */
export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, "5").catch(() => {});
}

/** Name of a process's program. */
export async function programOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
}

/** The state letter of a process: `T` is stopped; null when it is gone. */
export async function stateOf(pid: number): Promise<string | null> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return /^State:\s*(\w)/m.exec(status)?.[1] ?? null;
}
