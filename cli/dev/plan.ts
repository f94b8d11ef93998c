/** What the options of a stack, the environment and `.dev.vars` come to. */
import { join, resolve } from "node:path";
import { DEFAULT_REMOTES, parseRemote, type Remote } from "../../shared/remotes.ts";
import { CliError, EXIT } from "../errors.ts";
import { findCheckout } from "./checkout.ts";
import { loadSettings, readDevVars } from "./state.ts";

export type PlanOptions = {
  state: string;
  agents: number;
  remotes: readonly string[];
  settings?: Readonly<Record<string, string>>;
};

export type Plan = {
  root: string;
  state: string;
  /** Git hosts, as both allow lists spell them. */
  remotes: string;
  /** Settings of the Worker. */
  settings: Record<string, string>;
  devVars: Record<string, string>;
};

/** Throws CliError (usage) for a malformed remote. */
export function makePlan(options: PlanOptions): Plan {
  const root = findCheckout();
  const devVars = readDevVars(join(root, ".dev.vars"));
  const given = loadSettings(process.env, devVars);
  const remotes = allRemotes(given.RAILHEAD_REMOTES, options.remotes);
  const settings = {
    RAILHEAD_OPEN_BUILDS: "true",
    ...given,
    RAILHEAD_REMOTES: remotes,
    ...options.settings,
    RAILHEAD_EXPECT_AGENTS: String(options.agents),
  };
  return { root, state: resolve(options.state), remotes, settings, devVars };
}

/** The usual git hosts (or those of the environment) and those asked for, as both allow lists spell them. */
function allRemotes(usual: string | undefined, extra: readonly string[]): string {
  const words = usual?.split(/\s+/).filter((word) => word !== "") ?? DEFAULT_REMOTES;
  const entries = [...words, ...extra];
  const bases = new Map<string, string>();
  for (const entry of entries) {
    bases.set(remoteOf(entry).host, entry);
  }
  return [...bases.values()].join(" ");
}

/** Throws CliError (usage) for a malformed one. */
export function remoteOf(entry: string): Remote {
  const remote = parseRemote(entry);
  if ("error" in remote)
    throw new CliError(`--remote ${remote.error}. It is host=base-url.`, EXIT.usage);
  return remote;
}
