#!/usr/bin/env node
/** The agent's executable: `register`, `run`, `doctor`, `retire`. Parses options and maps ends to exit statuses. */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { Command } from "commander";
import { APPS_FOLDER, AppHost } from "./apps/host.ts";
import { type AgentSettings, homeFolder, loadSettings } from "./config.ts";
import type { DockerHost } from "./docker/contracts.ts";
import { dockerHost } from "./docker/index.ts";
import { diagnose, look, lookAtEdge, showFindings } from "./doctor.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";
import { IDENTITY_FILE, type Identity, loadIdentity } from "./identity.ts";
import { lock } from "./lock.ts";
import { createLogger } from "./logger.ts";
import { machine } from "./machine.ts";
import { recipes } from "./recipes/index.ts";
import { register } from "./register.ts";
import { Service } from "./service.ts";
import { VERSION } from "./version.ts";

type Shared = { home?: string; logJson?: true };
type RegisterOptions = {
  url: string;
  token?: string;
  tokenFile?: string;
  name?: string;
  pool: string;
  labels?: string;
  force?: true;
};
type RunOptions = { capacity?: string; labels?: string; pool?: string; once?: true };

const STATUSES = `
Exit status: 0 done; 1 a check failed or the work could not be done; 2 wrong option, setting or file;
3 the edge refuses this agent (removed or unknown); 4 another process of this agent took over.

Settings: agent.toml in the home folder, RAILHEAD_AGENT_* in the environment (agent.example.toml explains each).`;

const HOME_HELP =
  "folder of identity, settings and journals (default: RAILHEAD_HOME, else ~/.railhead/agent, as root /var/lib/railhead)";

/** Signals that end a process that does not want to. */
const IMPATIENT_SIGNALS = 3;
const INTERRUPTED = 130;

// A flooded log makes nothing but garbage, of which V8 would let hundreds of megabytes stand before it looks.
setFlagsFromString("--semi-space-growth-factor=1");

const program = new Command("railhead-agent")
  .description("Makes builds on this Docker host for a Railhead edge. It only ever calls out.")
  .version(VERSION)
  .option("--home <dir>", HOME_HELP)
  .option("--log-json", "log as JSON, one object a line")
  .addHelpText("after", STATUSES)
  .exitOverride((error) => {
    throw new AgentExit(error.exitCode === 0 ? EXIT.ok : EXIT.usage, "");
  });

program
  .command("register")
  .description("make a key on this host and register it with the edge")
  .requiredOption("--url <url>", "address of the Worker")
  .option("--token <token>", "registration token; better: --token-file or RAILHEAD_AGENT_TOKEN")
  .option("--token-file <file>", "file that holds the registration token")
  .option("--name <name>", "name in listings (default: the host's)")
  .option("--pool <pool>", "pool to serve", "default")
  .option("--labels <k=v,…>", "labels that schedulers choose by")
  .option("--force", "replace the identity of this home")
  .action(async (options: RegisterOptions) => {
    const home = homeOf();
    const { labels } = loadSettings(home, process.env, pick(options, "labels"));
    const identity = await register({
      home,
      url: options.url,
      token: tokenOf(options),
      name: options.name ?? nameOfHost(),
      pool: options.pool,
      labels,
      force: options.force === true,
    });
    print(`Registered ${identity.name} (${identity.agent}) in pool ${identity.pool}.`);
    print("Now run: railhead agent run");
  });

program
  .command("run")
  .description(
    "connect and build until told to end: SIGTERM drains, a second one cancels, a third ends at once",
  )
  .option("--capacity <n>", "builds at once")
  .option("--labels <k=v,…>", "labels that schedulers choose by")
  .option("--pool <pool>", "end at once unless this agent is registered in that pool")
  .option("--once", "end after one build")
  .action(async (options: RunOptions) => {
    const home = homeOf();
    const settings = loadSettings(home, process.env, pick(options, "capacity", "labels"));
    const identity = await loadIdentity(home);
    if (options.pool !== undefined && options.pool !== identity.pool)
      throw new AgentExit(
        EXIT.usage,
        `This agent is registered in pool ${identity.pool}. For pool ${options.pool}, register with another --home.`,
      );
    await lock(home, "Give each agent a home of its own.");
    const ports = machine(identity);
    const docker = dockerOf(home, settings, identity.agent);
    const log = createLogger({
      json: logAsJson(),
      write: (line) => process.stderr.write(`${line}\n`),
    });
    const apps = new AppHost({ ports, home, identity, apps: docker.apps, log });
    const service = new Service({
      ports,
      home,
      identity,
      settings: options.once ? { ...settings, capacity: 1 } : settings,
      docker,
      recipes: recipes(settings, home, apps),
      apps,
      once: options.once === true,
      log,
    });
    let signals = 0;
    const interrupt = () => {
      signals += 1;
      if (signals >= IMPATIENT_SIGNALS) process.exit(INTERRUPTED);
      service.interrupt();
    };
    process.on("SIGTERM", interrupt);
    process.on("SIGINT", interrupt);
    await service.run();
  });

