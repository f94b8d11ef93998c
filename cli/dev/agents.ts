/** Agents on this machine, each with a home in the stack's folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { agentProgram } from "../agent-program.ts";
import type { EdgeClient } from "../edge-client.ts";
import { CliError } from "../errors.ts";
import { endProcesses, mark } from "./processes.ts";

export type AgentOptions = {
  root: string;
  state: string;
  /** Counts from 1. */
  number: number;
  /** Settings of the agent, as RAILHEAD_AGENT_… variables. */
  settings: Readonly<Record<string, string>>;
  /** Told when it ended though nobody asked it to. */
  onExit: (end: AgentEnd) => void;
  /** Whether the whole process group was told to end: then the agent has had one signal already. */
  groupSignalled: () => boolean;
};

/** How an agent's process ended. */
export type AgentEnd = {
  why: string;
  /** Exit status; null when a signal ended it, or when it could not be started. */
  status: number | null;
  /** Milliseconds it has run. */
  ran_ms: number;
};

/** Milliseconds within which a signal to the whole group is known of. */
const GROUP_MS = 100;
/** Milliseconds between the signal that drains and the one that cancels: two at once may arrive as one. */
const DRAIN_MS = 500;
/** Milliseconds an agent gets to cancel its builds and clean its host. */
const STOP_MS = 20_000;

const identitySchema = z.looseObject({ url: z.string(), agent: z.string() });

export class LocalAgent {
  readonly name: string;
  /** Folder of identity, settings and journals. */
  readonly home: string;
  /** File of what it prints. */
  readonly log: string;
  readonly #options: AgentOptions;
  #child: ChildProcess | null = null;
  #ended: Promise<number | null> = Promise.resolve(null);

  constructor(options: AgentOptions) {
    this.#options = options;
    this.name = `local-${options.number}`;
    this.home = join(options.state, "agents", String(options.number));
    this.log = join(options.state, "logs", `${this.name}.log`);
  }

  /** Null while it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Makes the edge and this home know each other, unless they already do. */
  async register(client: EdgeClient): Promise<void> {
    await mkdir(this.home, { recursive: true, mode: 0o700 });
    const identity = await this.#identity();
    const known = (await client.agents()).find((agent) => agent.name === this.name);
    if (known !== undefined && identity?.agent === known.agent && identity.url === client.url)
      return;
    // Of another port or a state that is gone: what it keeps on the engine would be nobody's.
    if (identity !== null) await this.retire();
    if (known !== undefined) await client.actOnAgent(known.agent, "remove");
    const { token, id } = await client.createToken("agent", `${this.name} of npm start`, 3_600);
    try {
      const child = this.#spawn(["register", "--url", client.url, "--name", this.name], {
        RAILHEAD_AGENT_TOKEN: token,
      });
      const [code] = await once(child, "exit");
      if (code !== 0)
        throw new CliError(
          `${this.name} could not be registered. Its log, ${this.log}, ends with:\n${this.lastLines()}`,
        );
    } finally {
      await client.revokeToken(id);
    }
  }

  /** Starts it, with more variables for this process alone; it connects by itself. */
  start(environment: Readonly<Record<string, string>> = {}): void {
    const child = this.#spawn(["run"], environment);
    const began = performance.now();
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const ended = (status: number | null, why: string) => {
        resolve(status);
        if (this.#child !== child) return;
        this.#child = null;
        this.#options.onExit({ why, status, ran_ms: performance.now() - began });
      };
      child.once("error", (error) => ended(null, error.message));
      child.once("exit", (code, signal) => ended(code, `ended with ${signal ?? `status ${code}`}`));
    });
  }

  /** Sends a signal; after KILL settles when the process has ended. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    if (signal === "SIGKILL") this.#child = null;
    child.kill(signal);
    if (signal === "SIGKILL") await this.#ended;
  }

  /** The exit status, once the process has ended; null after a signal. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  /** Ends it as its owner would, if it still runs, and starts it again. */
  async restart(): Promise<void> {
    await this.stop();
    this.start();
  }

  /** Cancels its builds and ends it, by force after twenty seconds. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    // The first signal drains, the second cancels, and a third would leave containers behind.
    await this.#endedWithin(GROUP_MS);
    if (!this.#options.groupSignalled()) child?.kill("SIGTERM");
    if (!(await this.#endedWithin(DRAIN_MS))) child?.kill("SIGTERM");
    await this.#endedWithin(STOP_MS);
    await endProcesses(this.#options.state, 0, this.#part);
    await this.#ended;
  }

  /** Removes all that it keeps on the engine, caches included, and its identity. It must have ended. */
  async retire(): Promise<void> {
    const child = this.#spawn(["retire"], {});
    const [code] = await once(child, "exit");
    if (code !== 0)
      throw new CliError(
        `What ${this.name} keeps on the engine could not all be removed. Its log, ${this.log}, ends with:\n${this.lastLines()}`,
      );
  }

  /** Which edge it is registered with, and as whom; null when it is not. */
  async #identity(): Promise<z.infer<typeof identitySchema> | null> {
    try {
      const text = await readFile(join(this.home, "identity.json"), "utf8");
      return identitySchema.parse(JSON.parse(text));
    } catch {
      return null;
    }
  }

  async #endedWithin(ms: number): Promise<boolean> {
    const late = new AbortController();
    const ended = await Promise.race([
      this.#ended.then(() => true),
      sleep(ms, false, { signal: late.signal }),
    ]);
    late.abort();
    return ended;
  }

  get #part(): string {
    return `agent-${this.#options.number}`;
  }

  #spawn(args: string[], environment: Readonly<Record<string, string>>): ChildProcess {
    const { root, state, settings } = this.#options;
    const log = openSync(this.log, "a", 0o600);
    const inherited = Object.entries(process.env).filter(
      ([name]) => !name.startsWith("RAILHEAD_") || name.startsWith("RAILHEAD_AGENT_"),
    );
    const child = spawn(process.execPath, [agentProgram(), ...args, "--home", this.home], {
      cwd: root,
      env: {
        ...Object.fromEntries(inherited),
        ...settings,
        ...environment,
        ...mark(state, this.#part),
      },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    return child;
  }

  /** The end of its log. */
  lastLines(): string {
    return readFileSync(this.log, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  }
}
