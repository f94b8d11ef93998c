/** The boot of the host: how long ago it was, and which one, since containers of an earlier one are dead. */
import { readFile } from "node:fs/promises";
import { uptime } from "node:os";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";
/** Seconds by which two readings of the boot's time may differ (a clock being set); other boots are minutes apart. */
const SAME_BOOT_S = 60;

/** Milliseconds since the host was started, suspended time included. */
export function bootTime(): number {
  return uptime() * 1_000;
}

/** Linux's own id of the boot; elsewhere, roughly the time of it. */
export async function bootId(): Promise<string> {
  try {
    return (await readFile(BOOT_ID, "utf8")).trim();
  } catch {
    return String(Math.round((Date.now() - bootTime()) / 1_000 / SAME_BOOT_S));
  }
}
