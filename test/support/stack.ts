/** Railhead as a user runs it, whole and on this machine, with a git host of its own. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GitServerOptions, startGitServer } from "../../cli/dev/git-server.ts";
import { makeRepository, type RepositoryCommit } from "../../cli/dev/repository.ts";
import { startStack } from "../../cli/dev/stack.ts";
import { type FileServer, serveFolder } from "./file-server.ts";
import { TestStack } from "./test-stack.ts";

export { type Accepted, type Ended, type Line, TestStack } from "./test-stack.ts";

export type StackSettings = {
  /** `owner/name` to its history. */
  repositories: Record<string, RepositoryCommit[]>;
  credentials?: NonNullable<GitServerOptions["credentials"]>;
  /** The git host's name in requests; `git.example` by default. */
  gitHost?: string;
  agents?: number;
  /** Builds at once of each agent. */
  capacity?: number;
  /** Milliseconds an attempt may take on an agent. */
  attemptLimitMs?: number;
  /** Folder of a Go module proxy; without one no module is to be had. */
  modules?: string;
  /** Settings of the Worker besides. */
  settings?: Record<string, string>;
  /** Settings of every agent besides, and variables of its process. */
  agentSettings?: Record<string, string>;
  /** Address at which an agent (the first is 0) reaches the Worker at `url`. */
  agentsVia?: (url: string, agent: number) => Promise<string>;
};

/** Starts everything. Close it. */
export async function openStack(settings: StackSettings): Promise<TestStack> {
  const folder = await mkdtemp(join(tmpdir(), "railhead-stack-"));
  const ends: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    const root = join(folder, "repositories");
    await mkdir(root);
    const commits = new Map<string, string[]>();
    for (const [name, history] of Object.entries(settings.repositories))
      commits.set(name, await makeRepository(join(root, `${name}.git`), history));
    const git = await startGitServer({
      root,
      ...(settings.credentials ? { credentials: settings.credentials } : {}),
    });
    ends.push(() => git.close());
    let proxy: FileServer | null = null;
    if (settings.modules !== undefined) {
      proxy = await serveFolder(settings.modules);
      ends.push(proxy.close);
    }
    const state = join(folder, "state");
    const said: string[] = [];
    const stack = await startStack({
      state,
      port: 0,
      agents: settings.agents ?? 1,
      remotes: [`${settings.gitHost ?? "git.example"}=${git.url}`],
      settings: settings.settings ?? {},
      agentSettings: {
        RAILHEAD_AGENT_CAPACITY: String(settings.capacity ?? 2),
        RAILHEAD_AGENT_GOPROXY: proxy?.url ?? "off",
        RAILHEAD_AGENT_GOSUMDB: "off",
        ...settings.agentSettings,
        ...(settings.attemptLimitMs
          ? { RAILHEAD_AGENT_LIMITS_MINUTES: String(settings.attemptLimitMs / 60_000) }
          : {}),
        ...settings.agentSettings,
      },
      ...(settings.agentsVia ? { agentsVia: settings.agentsVia } : {}),
      say: (line) => said.push(line),
    }).catch((error: unknown) => {
      throw new Error(`the stack did not start: ${error}\n${said.join("\n")}`);
    });
    return new TestStack(stack, git, state, { root, commits }, ends);
  } catch (error) {
    for (const end of ends.reverse()) await end();
    throw error;
  }
}
