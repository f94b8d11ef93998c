/** Debian's Chromium, without a window: installed when it is missing, with a profile of its own that is removed. */
import { access, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { must } from "./process.ts";

const EXECUTABLE = "/usr/bin/chromium";
/** Seconds that apt waits for another one to end. */
const APT_LOCK_SECONDS = 120;
const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A started browser; closing it removes what it wrote. */
export async function openBrowser(): Promise<{ browser: Browser; close(): Promise<void> }> {
  await installChromium();
  // Beside its profile it writes below HOME.
  const home = await mkdtemp(join(tmpdir(), "railhead-chromium-"));
  const removed = () => rm(home, { recursive: true, force: true, maxRetries: 5 });
  try {
    const env = { PATH: process.env.PATH ?? "", HOME: home, TMPDIR: home, LANG: "C.UTF-8" };
    const browser = await chromium.launch({
      executablePath: EXECUTABLE,
      chromiumSandbox: false,
      args: FLAGS,
      env,
    });
    const close = async () => {
      await browser.close();
      await removed();
    };
    return { browser, close };
  } catch (error) {
    await removed();
    throw error;
  }
}

async function installChromium(): Promise<void> {
  const missing = await access(EXECUTABLE).then(
    () => false,
    () => true,
  );
  if (!missing) return;
  if (process.getuid?.() !== 0)
    throw new Error(`${EXECUTABLE} is missing: apt-get install chromium to run these tests`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const lock = ["-o", `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`];
  await must("apt-get", [...lock, "update", "-qq"], { env });
  const install = ["install", "-qq", "-y", "--no-install-recommends", "chromium"];
  await must("apt-get", [...lock, ...install], { env });
}

/** Writes a picture of the whole page into the folder that RAILHEAD_SCREENSHOTS names, if it names one. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.RAILHEAD_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** What axe finds wrong with the page, one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  const source = await readFile(AXE, "utf8");
  await page.evaluate(source);
  const found = (await page.evaluate("axe.run()")) as {
    violations: { id: string; help: string; nodes: { html: string }[] }[];
  };
  return found.violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`,
  );
}
