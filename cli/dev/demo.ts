/** The main job on real input, every step shown as a user would type it. */
import { spawn } from "node:child_process";
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { buildIdSchema } from "../../shared/builds.ts";
import { MESSAGES } from "../../shared/log.ts";
import { PROBLEMS } from "../../shared/problem.ts";
import { CliError } from "../errors.ts";
import { size } from "../terminal.ts";
import { findCheckout } from "./checkout.ts";
import { DEMO, demoPath, demoRemote, serveDemo } from "./demo-source.ts";
import { ENGINE_STAYS } from "./engine.ts";
import { executableKind } from "./executable.ts";
import { type Stack, startStack } from "./stack.ts";

export type DemoOptions = {
  /** A folder of the demo's own, removed by the caller. */
  folder: string;
  /** Where the stack keeps its state; null for the demo's own folder. */
  state: string | null;
  port: number;
  agents: number;
  remotes: readonly string[];
  interrupt: AbortSignal;
};

/** Seconds that a cross-build is waited for. */
const WAIT_SECONDS = 240;

const acceptedSchema = z.looseObject({ build_id: buildIdSchema });

/** Builds, follows, downloads, checks, runs and cross-builds. Throws CliError when a step fails. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const git = await serveDemo(join(options.folder, "git"));
  let stack: Stack | null = null;
  try {
    heading(
      `A git server for ${DEMO.remote} at ${git.url}, with the tags ${DEMO.tags.join(" and ")}`,
    );
    stack = await startStack({
      ...options,
      state: options.state ?? join(options.folder, "state"),
      disposable: options.state === null,
      remotes: [demoRemote(git), ...options.remotes],
      say: show,
    });
    show(`The Worker is at ${stack.url}; an agent is connected.`);
    const downloads = join(options.folder, "downloads");
    await mkdir(downloads);
    await tour(stack.url, downloads, options.interrupt);
  } finally {
    await stack?.stop();
    await git.close();
  }
  heading("Done. The Worker, the agent and the git server have ended; nothing is left of them.");
  if (stack.engine === "started") show(ENGINE_STAYS);
}

async function tour(edge: string, folder: string, interrupt: AbortSignal): Promise<void> {
  const shell = new Shell(folder, interrupt);
  const native = DEMO.platform;
  const others = ["windows/arm64", "linux/arm64", "linux/amd64"].filter((one) => one !== native);
  const url = (platform: string) => edge + demoPath(platform);
  const archive = (platform: string) => `${DEMO.name}_${platform.replace("/", "_")}.tar.gz`;

  heading(`Build ${DEMO.name} ${DEMO.tag} for ${native}`);
  const answer = await shell.run("curl", "-sS", "-X", "POST", url(native));
  if (answer.startsWith(PROBLEMS.already_exists[1])) show("An earlier run on this state made it.");
  else await follow(shell, edge, answer);

  heading("Download it and check its SHA-256");
  await shell.run("curl", "-fsS", "-OJL", url(native));
  await shell.run("curl", "-fsS", "-O", `${url(native)}/${archive(native)}.sha256`);
  await shell.run("sha256sum", "-c", `${archive(native)}.sha256`);

  heading("Run it");
  await shell.run("tar", "-xzf", archive(native));
  await shell.run(`./${DEMO.name}`, "-version");
  await shell.run(`./${DEMO.name}`, "-top", "5", join(findCheckout(), "README.md"));

  heading(`Build it for ${others.slice(0, 2).join(" and ")}`);
  for (const platform of others.slice(0, 2)) {
    const wait = `${url(platform)}?wait=${WAIT_SECONDS}`;
    await shell.run("curl", "-sS", "-X", "POST", "-w", "%{http_code} %{redirect_url}\\n", wait);
    await shell.run("curl", "-fsS", "-OJL", url(platform));
  }

  heading("What there is now");
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(".tar.gz")).sort()) {
    const kind = executableKind(await shell.quiet("tar", "-xzOf", file));
    show(`${file.padEnd(30)} ${size((await stat(join(folder, file))).size).padStart(9)}  ${kind}`);
  }
}

async function follow(shell: Shell, edge: string, answer: string): Promise<void> {
  const accepted = acceptedSchema.safeParse(parseJson(answer));
  if (!accepted.success)
    throw new CliError("The Worker did not take the build: it says why above.");
  heading("Follow its log");
  const log = `${edge}/builds/${accepted.data.build_id}/logs?follow=1`;
  const said = await shell.run("curl", "-fsSN", "-H", "Accept: text/plain", log);
  if (!said.trimEnd().endsWith(MESSAGES.successful))
    throw new CliError("The demo's build did not go well: its log above says why.");
}

/** Programs with a real argv, shown as a shell would take them. */
class Shell {
  readonly #folder: string;
  readonly #interrupt: AbortSignal;

  constructor(folder: string, interrupt: AbortSignal) {
    this.#folder = folder;
    this.#interrupt = interrupt;
  }

  /** Shows the command and, as it comes, its output; answers the output. Throws CliError unless it exits 0. */
  async run(command: string, ...args: string[]): Promise<string> {
    show(`$ ${[command, ...args].map(quote).join(" ")}`);
    const output = (await this.#spawn(command, args, true)).toString();
    if (output !== "" && !output.endsWith("\n")) show("");
    return output;
  }

  /** Its output, unseen. */
  quiet(command: string, ...args: string[]): Promise<Buffer> {
    return this.#spawn(command, args, false);
  }

  async #spawn(command: string, args: string[], shown: boolean): Promise<Buffer> {
    const child = spawn(command, args, {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "inherit"],
      signal: this.#interrupt,
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (shown) process.stdout.write(chunk);
    });
    const code = await ended;
    if (code !== 0) throw new CliError(`${command} ended with status ${code}.`);
    return Buffer.concat(chunks);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function heading(line: string): void {
  show(`\n# ${line}`);
}

function show(line: string): void {
  process.stdout.write(`${line}\n`);
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
