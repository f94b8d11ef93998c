/** What test runs download, kept between runs outside the checkout and never trusted unchecked. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

/** Folder of everything cached: `$XDG_CACHE_HOME/railhead-tests`, or one in the system's temp folder. */
export async function cacheFolder(): Promise<string> {
  const folder = process.env.XDG_CACHE_HOME
    ? join(process.env.XDG_CACHE_HOME, "railhead-tests")
    : join(tmpdir(), `railhead-tests-${process.getuid?.() ?? 0}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/**
 * The path of cache entry `name`. When `intact` refuses what is there, `make` fills an empty folder
 * or file path beside it, which then takes its place in one rename: two runs cannot see half of it.
 */
export async function cached(
  name: string,
  intact: (path: string) => Promise<boolean>,
  make: (path: string) => Promise<void>,
): Promise<string> {
  const folder = await cacheFolder();
  const path = join(folder, name);
  if (await intact(path)) return path;
  const temporary = await mkdtemp(join(folder, ".new-"));
  try {
    const fresh = join(temporary, "entry");
    await make(fresh);
    if (!(await intact(fresh))) throw new Error(`${name}: what was fetched fails its own check`);
    await rm(path, { recursive: true, force: true });
    await rename(fresh, path);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return path;
}

export async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
