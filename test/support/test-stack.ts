/** What a test asks of the whole of Railhead, and of the git host beside it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadIdentity } from "../../agent/identity.ts";
import type { GitServer } from "../../cli/dev/git-server.ts";
import { processesOf } from "../../cli/dev/processes.ts";
import { makeRepository, type RepositoryCommit } from "../../cli/dev/repository.ts";
import type { Stack } from "../../cli/dev/stack.ts";
import type { AgentAction } from "../../cli/edge-client.ts";
import { type BuildRecord, isTerminal } from "../../shared/builds.ts";
import type { AgentView } from "../../shared/identity.ts";
import { type Container, containers, execIn, labelled } from "./engine.ts";
import { RELEASE_FILE } from "./fixtures.ts";
import { disksIn, processesUsing } from "./host.ts";
import { until } from "./until.ts";

/** One entry of a log as a client gets it. */
export type Line = {
  build_id: string;
  level: string;
  msg: string;
  time: string;
  stream?: "stdout" | "stderr";
  attempt: number;
  [member: string]: unknown;
};

/** A build that has ended. */
export type Ended = { id: string; record: BuildRecord; log: Line[] };

/** What a POST that was accepted answers. */
export type Accepted = { build_id: string; version: string; [member: string]: unknown };

/** Milliseconds any build of the tests may take on a machine with two busy cores. */
const BUILD_MS = 360_000;

/** Bare repositories in a folder, with the commits of each, oldest first. */
type Repositories = { root: string; commits: Map<string, string[]> };

export class TestStack {
  readonly git: GitServer;
  /** Folder that the Worker and the agents keep everything in. */
  readonly folder: string;
  readonly #stack: Stack;
  readonly #repositories: Repositories;
  readonly #ends: (() => Promise<unknown>)[];
  /** Settles with the last commit asked for: two at once would start from the same one before. */
  #committed: Promise<void> = Promise.resolve();
  /** The build that each path was last accepted for. */
  readonly #accepted = new Map<string, string>();

  constructor(
    stack: Stack,
    git: GitServer,
    folder: string,
    repositories: Repositories,
    ends: (() => Promise<unknown>)[],
  ) {
    this.#stack = stack;
    this.git = git;
    this.folder = folder;
    this.#repositories = repositories;
    this.#ends = ends;
  }

  get url(): string {
    return this.#stack.url;
  }

  /** The admin token. */
  get token(): string {
    return this.#stack.token;
  }

  /** File that a shell reads to have the address, the admin token and the settings of the agents. */
  get env(): string {
    return this.#stack.env;
  }

  /** Commits of a repository, oldest first. */
  commits(name: string): readonly string[] {
    return this.#repositories.commits.get(name) ?? [];
  }

