/** The whole of Railhead on one machine: engine, images, the edge and its agents. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_REMOTES, parseRemote } from "../../shared/remotes.ts";
import { EdgeClient } from "../edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "../errors.ts";
import { LocalAgent } from "./agents.ts";
import { findCheckout } from "./checkout.ts";
import { Edge } from "./edge.ts";
import { imageSettings, readyEngine, readyImages } from "./engine.ts";
import { endProcesses } from "./processes.ts";
import {
  loadSecrets,
  loadSettings,
  lockState,
  makeState,
  readDevVars,
  shellVariables,
  writePrivate,
} from "./state.ts";

export type StackOptions = {
  /** Folder that everything is kept in. */
  state: string;
  /** Of the Worker; 0 takes any free one. */
  port: number;
  /** How many agents run on this machine; `/readyz` waits for them. */
  agents: number;
  /** Git hosts besides the usual ones: `git.example=http://127.0.0.1:3999`. */
  remotes: readonly string[];
  /** Settings of the Worker that win over the environment (docs/operating.md). */
  settings?: Readonly<Record<string, string>>;
  /** Settings of every agent, as RAILHEAD_AGENT_… variables. */
  agentSettings?: Readonly<Record<string, string>>;
  /** Nobody will start on this folder again: `stop` also removes what the agents keep on the engine. */
  disposable?: boolean;
  /** Starts the Worker again when it ends unasked. */
  revive?: boolean;
  /** Ends a start that is under way; a stack that has started is ended by `stop`. */
  interrupt?: AbortSignal;
  /** Told what happens, one line at a time. */
  say: (line: string) => void;
};

export type Stack = {
  url: string;
  token: string;
  client: EdgeClient;
  agents: readonly LocalAgent[];
  /** Whether this stack had to start the Docker engine, which stays. */
  engine: "running" | "started";
  /** File that a shell can source. */
  env: string;
  /** Ends the Worker as a power cut would, until `restartEdge`. */
  killEdge(): Promise<void>;
  /** Ends the Worker, if it runs, and starts it again on the same port and state. */
  restartEdge(): Promise<void>;
  /** Ends everything but the engine. Idempotent. */
  stop(): Promise<void>;
};

/** Milliseconds for the agents asked for to connect and be well. */
const READY_MS = 120_000;
const READY_POLL_MS = 100;
/** Milliseconds what a killed predecessor left gets to end by itself. */
const ORPHAN_MS = 3_000;
/** Milliseconds that agents without work need to end. */
const LAST_WORDS_MS = 1_000;
/** Milliseconds before a Worker that ended unasked is started again. */
const REVIVE_MS = 1_000;

/** Starts the stack; ready when it settles. Throws CliError, with nothing left running. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const state = resolve(options.state);
  const { say, interrupt = new AbortController().signal } = options;
  const root = findCheckout();
  const devVars = readDevVars(join(root, ".dev.vars"));
  const given = loadSettings(process.env, devVars);
  const remotes = allRemotes(given.RAILHEAD_REMOTES, options.remotes);
  await makeState(state);
  const unlock = await lockState(state);
  const ends: (() => Promise<unknown>)[] = [async () => unlock()];
  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= (async () => {
      for (const end of ends.reverse()) await end();
    })();
    return stopped;
  };
  const ending = () => stopped !== null || interrupt.aborted;

  try {
    await endProcesses(state, ORPHAN_MS);
    const guard = startGuard(state);
    let groupSignalled = false;
    guard.stdout?.on("data", () => {
      groupSignalled = true;
    });
    ends.push(() => endGuard(guard));

    const engine = await readyEngine(root, interrupt);
    const images = await readyImages(root, interrupt);
    const secrets = await loadSecrets(state, process.env, devVars);
    const settings = {
      RAILHEAD_OPEN_BUILDS: "true",
      ...given,
      RAILHEAD_REMOTES: remotes,
      ...options.settings,
      RAILHEAD_EXPECT_AGENTS: String(options.agents),
    };
    const edge: Edge = new Edge({
      root,
      state,
      port: options.port,
      secrets,
      settings,
      onExit: (why) => {
        if (ending()) return;
        say(`The Worker has ended: ${why}.`);
        if (options.revive) void revive(edge, ending, say);
      },
    });
    ends.push(() => edge.stop());
    say("Starting the Worker.");
    await edge.start();
    interrupt.throwIfAborted();
    const { url } = edge;

    const agentSettings = {
      RAILHEAD_AGENT_REMOTES: remotes,
      ...imageSettings(images),
      ...options.agentSettings,
    };
    const client = new EdgeClient({ url, token: secrets.RAILHEAD_TOKEN, gitToken: null });
    const agents = Array.from({ length: options.agents }, (_, i) => {
      const agent: LocalAgent = new LocalAgent({
        root,
        state,
        number: i + 1,
        settings: agentSettings,
        groupSignalled: () => groupSignalled,
        onExit: (why) => ending() || say(`The agent ${agent.name} ${why}. Its log: ${agent.log}`),
      });
      return agent;
    });
    if (options.disposable) ends.push(() => Promise.all(agents.map((agent) => agent.retire())));
    ends.push(() => endAgents(agents, edge));
    if (agents.length > 0) say(`Starting ${agents.length} agent${agents.length > 1 ? "s" : ""}.`);
    for (const agent of agents) {
      interrupt.throwIfAborted();
      await agent.register(client);
      agent.start();
    }
    await ready(client, agents, interrupt);

    const env = join(state, "env");
    await writePrivate(
      env,
      shellVariables({
        RAILHEAD_URL: url,
        RAILHEAD_TOKEN: secrets.RAILHEAD_TOKEN,
        ...agentSettings,
      }),
    );
    return {
      url,
      token: secrets.RAILHEAD_TOKEN,
      client,
      agents,
      engine,
      env,
      killEdge: () => edge.kill(),
      async restartEdge() {
        await edge.stop();
        await edge.start();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The usual git hosts (or those of the environment) and those asked for, as both allow lists spell them. */
