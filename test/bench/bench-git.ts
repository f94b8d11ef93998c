/** A git host with one repository of many tags, for measures that need a version to resolve and nothing else. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGitServer } from "../../cli/dev/git-server.ts";
import { makeRepository } from "../../cli/dev/repository.ts";

export type BenchGit = { url: string; close(): Promise<void> };

/** Serves `bench/program` with tags v1.0.0 and v1.1.0. */
export async function serveGit(): Promise<BenchGit> {
  const root = await mkdtemp(join(tmpdir(), "railhead-bench-git-"));
  await makeRepository(join(root, "bench/program.git"), [
    { files: { one: "1" }, tag: "v1.0.0" },
    { files: { two: "2" }, tag: "v1.1.0" },
  ]);
  const server = await startGitServer({ root });
  return {
    url: server.url,
    async close() {
      await server.close();
      await rm(root, { recursive: true });
    },
  };
}
