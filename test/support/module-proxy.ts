/**
 * A Go module proxy (go.dev/ref/mod#goproxy-protocol) in a folder, made from the sources that Debian
 * ships. Their contents are Debian's, so a program served beside it needs a go.sum for them.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { zip } from "./zip.ts";

/** Where golang-*-dev packages keep their sources. */
export const GOCODE = "usr/share/gocode/src";

export type Module = { path: string; version: string };

/** The modules that a go.mod requires, directly or not. */
export function requiredModules(goMod: string): Module[] {
  const line = /^\s*(?:require\s+)?([a-z0-9.-]+\.[a-z]+\/\S+)\s+(v\d\S*)/gm;
  return [...goMod.replaceAll(/\/\/.*/g, "").matchAll(line)].map((match) => ({
    path: match[1] as string,
    version: match[2] as string,
  }));
}

/**
 * Writes `module` into the proxy at `proxy` from the source tree `gocode`; answers its lines of a go.sum.
 * Throws when it is not there.
 */
export async function addModule(proxy: string, gocode: string, module: Module): Promise<string> {
  const source = await moduleFolder(gocode, module.path);
  const original = await readFile(join(source, "go.mod"), "utf8").catch(() => "");
  const language = /^go \d\S*/m.exec(original)?.[0];
  const goMod = `module ${module.path}\n${language ? `\n${language}\n` : ""}`;

  const prefix = `${module.path}@${module.version}/`;
  const files: [string, Buffer][] = [[`${prefix}go.mod`, Buffer.from(goMod)]];
  for (const file of await moduleFiles(source))
    files.push([prefix + file, await readFile(join(source, file))]);

  const folder = join(proxy, escaped(module.path), "@v");
  await mkdir(folder, { recursive: true });
  const name = join(folder, escaped(module.version));
  await writeFile(
    `${name}.info`,
    JSON.stringify({ Version: module.version, Time: "2024-01-01T00:00:00Z" }),
  );
  await writeFile(`${name}.mod`, goMod);
  await writeFile(`${name}.zip`, zip(files));
  await writeFile(join(folder, "list"), `${module.version}\n`);

  const whole = `${module.path} ${module.version}`;
  return `${whole} ${hash1(files)}\n${whole}/go.mod ${hash1([["go.mod", Buffer.from(goMod)]])}\n`;
}

/** The `h1:` hash of a go.sum (golang.org/x/mod/sumdb/dirhash). */
function hash1(files: readonly (readonly [name: string, content: Buffer])[]): string {
  const summary = createHash("sha256");
  for (const [name, content] of files.toSorted(([a], [b]) => (a < b ? -1 : 1)))
    summary.update(`${createHash("sha256").update(content).digest("hex")}  ${name}\n`);
  return `h1:${summary.digest("base64")}`;
}

/** Upper case is written with a `!`, since a proxy may lie on a file system that folds case. */
function escaped(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => `!${letter.toLowerCase()}`);
}

/** Debian leaves the major version away from most folders. */
async function moduleFolder(gocode: string, path: string): Promise<string> {
  for (const candidate of [path, path.replace(/\/v\d+$/, ""), path.replace(/\.v\d+$/, "")]) {
    const folder = join(gocode, candidate);
    if ((await stat(folder).catch(() => null))?.isDirectory()) return folder;
  }
  throw new Error(`the Debian packages hold no sources of the Go module ${path}`);
}

/** Regular files of the module, without nested modules and vendored ones; sorted. */
async function moduleFiles(root: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(join(root, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(below, entry.name);
    if (entry.isFile() && path !== "go.mod") found.push(path);
    if (!entry.isDirectory() || entry.name === "vendor") continue;
    const nested = await stat(join(root, path, "go.mod")).catch(() => null);
    if (nested === null) found.push(...(await moduleFiles(root, path)));
  }
  return found;
}
