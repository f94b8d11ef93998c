/** The real stack of a fault case: two agents, each behind a network that can break, and everything that is watched. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readyDocker } from "../support/docker.ts";
import { LAYOUTS } from "../support/fixtures.ts";
import { forgetPeak, memoryOf, programOf, stateOf } from "../support/memory.ts";
import { openStack, type StackSettings, type TestStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { EdgeProxy } from "./proxy.ts";
import { SOURCES, type SourceName, type Tree } from "./sources.ts";
import { Starts } from "./starts.ts";
import { Viewer } from "./viewer.ts";

/** A build with somebody who follows its log. */
export type Watched = {
  id: string;
  path: string;
  viewer: Viewer;
  /** What the POST was sent with. */
  init: RequestInit;
};

/** Milliseconds an agent may take to come back. */
const BACK_MS = 60_000;
/** Milliseconds for a lease to run out and another agent to begin. */
const LOST_MS = 240_000;
const AGENTS = 2;
const SEAMS = join(import.meta.dirname, "seams.ts");

/** A repository that only who knows the password may read; the password must turn up nowhere. */
export const PRIVATE = { user: "ada", password: 'pl4nted "secret"/with\\every+kind%of&mark' };

export class FaultWorld {
  readonly stack: TestStack;
  /** The network of each agent. */
  readonly proxies: readonly EdgeProxy[];
  /** Which containers were started for whom, told by the engine. */
  readonly starts: Starts;
  /** Builds of this case. */
  watched: Watched[] = [];
  /** Paths that this case may publish twice, since what they named went missing. */
  readonly rebuilt = new Set<string>();
  #healedAt: number | null = null;
  #recoveredAt: number | null = null;
  #sources = 0;
  readonly #ends: (() => Promise<unknown>)[] = [];

  private constructor(stack: TestStack, proxies: readonly EdgeProxy[], starts: Starts) {
    this.stack = stack;
    this.proxies = proxies;
    this.starts = starts;
  }

  /** @param settings of the stack, for a case with a world of its own */
  static async open(settings: Partial<StackSettings> = {}): Promise<FaultWorld> {
    const proxies: EdgeProxy[] = [];
    await readyDocker();
    const starts = await Starts.watch();
    try {
      const stack = await openStack({
        repositories: {
          "ada/hello": [{ files: LAYOUTS.held, tag: "v1.0.0" }],
          "ada/secret": [{ files: LAYOUTS.held, tag: "v1.0.0" }],
        },
        credentials: { "ada/secret": [PRIVATE] },
        agents: AGENTS,
        ...settings,
        agentSettings: { NODE_OPTIONS: `--import=${SEAMS}`, ...settings.agentSettings },
        agentsVia: async (url) => {
          const proxy = await EdgeProxy.open(url);
          proxies.push(proxy);
          return proxy.url;
        },
      });
      return new FaultWorld(stack, proxies, starts);
    } catch (error) {
      starts.close();
      for (const proxy of proxies) await proxy.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    try {
      await this.finish();
      for (const { viewer } of this.watched) await viewer.leave();
      for (const proxy of this.proxies) proxy.heal();
      for (const index of this.proxies.keys()) await this.stack.signalAgent(index, "SIGCONT");
      await this.stack.close();
    } finally {
      this.starts.close();
      for (const proxy of this.proxies) await proxy.close();
    }
  }

  // ---- the case -------------------------------------------------------------------------------------

  /** A new case begins. */
  async begin(): Promise<void> {
    for (const { viewer } of this.watched) await viewer.leave();
    this.watched = [];
    this.rebuilt.clear();
    this.#healedAt = null;
    this.#recoveredAt = null;
    for (const pid of [...this.agentPids(), ...(await this.workerdPids())]) await forgetPeak(pid);
  }

  /** What was broken is well again: the clock of recovery starts. */
  healed(): void {
    this.#healedAt = performance.now();
  }

  /** What the case opened for itself: ended when it is over, or the suite is interrupted; the last comes first. */
  defer(end: () => Promise<unknown>): void {
    this.#ends.push(end);
  }

  /** The case is over. */
  async finish(): Promise<void> {
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) await end();
  }

  /** Everything is well: the clock of recovery stops, unless the case has said so before. */
  recovered(): void {
    this.#recoveredAt ??= performance.now();
  }

