/** The Worker's settings (docs/operating.md), checked as a whole: a setting that cannot be read is never ignored. */
import { poolNameSchema } from "../shared/identity.ts";
import { mailSenderSchema } from "../shared/notice.ts";
import { Problem } from "../shared/problem.ts";
import { DEFAULT_REMOTES, isLoopback, parseRemote } from "../shared/remotes.ts";
import { hostName, hostWords } from "./hosts.ts";
import { admissionLimits, type CountSettings, expectedAgents } from "./pool-settings.ts";

export type Config = {
  /** Base URL, without a slash at its end, of each git host that may be built from. */
  remotes: ReadonlyMap<string, string>;
  /** Whether anybody may build. */
  openBuilds: boolean;
  poolRules: readonly PoolRule[];
  /** The key of webhooks' signatures; null where none are taken. */
  gitSecret: string | null;
  /** The one token of peroku's clients; null where they have none. */
  perokuToken: string | null;
  /** Where mail to committers goes out; null where none is written. */
  mail: MailConfig | null;
};

/** An HTTP mail API of the shape that Resend documents. */
export type MailConfig = {
  url: string;
  from: string;
  token: string;
  /** Origin of the links in what is written. */
  origin: string;
};

/** `github.com/owner=pool` or `go=pool`: the subject is a remote, something below one, or a recipe. */
export type PoolRule = { subject: string; pool: string };

export const DEFAULT_POOL = "default";
/** Characters of a secret below which it can be guessed. */
const SECRET_CHARS = 16;
const SUBJECT = /^[a-z0-9][a-z0-9.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;

/** Absent in a deployment whose wrangler.toml is older than the setting. */
type Settings = CountSettings & {
  readonly [name in
    | "RAILHEAD_REMOTES"
    | "RAILHEAD_OPEN_BUILDS"
    | "RAILHEAD_POOLS"
    | "RAILHEAD_HOSTS"
    | "RAILHEAD_MAIL_URL"
    | "RAILHEAD_MAIL_FROM"
    | "RAILHEAD_MAIL_TOKEN"
    | "RAILHEAD_TOKEN"
    | "RAILHEAD_SECRET"
    | "PEROKU_TOK"
    | "GIT_SECRET"]?: string;
};

let last: { fingerprint: string; config: Config } | undefined;

/** The settings. Throws Problem `not_ready` that names the one that is missing or malformed. */
export function readConfig(env: Settings): Config {
  for (const name of ["RAILHEAD_TOKEN", "RAILHEAD_SECRET"] as const)
    if ((env[name] ?? "").length < SECRET_CHARS)
      throw notReady(name, `must be set to a secret of at least ${SECRET_CHARS} characters`);
  admissionLimits(env);
  expectedAgents(env);
  const settings = [
    env.RAILHEAD_REMOTES,
    env.RAILHEAD_OPEN_BUILDS,
    env.RAILHEAD_POOLS,
    env.RAILHEAD_HOSTS,
    env.RAILHEAD_MAIL_URL,
    env.RAILHEAD_MAIL_FROM,
    env.RAILHEAD_MAIL_TOKEN,
    env.GIT_SECRET,
    env.PEROKU_TOK,
  ];
  const fingerprint = JSON.stringify(settings);
  if (last?.fingerprint !== fingerprint) last = { fingerprint, config: parse(env) };
  return last.config;
}

function parse(env: Settings): Config {
  refuseOddHosts(env);
  return {
    remotes: parseRemotes(env.RAILHEAD_REMOTES ?? ""),
    openBuilds: parseBoolean("RAILHEAD_OPEN_BUILDS", env.RAILHEAD_OPEN_BUILDS ?? ""),
    poolRules: parsePools(env.RAILHEAD_POOLS ?? ""),
    gitSecret: env.GIT_SECRET || null,
    perokuToken: env.PEROKU_TOK || null,
    mail: parseMail(env),
  };
}

function parseRemotes(text: string): Map<string, string> {
  const remotes = new Map<string, string>();
  const entries = words(text);
  for (const entry of entries.length > 0 ? entries : DEFAULT_REMOTES) {
    const remote = parseRemote(entry);
    if ("error" in remote) throw notReady("RAILHEAD_REMOTES", remote.error);
    if (remotes.has(remote.host)) throw notReady("RAILHEAD_REMOTES", `names ${remote.host} twice`);
    remotes.set(remote.host, remote.base);
  }
  return remotes;
}

function parseBoolean(name: string, text: string): boolean {
  const value = text.trim().toLowerCase();
  if (value === "true") return true;
  if (value === "false" || value === "") return false;
  throw notReady(name, "must be true or false");
}

function parsePools(text: string): PoolRule[] {
  return words(text).map((entry) => {
    const at = entry.lastIndexOf("=");
    const subject = entry.slice(0, Math.max(at, 0)).replace(/\/$/, "");
    const pool = entry.slice(at + 1);
    if (!SUBJECT.test(subject) || !poolNameSchema.safeParse(pool).success)
      throw notReady(
        "RAILHEAD_POOLS",
        `has an entry unlike github.com/owner=pool or go=pool: "${entry}"`,
      );
    return { subject, pool };
  });
}

function parseMail(env: Settings): MailConfig | null {
  const url = env.RAILHEAD_MAIL_URL?.trim() ?? "";
  if (url === "") return null;
  if (!URL.canParse(url) || !(url.startsWith("https://") || isLoopback(url)))
    throw notReady("RAILHEAD_MAIL_URL", "must be an https URL");
  const from = env.RAILHEAD_MAIL_FROM?.trim() ?? "";
  if (!mailSenderSchema.safeParse(from).success)
    throw notReady("RAILHEAD_MAIL_FROM", `must be an address, or "Name <address>"`);
  const token = env.RAILHEAD_MAIL_TOKEN ?? "";
  if (token === "") throw notReady("RAILHEAD_MAIL_TOKEN", "must be set to send mail");
  const [host] = hostWords(env);
  if (host === undefined)
    throw notReady("RAILHEAD_HOSTS", "must name the Worker's own host: mail links to it");
  const scheme = isLoopback(`http://${host}`) ? "http" : "https";
  return { url, from, token, origin: `${scheme}://${host}` };
}

function refuseOddHosts(env: Settings): void {
  const odd = hostWords(env).find((word) => hostName(word) === null);
  if (odd !== undefined) throw notReady("RAILHEAD_HOSTS", `has an entry that is no host: "${odd}"`);
}

/** The pool of a build: the rule that names most of `remote/owner/repo` wins, then its recipe's, then `default`. */
export function poolFor(config: Config, recipe: string, repository: string): string {
  const best = config.poolRules
    .filter(({ subject }) => `${repository}/`.startsWith(`${subject}/`))
    .toSorted((a, b) => b.subject.length - a.subject.length)[0];
  const rule = best ?? config.poolRules.find(({ subject }) => subject === recipe);
  return rule?.pool ?? DEFAULT_POOL;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function notReady(name: string, what: string): Problem {
  return new Problem(
    "not_ready",
    `The Worker is not set up: ${name} ${what}. See docs/operating.md.`,
  );
}
