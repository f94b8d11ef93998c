/**
 * The operator's settings: `<home>/agent.toml`, the environment over it, options over both.
 * A key `a.b` of the file is `RAILHEAD_AGENT_A_B` in the environment. agent.example.toml explains each.
 */
import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as z from "zod";
import {
  ATTEMPT_DEADLINE_MS,
  CONTEXT_BYTES,
  IMAGE_BYTES,
  LOG_HEAD_BYTES,
  LOG_TAIL_BYTES,
} from "../shared/limits.ts";
import { DEFAULT_REMOTES } from "../shared/remotes.ts";
import {
  hexUrl,
  labels,
  networkName,
  number,
  otpImages,
  remotes,
  sender,
  size,
  smtpUrl,
  toggle,
  whole,
  word,
  words,
} from "./config-values.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";

const SETTINGS_FILE = "agent.toml";
const PREFIX = "RAILHEAD_AGENT_";
const MIB = 2 ** 20;
const GIB = 2 ** 30;

const schema = z.strictObject({
  capacity: whole(0, 1_000).default(Math.max(1, Math.floor(availableParallelism() / 2))),
  labels: labels.default({}),
  remotes: remotes.prefault(DEFAULT_REMOTES),
  build_network: z.enum(["none", "outbound"], 'must be "none" or "outbound"').default("none"),
  allow_addresses: words.default([]),
  goproxy: word.default("https://proxy.golang.org,direct"),
  goprivate: word.default(""),
  gosumdb: word.default("sum.golang.org"),
  hex: hexUrl.default("https://repo.hex.pm"),
  docker_socket: z.string("must be a path").startsWith("/").default("/var/run/docker.sock"),
  images: z
    .strictObject({ go: word.min(1).default("golang:1"), erlang: otpImages.default({}) })
    .prefault({}),
  limits: z
    .strictObject({
      cpus: number(0.1, 1_024).default(Math.max(1, Math.min(2, availableParallelism()))),
      memory: size(64 * MIB).default(Math.min(2 * GIB, Math.floor(totalmem() / 2))),
      pids: whole(32, 1_000_000).default(512),
      disk: size(16 * MIB).default(4 * GIB),
      minutes: number(0.05, 24 * 60).default(ATTEMPT_DEADLINE_MS / 60_000),
    })
    .prefault({}),
  cache: z
    .strictObject({
      repository: size(0).default(2 * GIB),
      total: size(0).default(20 * GIB),
    })
    .prefault({}),
  image: z
    .strictObject({
      enabled: toggle.default(true),
      builder: z
        .enum(["classic", "buildkit"], 'must be "classic" or "buildkit"')
        .default("classic"),
      buildkit_network: z.enum(["none", "bridge"], 'must be "none" or "bridge"').default("none"),
      max: size(MIB).default(IMAGE_BYTES),
      context: size(1024).default(CONTEXT_BYTES),
      allow_from: words.default([]),
      registries: words.default([]),
      cache: size(0).default(10 * GIB),
    })
    .prefault({}),
  app: z
    .strictObject({
      enabled: toggle.default(true),
      network: networkName.default(""),
      traefik_network: networkName.default(""),
      memory: size(16 * MIB).default(Math.min(GIB, Math.floor(totalmem() / 2))),
      cpus: number(0.05, 1_024).default(Math.max(1, Math.min(2, availableParallelism()))),
      pids: whole(16, 1_000_000).default(512),
    })
    .prefault({}),
  mail: z
    .strictObject({ url: smtpUrl.default(""), from: sender.default("") })
    .refine(({ url, from }) => url === "" || from !== "", {
      path: ["from"],
      message: "must be set to send mail",
    })
    .prefault({}),
  disk: z.strictObject({ min_free: size(0).default(2 * GIB) }).prefault({}),
  log: z
    .strictObject({
      head: size(64 * 1024).default(LOG_HEAD_BYTES),
      tail: size(0).default(LOG_TAIL_BYTES),
    })
    .prefault({}),
});

/** What the rest of the agent reads. Sizes are bytes, times are milliseconds. */
export type AgentSettings = {
  /** Attempts at once. */
  capacity: number;
  labels: Record<string, string>;
  /** Base URL, without a slash at its end, of each git host that may be built from. */
  remotes: Record<string, string>;
  /** Network of a repository's own makefile. */
  build_network: "none" | "outbound";
  /** Private addresses (CIDR) that containers may reach all the same. */
  allow_addresses: string[];
  goproxy: string;
  goprivate: string;
  gosumdb: string;
  /** Base URL, without a slash at its end, of the repository of Hex packages. */
  hex: string;
  docker_socket: string;
  /** Builder image of each recipe. */
  images: {
    go: string;
    /** By OTP major. */
    erlang: Record<string, string>;
  };
  limits: {
    cpus: number;
    memory_bytes: number;
    pids: number;
    disk_bytes: number;
    time_ms: number;
  };
  cache: { repository_bytes: number; total_bytes: number };
  /** Image builds. */
  image: {
    /** Whether this agent makes them at all. */
    enabled: boolean;
    builder: "classic" | "buildkit";
    /** Network of RUN steps that BuildKit runs. */
    buildkit_network: "none" | "bridge";
    max_bytes: number;
    context_bytes: number;
    allow_from: string[];
    registries: string[];
    cache_bytes: number;
  };
  /** Web apps. */
  app: {
    /** Whether this agent runs any. */
    enabled: boolean;
    /** The engine's network that they are on; null for the agent's own, which lets out only. */
    network: string | null;
    /** A network that they join as well; null for none. */
    traefik_network: string | null;
    /** Of one container. */
    limits: { memory_bytes: number; cpus: number; pids: number };
  };
  /** The SMTP relay for mail to committers; null where this agent sends none. */
  mail: { url: string; from: string } | null;
  /** Below this the agent takes no new work. */
  min_free_bytes: number;
  log: { head_bytes: number; tail_bytes: number };
};

