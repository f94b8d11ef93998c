/** The whole of Railhead on one machine: engine, images, the edge and its agents. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EdgeClient } from "../edge-client.ts";
import { CliError } from "../errors.ts";
import { shortPath } from "../terminal.ts";
import { LocalAgent } from "./agents.ts";
import { Edge } from "./edge.ts";
import { Ends } from "./ends.ts";
import { imageSettings, readyEngine, readyImages } from "./engine.ts";
import { type Guardian, startGuardian } from "./guardian.ts";
import { makePlan, type Plan } from "./plan.ts";
import { endProcesses } from "./processes.ts";
import { AgentReviver, reviveEdge } from "./revive.ts";
import { loadSecrets, lockState, makeState, shellVariables, writePrivate } from "./state.ts";

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
  /** Address at which an agent (the first is 0) reaches the Worker at `url`; the Worker's own by default. */
  agentsVia?: (url: string, agent: number) => Promise<string>;
  /** Nobody will start on this folder again: `stop` also removes what the agents keep on the engine. */
  disposable?: boolean;
  /** Starts the Worker again when it ends unasked, and once the stack is ready also agents that crash. */
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
  /** Whether git hosts may call: the Worker has a GIT_SECRET. */
  webhooks: boolean;
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

/** Starts the stack; ready when it settles. Throws CliError, with nothing left running. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const interrupt = options.interrupt ?? new AbortController().signal;
  const plan = makePlan(options);
  await makeState(plan.state);
  const ends = new Ends();
  ends.push(await lockState(plan.state));
  try {
    await endProcesses(plan.state, ORPHAN_MS);
    const guardian = startGuardian(plan.root, plan.state);
    ends.push(() => guardian.end());
    const engine = await readyEngine(plan.root, interrupt);
    const images = await readyImages(plan.root, interrupt);
    const secrets = await loadSecrets(plan.state, process.env, plan.devVars);
    const token = secrets.RAILHEAD_TOKEN;
    const ending = () => ends.begun || interrupt.aborted;

    const edge = makeEdge(options, plan, secrets, ending);
    ends.push(() => edge.stop());
    await edge.choosePort();
    const agentSettings = {
      RAILHEAD_AGENT_REMOTES: plan.remotes,
      ...imageSettings(images),
      ...options.agentSettings,
    };
    // Before the Worker can tell anybody that the stack is ready.
    const env = join(plan.state, "env");
    const variables = { RAILHEAD_URL: edge.url, RAILHEAD_TOKEN: token, ...agentSettings };
    await writePrivate(env, shellVariables(variables));
    options.say("Starting the Worker.");
    await edge.start();
    const client = new EdgeClient({ url: edge.url, token, gitToken: null });

    let isReady = false;
    const reviving = () => options.revive === true && isReady;
    const agents = makeAgents(options, plan, agentSettings, guardian, { ending, reviving });
    if (options.disposable) ends.push(() => Promise.all(agents.map((agent) => agent.retire())));
    ends.push(() => endAgents(agents, edge));
    if (agents.length > 0) options.say(`Starting ${agents.map(({ name }) => name).join(", ")}.`);
    for (const [index, agent] of agents.entries()) {
      interrupt.throwIfAborted();
      const url = (await options.agentsVia?.(edge.url, index)) ?? edge.url;
      await agent.register(new EdgeClient({ url, token, gitToken: null }));
      agent.start();
    }
    await ready(client, agents, interrupt);
    isReady = true;
    return {
      url: edge.url,
      token,
      client,
      agents,
      engine,
      env,
      webhooks: secrets.GIT_SECRET !== undefined,
      killEdge: () => edge.kill(),
      async restartEdge() {
        await edge.stop();
        await edge.start();
      },
      stop: () => ends.run(),
    };
  } catch (error) {
    await ends.run().catch(() => {}); // the first error says what went wrong
    throw error;
  }
}

function makeEdge(
  { port, revive, say }: StackOptions,
  { root, state, settings }: Plan,
  secrets: Readonly<Record<string, string>>,
  ending: () => boolean,
): Edge {
  const edge: Edge = new Edge({
    root,
    state,
    port,
    secrets,
    settings,
    onExit: (why) => {
      if (ending()) return;
      say(`The Worker has ended: ${why}.`);
      if (revive) void reviveEdge(edge, { ending, say });
    },
  });
  return edge;
}

function makeAgents(
  options: StackOptions,
  { root, state }: Plan,
  settings: Readonly<Record<string, string>>,
  guardian: Guardian,
  { ending, reviving }: { ending: () => boolean; reviving: () => boolean },
): LocalAgent[] {
  return Array.from({ length: options.agents }, (_, i) => {
    const reviver = new AgentReviver({ ending, say: options.say });
    const agent: LocalAgent = new LocalAgent({
      root,
      state,
      number: i + 1,
      settings,
      groupSignalled: () => guardian.groupSignalled(),
      onExit: (end) => {
        if (ending() || (reviving() && reviver.revive(agent, end))) return;
        options.say(`${agent.name} ${end.why}. Its log: ${agent.log}`);
        // What it ends with when it was drained.
        if (end.status === 0) options.say(`To start it again: ${againWith(state, agent)}`);
      },
    });
    return agent;
  });
}

function againWith(state: string, { home }: LocalAgent): string {
  return `. ${shortPath(state)}/env && npx railhead agent --home ${shortPath(home)} run`;
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
        if (error instanceof CliError) return error.message;
        throw error;
      },
    );
    if (why === null) return;
    const ended = agents.find((agent) => agent.pid === null);
    if (ended !== undefined)
      throw new CliError(
        `${ended.name} did not start. Its log, ${ended.log}, ends with:\n${ended.lastLines()}`,
      );
    if (performance.now() > deadline) throw new CliError(`The stack did not become ready: ${why}`);
    await sleep(READY_POLL_MS, undefined, { signal: interrupt });
  }
}