program
  .command("doctor")
  .description("say what this host can and cannot do, and what to change")
  .option("--json", "findings as JSON")
  .action(async ({ json }: { json?: true }) => {
    const home = homeOf();
    const settings = loadSettings(home, process.env);
    const identity = await loadIdentity(home).then(
      (ok: Identity) => ({ ok }),
      (error: unknown) => ({ error: messageOf(error) }),
    );
    const agent = "ok" in identity ? identity.ok.agent : UNREGISTERED;
    const docker = dockerOf(home, settings, agent);
    const images = Object.values(recipes(settings, home, null)).flatMap((recipe) =>
      recipe.images(),
    );
    const findings = diagnose(await look({ home, docker, images, identity }), settings);
    print(json ? JSON.stringify(findings, null, 2) : showFindings(findings));
    if (findings.some(({ status }) => status === "fail")) throw new AgentExit(EXIT.failed, "");
  });

program
  .command("retire")
  .description("remove all that this agent has on the host: containers, caches, network, identity")
  .action(async () => {
    const home = homeOf();
    const identity = await loadIdentity(home);
    const { agent, name, url } = identity;
    const held = await lock(
      home,
      `End it first, with SIGTERM or "railhead agents drain ${agent}"; then retire it.`,
    );
    await dockerOf(home, loadSettings(home, process.env), agent).retire();
    for (const left of ["attempts", "go", "disks", "images", APPS_FOLDER, IDENTITY_FILE])
      await rm(join(home, left), { recursive: true, force: true });
    held.close();
    const away = "error" in (await lookAtEdge(identity));
    print(
      `Nothing of ${name} is left here. ${away ? `The edge at ${url} does not answer: if it is to run again, remove the agent there then` : "Remove it at the edge too"}: railhead agents remove ${agent}`,
    );
  });

/** The engine is asked under this id by `doctor` on a host that is not registered. */
const UNREGISTERED = "default.0000000000000000";

function homeOf(): string {
  return homeFolder(program.opts<Shared>().home, process.env);
}

function dockerOf(home: string, settings: AgentSettings, agent: string): DockerHost {
  return dockerHost({
    agent,
    folder: home,
    socket: settings.docker_socket,
    allow_addresses: settings.allow_addresses,
  });
}

function tokenOf({ token, tokenFile }: RegisterOptions): string {
  let found = token ?? process.env.RAILHEAD_AGENT_TOKEN ?? "";
  if (tokenFile !== undefined) {
    try {
      found = readFileSync(tokenFile, "utf8").trim();
    } catch (error) {
      throw new AgentExit(EXIT.usage, `--token-file cannot be read: ${messageOf(error)}`);
    }
  }
  if (found) return found;
  throw new AgentExit(
    EXIT.usage,
    "A registration token is needed: --token-file, RAILHEAD_AGENT_TOKEN or --token. `railhead token create agent` makes one.",
  );
}

/** The host's name as an agent may be called. */
function nameOfHost(): string {
  return (
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 63) || "agent"
  );
}

function pick<T extends object, K extends keyof T>(from: T, ...keys: K[]): Pick<T, K> {
  return Object.fromEntries(
    keys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]]),
  ) as Pick<T, K>;
}

function logAsJson(): boolean {
  return program.opts<Shared>().logJson === true;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  await program.parseAsync();
  process.exit(EXIT.ok);
} catch (error) {
  if (!(error instanceof AgentExit)) throw error;
  if (error.message) process.stderr.write(`railhead-agent: ${error.message}\n`);
  process.exit(error.status);
}