export type Overrides = { capacity?: string; labels?: string };

/**
 * Settings of the agent that lives in `home`. `env` wins over the file, `overrides` over both.
 * @throws AgentExit (usage) with one line that names the file or variable and the key.
 */
export function loadSettings(
  home: string,
  env: NodeJS.ProcessEnv,
  overrides: Overrides = {},
): AgentSettings {
  const file = join(home, SETTINGS_FILE);
  const origins = new Map<string, string>();
  const raw = readFile(file);
  applyEnvironment(raw, env, origins);
  for (const key of ["capacity", "labels"] as const) {
    const value = overrides[key];
    if (value === undefined) continue;
    raw[key] = value;
    origins.set(key, `--${key}`);
  }
  return parseSettings(raw, (key) => origins.get(key) ?? `${file}: ${key}`);
}

/** Settings of the text of a settings file; `place` says where a key was set. */
export function parseSettings(
  raw: Record<string, unknown>,
  place: (key: string) => string,
): AgentSettings {
  const result = schema.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0];
    const path = issue?.path.map(String) ?? [];
    const unknown = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
    const key = unknown === undefined ? path.join(".") : [...path, unknown].join(".");
    const message = unknown === undefined ? issue?.message : "is no setting of the agent";
    throw new AgentExit(EXIT.usage, `${place(key)} ${message}`);
  }
  const { limits, cache, image, app, mail, disk, log, ...rest } = result.data;
  return {
    ...rest,
    limits: {
      cpus: limits.cpus,
      memory_bytes: limits.memory,
      pids: limits.pids,
      disk_bytes: limits.disk,
      time_ms: Math.round(limits.minutes * 60_000),
    },
    cache: { repository_bytes: cache.repository, total_bytes: cache.total },
    image: {
      enabled: image.enabled,
      builder: image.builder,
      buildkit_network: image.buildkit_network,
      max_bytes: image.max,
      context_bytes: image.context,
      allow_from: image.allow_from,
      registries: image.registries,
      cache_bytes: image.cache,
    },
    app: {
      enabled: app.enabled,
      network: app.network || null,
      traefik_network: app.traefik_network || null,
      limits: { memory_bytes: app.memory, cpus: app.cpus, pids: app.pids },
    },
    mail: mail.url === "" ? null : mail,
    min_free_bytes: disk.min_free,
    log: { head_bytes: log.head, tail_bytes: log.tail },
  };
}

/** The folder of identity, settings and journals: an option, RAILHEAD_HOME, or the user's own. */
export function homeFolder(option: string | undefined, env: NodeJS.ProcessEnv): string {
  if (option) return option;
  if (env.RAILHEAD_HOME) return env.RAILHEAD_HOME;
  if (process.getuid?.() === 0) return "/var/lib/railhead";
  return join(env.HOME ?? "/", ".railhead", "agent");
}

function readFile(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw new AgentExit(EXIT.usage, `${file} cannot be read: ${messageOf(error)}`);
  }
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const what = error.message.split("\n")[0] ?? "";
    throw new AgentExit(EXIT.usage, `${file}:${error.line}:${error.column}: ${what}`);
  }
}

function applyEnvironment(
  raw: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  origins: Map<string, string>,
): void {
  for (const key of settingKeys()) {
    const name = PREFIX + key.toUpperCase().replaceAll(".", "_");
    const value = env[name];
    if (value === undefined || value === "") continue;
    const [table, leaf] = key.split(".") as [string, string | undefined];
    if (leaf === undefined) raw[table] = value;
    else raw[table] = { ...(isTable(raw[table]) ? raw[table] : {}), [leaf]: value };
    origins.set(key, name);
  }
}

/** Every key of the settings file, tables with a dot. */
export function settingKeys(): string[] {
  return Object.entries(schema.shape).flatMap(([key, type]) => {
    const inner = type instanceof z.ZodPrefault ? type.unwrap() : type;
    return inner instanceof z.ZodObject
      ? Object.keys(inner.shape).map((leaf) => `${key}.${leaf}`)
      : [key];
  });
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
