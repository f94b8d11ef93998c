/** The Worker on this machine: `wrangler dev` with its state, logs and caches in the stack's folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { parse } from "smol-toml";
import * as z from "zod";
import { CliError, messageOf } from "../errors.ts";
import { ADDRESS, freePort } from "./port.ts";
import { endProcesses, mark } from "./processes.ts";
import { writePrivate } from "./state.ts";

export type EdgeOptions = {
  /** The checkout. */
  root: string;
  /** The stack's folder. */
  state: string;
  /** 0 takes any free port. */
  port: number;
  secrets: Readonly<Record<string, string>>;
  /** Settings of the Worker besides those in wrangler.toml. */
  settings: Readonly<Record<string, string>>;
  /** Told when the Worker ended though nobody asked it to. */
  onExit: (why: string) => void;
};

/** Milliseconds until a Worker that is starting must answer. */
const START_MS = 60_000;
/** Milliseconds wrangler gets to end by itself. */
const STOP_MS = 5_000;
const POLL_MS = 50;
/** Lines of its log shown when it does not start. */
const TAIL_LINES = 15;
const PART = "edge";

const wranglerSchema = z.looseObject({
  main: z.string(),
  vars: z.record(z.string(), z.string()),
  secrets: z.looseObject({ required: z.array(z.string()) }),
});

export class Edge {
  readonly #options: EdgeOptions;
  readonly #log: string;
  #child: ChildProcess | null = null;
  #port: number;

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.#log = join(options.state, "logs", "edge.log");
    this.#port = options.port;
  }

  get url(): string {
    return `http://${ADDRESS}:${this.#port}`;
  }

  /** Whether it was started and has not ended. */
  get running(): boolean {
    return this.#child !== null;
  }

  /** Settles the port, and with it the URL, before the start. Throws CliError when it is taken. */
  async choosePort(): Promise<void> {
    this.#port = await freePort(this.#port);
  }

  /** Starts the Worker and waits until it answers. Throws CliError with the end of its log. */
  async start(): Promise<void> {
    await this.choosePort();
    const { root, state, secrets } = this.#options;
    const config = join(state, "wrangler.json");
    await writePrivate(config, JSON.stringify(this.#configure(), null, 2));
    // Read from beside its configuration, and by nothing but the Worker: --env-file would also put them into
    // the environment of every process.
    await writePrivate(join(state, ".dev.vars"), dotenv(secrets));
    // What a killed Worker left in it is of no use.
    await rm(join(state, "tmp"), { recursive: true, force: true });
    await mkdir(join(state, "tmp"));

    const log = openSync(this.#log, "a", 0o600);
    const child = spawn(
      process.execPath,
      [
        join(root, "node_modules/wrangler/bin/wrangler.js"),
        "dev",
        ...["--config", config, "--persist-to", join(state, "edge")],
        ...["--ip", ADDRESS, "--port", String(this.#port), "--inspector-port", "0"],
        "--show-interactive-dev-session=false",
      ],
      { cwd: root, env: this.#environment(), stdio: ["ignore", log, log] },
    );
    closeSync(log);
    let ended: string | null = null;
    const exited = (why: string) => {
      ended = why;
      if (this.#child !== child) return;
      this.#child = null;
      this.#options.onExit(why);
    };
    child.once("error", (error) => exited(messageOf(error)));
    child.once("exit", (code, signal) => exited(`wrangler ended with ${signal ?? code}`));

    const deadline = performance.now() + START_MS;
    while (!(await answers(`${this.url}/healthz`))) {
      if (ended === null && performance.now() < deadline) {
        await sleep(POLL_MS);
        continue;
      }
      await this.kill();
      throw new CliError(
        `The Worker did not start${ended === null ? "" : ` (${ended})`}. Its log, ${this.#log}, ends with:\n${tail(this.#log)}`,
      );
    }
    this.#child = child;
  }

  /** Ends the Worker and all that belongs to it; its state is on disk. */
  async stop(): Promise<void> {
    this.#child = null;
    await endProcesses(this.#options.state, STOP_MS, PART);
  }

  /** As a power cut would end it. */
  async kill(): Promise<void> {
    this.#child = null;
    await endProcesses(this.#options.state, 0, PART);
  }

  /** wrangler.toml with this stack's settings, as a file of its own in the stack's folder. */
  #configure(): Record<string, unknown> {
    const { root, secrets, settings } = this.#options;
    const config = wranglerSchema.parse(parse(readFileSync(join(root, "wrangler.toml"), "utf8")));
    return {
      ...config,
      main: join(root, config.main),
      // The first with its port: links in mail lead there.
      vars: {
        ...config.vars,
        RAILHEAD_HOSTS: `${ADDRESS}:${this.#port} localhost [::1]`,
        ...settings,
      },
      secrets: { required: [...new Set([...config.secrets.required, ...Object.keys(secrets)])] },
    };
  }

  /** Ours without what wrangler would take for a setting of the Worker. */
  #environment(): NodeJS.ProcessEnv {
    const { state, secrets } = this.#options;
    const kept = Object.entries(process.env).filter(
      ([name]) => !name.startsWith("RAILHEAD_") && !Object.hasOwn(secrets, name),
    );
    return {
      ...Object.fromEntries(kept),
      ...mark(state, PART),
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_SEND_ERROR_REPORTS: "false",
      WRANGLER_HIDE_BANNER: "true",
      TMPDIR: join(state, "tmp"),
      WRANGLER_LOG_PATH: join(state, "logs", "wrangler"),
      WRANGLER_CACHE_DIR: join(state, "wrangler", "cache"),
      WRANGLER_REGISTRY_PATH: join(state, "wrangler", "registry"),
      // The runtime's own records of requests hold their headers.
      X_LOCAL_OBSERVABILITY: "false",
      X_LOCAL_EXPLORER: "false",
      NO_COLOR: "1",
    };
  }
}

/** Quotes values as wrangler's reader of `.dev.vars` undoes it. */
export function dotenv(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => {
      const quote = ["'", '"', "`"].find((mark) => !value.includes(mark));
      if (quote === undefined || /[\n\r\\]/.test(value))
        throw new CliError(
          `${name} holds a line break, a backslash or every kind of quote, and cannot be passed to the Worker: choose another secret.`,
        );
      return `${name}=${quote}${value}${quote}\n`;
    })
    .join("");
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(START_MS) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** The last lines of a log that say something, without colours. */
function tail(file: string): string {
  const lines = stripVTControlCharacters(readFileSync(file, "utf8")).split("\n");
  return lines
    .filter((line) => line.trim() !== "")
    .slice(-TAIL_LINES)
    .join("\n");
}