  /** Milliseconds from `healed` to `recovered`; null when the case had nothing to heal. */
  get recovery_ms(): number | null {
    if (this.#healedAt === null || this.#recoveredAt === null) return null;
    return this.#recoveredAt - this.#healedAt;
  }

  // ---- builds ---------------------------------------------------------------------------------------

  /** The path of a version that nobody has asked for yet. */
  async source(what: SourceName | Tree, repository = "ada/hello"): Promise<string> {
    this.#sources += 1;
    const [name, files] = typeof what === "string" ? [what, SOURCES[what]] : ["own", what];
    const tag = `${name}-${this.#sources}`;
    await this.stack.commit(repository, [{ files, tag, annotated: true }]);
    return `/git.example/${repository}/linux/amd64/${tag}`;
  }

  /** POSTs a build and follows it. */
  async start(path: string, init: RequestInit = {}): Promise<Watched> {
    const { build_id: id } = await this.stack.start(path, init);
    const viewer = new Viewer(this.stack, id, (init.headers ?? {}) as Record<string, string>);
    const watched = { id, path, viewer, init };
    this.watched.push(watched);
    return watched;
  }

  /** A build that has printed three lines and prints on until `stack.release`. */
  async held(): Promise<Watched> {
    const watched = await this.start(await this.source("held"));
    await this.sees(watched, "held: line 3");
    return watched;
  }

  /** A build of a repository that only this caller may read. */
  async startPrivate(what: SourceName | Tree): Promise<Watched> {
    const { user, password } = PRIVATE;
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    return this.start(await this.source(what, "ada/secret"), { headers: { authorization } });
  }

  /** Settles when the viewer has seen this message. */
  async sees({ viewer }: Watched, wanted: string): Promise<void> {
    await until(`"${wanted}" in the log`, () => viewer.seen.some(({ msg }) => msg === wanted));
  }

  /** Settles when a build runs in this attempt, which may take a lost agent's lease. */
  async runs({ id, init }: Watched, attempt: number): Promise<void> {
    await until(
      `attempt ${attempt} of build ${id}`,
      async () => {
        const record = await this.stack.record(id, init);
        return record.attempt === attempt && record.state === "running";
      },
      LOST_MS,
    );
  }

  /** Settles when the viewer has seen something new. */
  async goesOn({ viewer }: Watched): Promise<void> {
    const before = viewer.seen.length;
    await until("output after the fault", () => viewer.seen.length > before);
  }

  /** Asserts that a build ends well, in this attempt. */
  async succeeds(watched: Watched, attempt: number | null = 1): Promise<void> {
    const { record } = await this.stack.ended(watched.id, watched.init);
    assert.equal(record.state, "succeeded", record.reason ?? "");
    if (attempt !== null) assert.equal(record.attempt, attempt, "attempts");
  }

  // ---- agents ---------------------------------------------------------------------------------------

  /** Which agent runs a build. */
  async agentOf({ id }: Watched): Promise<number> {
    return await until(`an agent for build ${id}`, async () => {
      const agents = await this.stack.agents();
      const found = agents.find(({ running }) => running.some(({ build }) => build === id));
      return found === undefined ? null : indexOf(found.name);
    });
  }

  /** Settles when agents are connected; all of them by default. */
  async back(...indexes: number[]): Promise<void> {
    const wanted = indexes.length > 0 ? indexes : [...this.proxies.keys()];
    await until(
      "the agents to be connected",
      async () => {
        const agents = await this.stack.agents().catch(() => []);
        const connected = agents.filter(({ status }) => status === "connected");
        return wanted.every((index) => connected.some(({ name }) => indexOf(name) === index));
      },
      BACK_MS,
    );
  }

  /**
   * Tells the agents to stop themselves (SIGSTOP) where seams.ts says `place`; `act` leads one there.
   * @returns which agent stands still
   */
  async haltAt(place: string, act: () => Promise<unknown>): Promise<number> {
    const orders = [...this.proxies.keys()].map((i) => join(this.stack.agentHome(i), "halt"));
    for (const order of orders) await writeFile(order, place);
    try {
      await act();
      return await until(`an agent to get to "${place}"`, async () => {
        for (const [index, order] of orders.entries())
          if (!existsSync(order) && (await stateOf(this.stack.agentPid(index))) === "T")
            return index;
        return null;
      });
    } finally {
      for (const order of orders) await rm(order, { force: true });
    }
  }

  async goOn(index: number): Promise<void> {
    await this.stack.signalAgent(index, "SIGCONT");
  }

  /** Kills the agent, wherever it stands, and starts it again. */
  async restartAgent(index: number, environment: Record<string, string> = {}): Promise<void> {
    await this.stack.killAgent(index);
    // Else it could be its predecessor that is found to be connected.
    await until("the agent to be missed", async () => {
      const agents = await this.stack.agents();
      return agents.some(({ name, status }) => indexOf(name) === index && status !== "connected");
    });
    this.stack.startAgent(index, environment);
    await this.back(index);
  }

  // ---- processes ------------------------------------------------------------------------------------

  agentPids(): number[] {
    return [...this.proxies.keys()].map((index) => this.stack.agentPid(index));
  }

  async workerdPids(): Promise<number[]> {
    const pids = this.stack.edgePids();
    const names = await Promise.all(pids.map(programOf));
    return pids.filter((_, i) => names[i] === "workerd");
  }

  /** Bytes of the largest agent and of the largest workerd, at most since the case began. */
  async peaks(): Promise<{ agent: number; workerd: number }> {
    const largest = async (pids: number[]) =>
      Math.max(0, ...(await Promise.all(pids.map(memoryOf))).map(({ peak }) => peak));
    return {
      agent: await largest(this.agentPids()),
      workerd: await largest(await this.workerdPids()),
    };
  }
}

/** Agents of a development stack are called local-1, local-2, … */
function indexOf(name: string): number {
  return Number(name.slice("local-".length)) - 1;
}