function allRemotes(usual: string | undefined, extra: readonly string[]): string {
  const words = usual?.split(/\s+/).filter((word) => word !== "") ?? DEFAULT_REMOTES;
  const entries = [...words, ...extra];
  const bases = new Map<string, string>();
  for (const entry of entries) {
    const remote = parseRemote(entry);
    if ("error" in remote)
      throw new CliError(`--remote ${remote.error}. It is host=base-url.`, EXIT.usage);
    bases.set(remote.host, entry);
  }
  return [...bases.values()].join(" ");
}

function startGuard(state: string): ChildProcess {
  return spawn(process.execPath, [join(findCheckout(), "cli/dev/guard.ts"), state], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

async function endGuard(guard: ChildProcess): Promise<void> {
  if (guard.exitCode !== null || guard.signalCode !== null) return;
  const exited = once(guard, "exit");
  guard.stdin?.end();
  await exited;
}

/**
 * Ends the agents. One that has a build to cancel tells the Worker before it goes; Ctrl-C ended the Worker
 * too, then, and it comes back for that long.
 */
async function endAgents(agents: readonly LocalAgent[], edge: Edge): Promise<void> {
  const ended = Promise.all(agents.map((agent) => agent.stop()));
  const all = await Promise.race([
    ended.then(() => true),
    sleep(LAST_WORDS_MS, false, { ref: false }),
  ]);
  // What cannot be told now is told at the next start.
  if (!all && !edge.running) await edge.start().catch(() => {});
  await ended;
}

/** Waits until `/readyz` is 200. Throws CliError when an agent has ended, or it takes too long. */
async function ready(
  client: EdgeClient,
  agents: readonly LocalAgent[],
  interrupt: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const why = await client.request("GET", "/readyz").then(
      async (response) => {
        await response.body?.cancel();
        return null;
      },
      (error: unknown) => {
        if (error instanceof EdgeRefusal) return error.message;
        throw error;
      },
    );
    if (why === null) return;
    const ended = agents.find((agent) => agent.pid === null);
    if (ended !== undefined)
      throw new CliError(
        `The agent ${ended.name} did not start. Its log, ${ended.log}, ends with:\n${ended.lastLines()}`,
      );
    if (performance.now() > deadline) throw new CliError(`The stack did not become ready: ${why}`);
    await sleep(READY_POLL_MS, undefined, { signal: interrupt });
  }
}

async function revive(
  edge: Edge,
  ending: () => boolean,
  say: (line: string) => void,
): Promise<void> {
  await sleep(REVIVE_MS);
  if (ending()) return;
  try {
    await edge.kill();
    await edge.start();
    say("The Worker runs again.");
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}
