/** The repository that `npm run demo` builds and `npm start` offers: it needs no network and no module. */
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { findCheckout } from "./checkout.ts";
import { type GitServer, startGitServer } from "./git-server.ts";
import { makeRepository, type RepositoryFile } from "./repository.ts";

const SOURCES = "cli/dev/demo-repository";

export const DEMO = {
  /** The git server's name in requests; nobody else can have one below `.railhead`. */
  remote: "demo.railhead",
  owner: "hello",
  name: "tally",
  tags: ["v1.0.0", "v1.1.0"],
  tag: "v1.1.0",
  /** This machine's own platform. */
  platform: `linux/${process.arch === "arm64" ? "arm64" : "amd64"}`,
} as const;

/** Path of the demo's build for a platform. */
export function demoPath(platform: string = DEMO.platform): string {
  return `/${DEMO.remote}/${DEMO.owner}/${DEMO.name}/${platform}/${DEMO.tag}`;
}

/** Makes the repository below `root`, unless it is there, and serves it until the server is closed. */
export async function serveDemo(root: string): Promise<GitServer> {
  const repository = join(root, DEMO.owner, `${DEMO.name}.git`);
  if (!existsSync(repository)) await make(repository);
  return await startGitServer({ root });
}

async function make(repository: string): Promise<void> {
  const commits = DEMO.tags.map(async (tag) => ({
    files: await filesOf(join(findCheckout(), SOURCES, tag)),
    tag,
    annotated: true,
  }));
  // Under its name it is whole: who is killed meanwhile leaves nothing that the next start would serve.
  const unfinished = `${repository}.${process.pid}`;
  await rm(unfinished, { recursive: true, force: true });
  await makeRepository(unfinished, await Promise.all(commits));
  await rename(unfinished, repository);
}

/** For `--remote`: the demo's name and where it is served. */
export function demoRemote(git: GitServer): string {
  return `${DEMO.remote}=${git.url}`;
}

async function filesOf(folder: string): Promise<Record<string, RepositoryFile>> {
  const names = await readdir(folder);
  const files = names.map(async (name) => [name, await readFile(join(folder, name))] as const);
  return Object.fromEntries(await Promise.all(files));
}
