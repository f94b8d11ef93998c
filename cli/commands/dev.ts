/** `railhead dev` (`npm start`, `npm run demo`) and `railhead prepare`. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { findCheckout } from "../dev/checkout.ts";
import { runDemo } from "../dev/demo.ts";
import { demoPath, demoRemote, serveDemo } from "../dev/demo-source.ts";
import { ENGINE_STAYS, readyEngine, readyImages } from "../dev/engine.ts";
import { remoteOf } from "../dev/plan.ts";
import { freePort } from "../dev/port.ts";
import { type Stack, startStack } from "../dev/stack.ts";
import { CliError, EXIT } from "../errors.ts";
import { print, say, shortPath } from "../terminal.ts";

export type DevOptions = {
  port?: string;
  state?: string;
  agents: string;
  remote: string[];
  demo?: boolean;
};

const DEFAULT_PORT = 8787;
/** Agents that one machine may be asked to run. */
const MAX_AGENTS = 64;
/** Milliseconds within which a second signal is the same Ctrl-C, sent on by npm. */
const SAME_SIGNAL_MS = 1_500;
/** Milliseconds between looks at whether the program that launched us still lives. */
const LAUNCHER_POLL_MS = 500;

/** Runs the stack until it is told to end, or the demo to its own end. */
export async function dev(options: DevOptions): Promise<void> {
  const interrupt = listenForEnd(options.demo ? FORCED : leftByForce(stateOf(options)));
  try {
    if (options.demo) await demo(options, interrupt);
    else await serve(options, interrupt);
  } catch (error) {
    if (!interrupt.aborted) throw error;
  }
  if (interrupt.aborted && options.demo) process.exitCode = EXIT.interrupted;
}

function stateOf({ state }: DevOptions): string {
  return resolve(state ?? join(findCheckout(), ".railhead"));
}

async function serve(options: DevOptions, interrupt: AbortSignal): Promise<void> {
  const state = stateOf(options);
  const port = whole("--port", options.port ?? String(DEFAULT_PORT), 65_535);
  const agents = whole("--agents", options.agents, MAX_AGENTS);
  const hosts = options.remote.map((entry) => remoteOf(entry).host);
  // The folder of a stack that runs, or just ends, has the port for itself.
  if (!existsSync(state)) await freePort(port);
  const git = await serveDemo(join(state, "demo"));
  try {
    const remotes = [demoRemote(git), ...options.remote];
    const stack = await startStack({ state, port, agents, remotes, revive: true, interrupt, say });
    for (const line of summary(stack, state, hosts)) say(line);
    await new Promise((done) => interrupt.addEventListener("abort", done));
    say("\nEnding what was started. A second Ctrl-C ends it by force.");
    await stack.stop();
    if (stack.agents.length > 0) say(cachesStay(stack, state));
  } finally {
    await git.close();
  }
}

async function demo(options: DevOptions, interrupt: AbortSignal): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "railhead-demo-"));
  try {
    await runDemo({
      folder,
      state: options.state === undefined ? null : resolve(options.state),
      port: whole("--port", options.port ?? "0", 65_535),
      agents: Math.max(1, whole("--agents", options.agents, MAX_AGENTS)),
      remotes: options.remote,
      interrupt,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The engine and the builder images, for tests that need them. */
export async function prepare(): Promise<void> {
  const interrupt = listenForEnd("Ended by force.");
  await readyEngine(findCheckout(), interrupt);
  const { go, erlang } = await readyImages(findCheckout(), interrupt);
  print(`go ${go}`);
  for (const [major, reference] of Object.entries(erlang)) print(`erlang ${major} ${reference}`);
}

function summary(stack: Stack, state: string, hosts: readonly string[]): string[] {
  const folder = shortPath(state);
  const agents = stack.agents.length;
  return [
    "",
    `Railhead runs at ${stack.url} with ${agents} agent${agents === 1 ? "" : "s"}. Ctrl-C ends it.`,
    "",
    `  . ${folder}/env      # RAILHEAD_URL and RAILHEAD_TOKEN for this shell`,
    "  npx railhead agents",
    `  curl -X POST ${stack.url}${demoPath()}`,
    `  curl -OJL    ${stack.url}${demoPath()}`,
    ...hosts.map((host) => `  curl -X POST ${stack.url}/${host}/OWNER/REPO/linux/amd64/VERSION`),
    "",
    "demo.railhead is on this machine. github.com/owner/repo, gitlab.com/… and so on are built the same way.",
    "A folder with a Dockerfile goes online by: npx railhead up FOLDER --project NAME --rule Host:NAME.localhost",
    stack.webhooks
      ? `Webhooks are on: ${stack.url}/webhooks/github (or /gitlab, /gitea), with GIT_SECRET as their secret.`
      : "Webhooks are off: start with GIT_SECRET in the environment, or in .dev.vars.",
    `State and logs are in ${folder}.`,
    ...(stack.engine === "started" ? [ENGINE_STAYS] : []),
  ];
}

const FORCED =
  "Ended by force: containers and volumes of builds may be left (docker ps -a --filter label=railhead.agent).";

function leftByForce(state: string): string {
  const folder = shortPath(state);
  return `${FORCED} The next start with --state ${folder} removes them, or: npx railhead agent --home ${folder}/agents/1 retire`;
}

/** Deleting the folder first would leave volumes and disks that nobody knows any more. */
function cachesStay({ agents }: Stack, state: string): string {
  const retire = `npx railhead agent --home ${shortPath(state)}/agents/1 retire`;
  const others = agents.length > 1 ? ` (and so on, to agents/${agents.length})` : "";
  return `Web apps, and caches of the agents, stay on the Docker host. To remove them, before you delete ${shortPath(state)}: ${retire}${others}`;
}

function whole(option: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max)
    throw new CliError(`${option} takes a whole number from 0 to ${max}.`, EXIT.usage);
  return value;
}

/** Aborts on the signals that end us, and when the program that launched us is gone. `forced` is said at a second one. */
function listenForEnd(forced: string): AbortSignal {
  const controller = new AbortController();
  let first: number | null = null;
  const end = () => {
    first ??= performance.now();
    // By force: the guard of the stack ends what we leave.
    if (performance.now() - first > SAME_SIGNAL_MS) {
      say(forced);
      process.exit(EXIT.interrupted);
    }
    controller.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  const launcher = process.ppid;
  if (process.env.RAILHEAD_LAUNCHER === String(launcher))
    setInterval(() => process.ppid === launcher || controller.abort(), LAUNCHER_POLL_MS).unref();
  return controller.signal;
}
