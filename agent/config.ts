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
import { mailSenderSchema } from "../shared/notice.ts";
import { labelsSchema } from "../shared/protocol.ts";
import { erlSchema } from "../shared/recipes/erlang.ts";
import { DEFAULT_REMOTES, parseRemote } from "../shared/remotes.ts";
import { AgentExit, EXIT, messageOf } from "./errors.ts";
import { parseSize } from "./sizes.ts";

export const SETTINGS_FILE = "agent.toml";
const PREFIX = "RAILHEAD_AGENT_";
const MIB = 2 ** 20;
const GIB = 2 ** 30;

function number(min: number, max: number) {
  const message = `must be a number from ${min} to ${max}`;
  return z.preprocess(
    (value) => (typeof value === "string" && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : value),
    z.number(message).min(min, message).max(max, message),
  );
}

function whole(min: number, max: number) {
  return number(min, max).refine(Number.isInteger, "must be a whole number");
}

function size(min: number) {
  const message = 'must be a size such as "512m" or "4g"';
  return z.preprocess(
    (value) => (typeof value === "string" ? parseSize(value) : value),
    z.int(message).min(min, `${message}, at least ${min} bytes`),
  );
}

/** `true` or `false`, as text in the environment. */
const toggle = z.preprocess(
  (value) => (value === "true" ? true : value === "false" ? false : value),
  z.boolean("must be true or false"),
);

/** An array in the file; words between blanks or commas in the environment. */
const words = z.preprocess(
  (value) => (typeof value === "string" ? value.split(/[\s,]+/).filter(Boolean) : value),
  z.array(z.string("must be a list of words"), "must be a list of words"),
);

/** A table in the file; `k=v,k=v` in the environment and as an option. */
const labels = z.preprocess(readPairs, labelsSchema);

function readPairs(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const pairs = value.split(/[\s,]+/).filter(Boolean);
  return Object.fromEntries(
    pairs.map((pair) => [pair.split("=")[0], pair.split("=").slice(1).join("=")]),
  );
}

const word = z.string("must be text").max(512).regex(/^\S*$/, "must not hold blanks");

/** Builder images by OTP major: a table in the file, `27=erlang:27,25=erlang:25` in the environment. */
const otpImages = z.preprocess(
  readPairs,
  z.record(erlSchema, word.min(1), "must name an image for each OTP release, such as 27=erlang:27"),
);

const smtpUrl = word.refine(
  (text) => text === "" || (/^smtps?:\/\/[^/]/.test(text) && URL.canParse(text)),
  'must be a URL such as "smtps://user:password@relay.example:465"',
);
const sender = z
  .string("must be text")
  .refine(
    (text) => text === "" || mailSenderSchema.safeParse(text).success,
    'must be an address, or "Name <address>"',
  );

/** A network of the engine that has addresses of its own; empty for none. */
const networkName = word.refine(
  (name) => !["none", "host", "bridge", "default"].includes(name) && !name.includes(":"),
  "must be a network that was made with `docker network create`",
);

/** A base URL that paths are appended to. */
const hexUrl = word
  .regex(
    /^https?:\/\/[A-Za-z0-9.:[\]-]+(?:\/[A-Za-z0-9._~%-]+)*\/?$/,
    "must be a plain http or https URL, without credentials",
  )
  .transform((url) => url.replace(/\/$/, ""));

const remotes = words.transform((entries, context) => {
  const bases: Record<string, string> = {};
  for (const entry of entries) {
    const remote = parseRemote(entry);
    if ("error" in remote) {
      context.addIssue({ code: "custom", message: remote.error });
      return z.NEVER;
    }
    bases[remote.host] = remote.base;
  }
  return bases;
});

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
