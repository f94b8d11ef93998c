/** What a stack keeps between runs, in one folder: secrets, logs, the state of edge and agents, a lock. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseEnv } from "node:util";
import * as z from "zod";
import { CliError } from "../errors.ts";
import { parentOf, startOf } from "./processes.ts";

/** Worker secrets that a stack makes itself when it is given none. */
const MADE = ["RAILHEAD_TOKEN", "RAILHEAD_SECRET"] as const;
/** Worker secrets that are passed on when the environment has them. */
const PASSED_ON = ["GIT_SECRET", "PEROKU_TOK", "RAILHEAD_MAIL_TOKEN"] as const;
/** Settings of the Worker (wrangler.toml, [vars]) that the environment may change. */
const SETTINGS = [
  "RAILHEAD_REMOTES",
  "RAILHEAD_HOSTS",
  "RAILHEAD_OPEN_BUILDS",
  "RAILHEAD_RATE_PER_MINUTE",
  "RAILHEAD_QUEUE_LIMIT",
  "RAILHEAD_POOLS",
  "RAILHEAD_MAIL_URL",
  "RAILHEAD_MAIL_FROM",
] as const;

/** Milliseconds a stack that is ending on the same folder is waited for. */
const HANDOVER_MS = 30_000;
/** Milliseconds after which one that is not known to be ending is believed to stay. */
const DOUBT_MS = 2_000;
const HANDOVER_POLL_MS = 100;

export type Secrets = { RAILHEAD_TOKEN: string; RAILHEAD_SECRET: string } & Record<string, string>;

/** Makes the folder, for its owner only. */
export async function makeState(folder: string): Promise<void> {
  await mkdir(join(folder, "logs"), { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
}

/** Writes a file that only its owner can read, whole or not at all. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, file);
}

/**
 * The Worker's secrets: the environment's, else those of `.dev.vars`, else those of the state folder, where
 * missing ones are made now.
 */
export async function loadSecrets(
  folder: string,
  environment: NodeJS.ProcessEnv,
  devVars: Readonly<Record<string, string>>,
): Promise<Secrets> {
  const file = join(folder, "secrets.json");
  const kept = existsSync(file)
    ? z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(file, "utf8")))
    : {};
  const made = {
    RAILHEAD_TOKEN: kept.RAILHEAD_TOKEN ?? `rh_${randomBytes(32).toString("hex")}`,
    RAILHEAD_SECRET: kept.RAILHEAD_SECRET ?? randomBytes(32).toString("base64"),
  };
  await writePrivate(file, `${JSON.stringify(made, null, 2)}\n`);
  const given = Object.entries(devVars).filter(([name]) => !isSetting(name));
  const passed = [...MADE, ...PASSED_ON].flatMap((name) =>
    environment[name] ? [[name, environment[name]] as const] : [],
  );
  return { ...made, ...Object.fromEntries(given), ...Object.fromEntries(passed) };
}

/** The Worker's settings that the environment or `.dev.vars` change. */
export function loadSettings(
  environment: NodeJS.ProcessEnv,
  devVars: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    SETTINGS.flatMap((name) => {
      const value = environment[name] ?? devVars[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function isSetting(name: string): boolean {
  return (SETTINGS as readonly string[]).includes(name);
}

/** The variables of a `.dev.vars` file that have a value; none when there is no such file. */
export function readDevVars(file: string): Record<string, string> {
  if (!existsSync(file)) return {};
  const parsed = parseEnv(readFileSync(file, "utf8"));
  return Object.fromEntries(
    Object.entries(parsed).flatMap(([name, value]) => (value ? [[name, value] as const] : [])),
  );
}

/** Lines that a POSIX shell can source. */
export function shellVariables(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'\n`)
    .join("");
}

const lockSchema = z.object({
  pid: z.int(),
  started: z.string(),
  /** Who started it; a stack whose launcher is gone is ending. */
  parent: z.int(),
});

/**
 * Takes the folder for this process until the answered function is called or the process dies. Waits for a
 * stack that is ending; throws CliError when one is running.
 */
export async function lockState(folder: string): Promise<() => void> {
  const file = join(folder, "lock");
  const began = performance.now();
  const mine = JSON.stringify({
    pid: process.pid,
    started: startOf(process.pid),
    parent: process.ppid,
  });
  for (;;) {
    try {
      writeFileSync(file, mine, { flag: "wx", mode: 0o600 });
      return () => {
        if (existsSync(file) && readFileSync(file, "utf8") === mine) rmSync(file);
      };
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const holder = readLock(file);
    if (holder === null || startOf(holder.pid) !== holder.started) {
      rmSync(file, { force: true });
      continue;
    }
    const patience = parentOf(holder.pid) === holder.parent ? DOUBT_MS : HANDOVER_MS;
    if (performance.now() - began > patience)
      throw new CliError(
        `A stack is running on ${folder} (process ${holder.pid}). End it with "kill ${holder.pid}", or choose another folder with --state.`,
      );
    await sleep(HANDOVER_POLL_MS);
  }
}

function readLock(file: string): z.infer<typeof lockSchema> | null {
  try {
    return lockSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return null; // half written by a process that died, or gone meanwhile
  }
}