  /** Adds commits to a repository, or begins one; a tag that is there already moves. */
  commit(name: string, history: RepositoryCommit[]): Promise<void> {
    const { root, commits } = this.#repositories;
    const turn = this.#committed.then(async () => {
      const added = await makeRepository(join(root, `${name}.git`), history);
      commits.set(name, [...this.commits(name), ...added]);
    });
    this.#committed = turn.catch(() => {});
    return turn;
  }

  /** Path and query of a URL or Location of this edge. */
  path(location: string | null): string {
    const url = new URL(location ?? "", this.url);
    return url.pathname + url.search;
  }

  // ---- requests -------------------------------------------------------------------------------------

  /** One request as a stranger sends it; redirects are answers. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url + path, { redirect: "manual", ...init });
  }

  post(path: string, init: RequestInit = {}): Promise<Response> {
    return this.fetch(path, { method: "POST", ...init });
  }

  #asAdmin(path: string, init: RequestInit = {}): Promise<Response> {
    return this.fetch(path, { ...init, headers: { authorization: `Bearer ${this.token}` } });
  }

  /** Bytes of what is built, redirects followed. */
  async bytes(path: string): Promise<Buffer> {
    const response = await this.fetch(path, { redirect: "follow" });
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, `GET ${path}: ${bytes.toString().slice(0, 500)}`);
    return bytes;
  }

  // ---- builds ---------------------------------------------------------------------------------------

  /** POSTs a build that must be accepted. */
  async start(path: string, init: RequestInit = {}): Promise<Accepted> {
    const response = await this.post(path, init);
    const text = await response.text();
    assert.equal(response.status, 202, `POST ${path}: ${response.status} ${text}`);
    const accepted = JSON.parse(text) as Accepted;
    this.#accepted.set(path, accepted.build_id);
    return accepted;
  }

  /** POSTs a build and waits for its end, whatever it is. */
  async build(path: string, init: RequestInit = {}): Promise<Ended> {
    return await this.ended((await this.start(path, init)).build_id, init);
  }

  /** The build of `path` that succeeded, made now unless this test has made it already. */
  async ensure(path: string): Promise<Ended> {
    const ended = await this.ended(this.#accepted.get(path) ?? (await this.start(path)).build_id);
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    return ended;
  }

  async record(id: string, init: RequestInit = {}): Promise<BuildRecord> {
    const response = await this.fetch(`/builds/${id}`, init);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as BuildRecord;
  }

  /** The log as far as it is stored. */
  async log(id: string, init: RequestInit = {}): Promise<Line[]> {
    const response = await this.fetch(`/builds/${id}/logs`, init);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Line);
  }

  /** The build once it has ended, with its whole log. */
  async ended(id: string, init: RequestInit = {}): Promise<Ended> {
    const record = await until(
      `the end of build ${id}`,
      async () => {
        const now = await this.record(id, init);
        return isTerminal(now.state) ? now : null;
      },
      BUILD_MS,
    );
    return { id, record, log: await this.log(id, init) };
  }

  /** Public builds, newest first. */
  async builds(): Promise<BuildRecord[]> {
    const response = await this.#asAdmin("/api/builds");
    assert.equal(response.status, 200);
    return ((await response.json()) as { builds: BuildRecord[] }).builds;
  }

  cancel(id: string): Promise<Response> {
    return this.#asAdmin(`/builds/${id}`, { method: "DELETE" });
  }

  // ---- the host -------------------------------------------------------------------------------------

  containers(build: string): Promise<Container[]> {
    return containers(`railhead.build=${build}`);
  }

  /** The running build container of a build, once there is one; of this attempt, if one is named. */
  async building(build: string, attempt?: number): Promise<Container> {
    return await until(
      `the build container of ${build}`,
      async () =>
        (await this.containers(build)).find(
          ({ State, Labels }) =>
            State === "running" &&
            Labels["railhead.phase"] === "build" &&
            (attempt === undefined || Labels["railhead.attempt"] === String(attempt)),
        ),
      BUILD_MS,
    );
  }

  /** Lets a `held` build go on; this attempt of it, if one is named. */
  async release(build: string, attempt?: number): Promise<void> {
    await execIn((await this.building(build, attempt)).Id, ["touch", RELEASE_FILE]);
  }

  async agents(): Promise<AgentView[]> {
    return await this.#stack.client.agents();
  }

  /** What an operator does to an agent, by its id. */
  actOnAgent(agent: string, action: AgentAction): Promise<AgentView> {
    return this.#stack.client.actOnAgent(agent, action);
  }

  #agent(index: number) {
    const agent = this.#stack.agents[index];
    if (agent === undefined) throw new Error(`there is no agent ${index}`);
    return agent;
  }

  agentPid(index: number): number {
    const { pid } = this.#agent(index);
    if (pid === null) throw new Error(`agent ${index} does not run`);
    return pid;
  }

  /** Folder of an agent's identity and journals. */
  agentHome(index: number): string {
    return this.#agent(index).home;
  }

  /** File of what an agent prints. */
  agentLog(index: number): string {
    return this.#agent(index).log;
  }

  async signalAgent(index: number, signal: NodeJS.Signals): Promise<void> {
    await this.#agent(index).kill(signal);
  }

  async killAgent(index: number): Promise<void> {
    await this.signalAgent(index, "SIGKILL");
  }

  startAgent(index: number, environment: Readonly<Record<string, string>> = {}): void {
    this.#agent(index).start(environment);
  }

  /** Exit status of an agent once it has ended. */
  agentExit(index: number): Promise<number | null> {
    return this.#agent(index).ended();
  }

  /** Pids of the Worker's processes, wrangler's too. */
  edgePids(): number[] {
    return processesOf(this.folder, "edge");
  }

  /** File of what the Worker's processes print. */
  get edgeLog(): string {
    return join(this.folder, "logs", "edge.log");
  }

  /** As a power cut would. */
  async killEdge(): Promise<void> {
    await this.#stack.killEdge();
  }

  /** On the same port, once no outgoing connection of this machine happens to have it. */
  async startEdge(): Promise<void> {
    const started = async () => {
      try {
        await this.#stack.restartEdge();
        return true;
      } catch (error) {
        if (/EADDRINUSE|is taken/.test(String(error))) return false;
        throw error;
      }
    };
    await until("the port of the edge", started);
  }

  /** Ends everything, and asserts that no process, container, volume or network of a build is left. */
  async close(): Promise<void> {
    try {
      await this.#stack.stop();
      const homes = this.#stack.agents.map(({ home }) => loadIdentity(home));
      const ids = (await Promise.all(homes)).map(({ agent }) => agent);
      const ofBuilds = await labelledOf(ids, "railhead.build");
      for (const agent of this.#stack.agents) await agent.retire();
      assert.deepEqual(ofBuilds, [], "left of builds");
      assert.deepEqual(await labelledOf(ids), [], "left of agents");
      assert.deepEqual(await processesUsing(this.folder), [], "processes left");
      assert.deepEqual(await disksIn(this.folder), [], "loop devices left");
    } finally {
      for (const end of this.#ends.reverse()) await end();
    }
  }
}

/** What these agents have on the engine that carries the labels too. */
async function labelledOf(agents: readonly string[], ...labels: string[]): Promise<string[]> {
  const found = agents.map((agent) => labelled(`railhead.agent=${agent}`, ...labels));
  return (await Promise.all(found)).flat();
}
