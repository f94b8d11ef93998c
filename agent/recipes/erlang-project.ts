/** What the fetch container told of one project: its build system, its config, and what it depends on. Pure. */
import * as z from "zod";
import { RecipeFailure } from "./contracts.ts";
import { readConfig } from "./erlang-config.ts";
import type { BuildSystem, PackageConfig } from "./erlang-contracts.ts";
import { makefileWants } from "./erlang-make.ts";
import { configWants, lockWants, metadataWants, parseTerm } from "./erlang-rebar.ts";
import type { Remotes, Want } from "./erlang-wants.ts";

export type Project = {
  /** Null: none that we know. */
  system: BuildSystem | null;
  config: PackageConfig | null;
  wants: Want[];
  /** A lock file says all versions: what others want besides is no news. */
  locked: boolean;
};

const systemSchema = z.enum(["native", "erlang.mk", "rebar3"]);
const fileSchema = z.enum(["coonfig.json", "enot_config.json"]);
const mailSchema = z.email().max(254);
/** Addresses that git hosts give to those who hide theirs. */
const NOBODY = /no-?reply|@(?:localhost|[^@]*\.(?:local|localdomain|localhost|invalid))$/i;

/**
 * @param prefix of its facts
 * @param name whose they are, for people
 * @throws RecipeFailure config_error
 */
export function readProject(
  facts: Readonly<Record<string, string>>,
  prefix: string,
  name: string,
  remotes: Remotes,
): Project {
  const fact = (key: string) => facts[`${prefix}.${key}`];
  const place = (file: string) => (name === "the package" ? file : `${name}/${file}`);
  const large = fact("large");
  if (large !== undefined) throw bad(`${place(large)} is too large to be read.`);
  const unread = fact("bad");
  if (unread !== undefined) throw bad(`${place(String(JSON.parse(unread)))}.`);
  const system = systemSchema.nullable().parse(fact("system") ?? null);
  if (system === "native") {
    const file = fileSchema.parse(fact("file"));
    const locks = fact("locks");
    const read = readConfig(
      file,
      decode(fact("config") ?? ""),
      locks === undefined ? null : decode(locks),
      remotes,
    );
    return { system, ...read, locked: false };
  }
  if (system === "erlang.mk")
    return {
      ...{ system, config: null, locked: false },
      wants: makefileWants(decode(fact("makefile") ?? ""), remotes),
    };
  const said = [
    ...configWants(parseTerm(fact("deps") ?? "[]"), remotes),
    // After rebar.config, which may name an exact version.
    ...metadataWants(parseTerm(fact("requirements") ?? "[]")),
  ];
  const lock = fact("lock");
  const wants = lock === undefined ? null : lockWants(parseTerm(lock), remotes);
  if (wants === null) return { system, config: null, wants: said, locked: false };
  const apps = new Set(wants.map(({ app }) => app));
  // What was added since the lock was made.
  const added = said.filter(({ app }) => !apps.has(app));
  return { system, config: null, wants: [...wants, ...added], locked: true };
}

function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}

/** An address that mail could be sent to; null for anything else. */
export function mailAddress(text: string): string | null {
  const mail = mailSchema.safeParse(text.trim());
  return mail.success && !NOBODY.test(mail.data) ? mail.data : null;
}

function bad(reason: string): RecipeFailure {
  return new RecipeFailure("config_error", reason);
}
