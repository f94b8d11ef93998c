/** What docker login kept: user and password for a registry, from Docker's own file or a helper that it names. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import * as z from "zod";
import { DOCKER_HUB } from "../shared/recipes/image.ts";
import { CliError, EXIT, messageOf, systemCode } from "./errors.ts";

export type RegistryLogin = { username: string; password: string };

/** What Docker calls its own registry in its file. */
const HUB_KEY = "https://index.docker.io/v1/";
/** The user name under which a helper gives a token that no password stands in for. */
const IDENTITY_TOKEN = "<token>";

const configSchema = z.looseObject({
  auths: z.record(z.string(), z.looseObject({ auth: z.string().optional() })).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});
const helperSchema = z.object({ Username: z.string(), Secret: z.string() });

/**
 * The login for a registry: RAILHEAD_REGISTRY_USERNAME and RAILHEAD_REGISTRY_PASSWORD, else what Docker knows;
 * null without any. Throws CliError when Docker's file or its helper cannot be read.
 */
export async function registryLogin(registry: string): Promise<RegistryLogin | null> {
  const { RAILHEAD_REGISTRY_USERNAME: username, RAILHEAD_REGISTRY_PASSWORD: password } =
    process.env;
  if (username !== undefined && password !== undefined) return { username, password };
  if ((username ?? password) !== undefined)
    throw new CliError(
      "Set RAILHEAD_REGISTRY_USERNAME and RAILHEAD_REGISTRY_PASSWORD both, or neither.",
      EXIT.usage,
    );
  const config = await dockerConfig();
  const key = registry === DOCKER_HUB ? HUB_KEY : registry;
  const helper = config.credHelpers?.[registry] ?? config.credsStore;
  if (helper !== undefined && helper !== "") return askHelper(helper, key);
  const auths = config.auths ?? {};
  const auth = (auths[key] ?? auths[`https://${registry}`] ?? auths[`http://${registry}`])?.auth;
  if (auth === undefined || auth === "") return null;
  const pair = Buffer.from(auth, "base64").toString();
  const colon = pair.indexOf(":");
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1) };
}

async function dockerConfig(): Promise<z.infer<typeof configSchema>> {
  const folder = process.env.DOCKER_CONFIG || join(homedir(), ".docker");
  const file = join(folder, "config.json");
  try {
    return configSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return {};
    throw new CliError(`${file} cannot be read: ${messageOf(error)}`);
  }
}

/** Docker's protocol for helpers: the registry on stdin, a JSON object on stdout, 1 for one that it does not know. */
async function askHelper(helper: string, key: string): Promise<RegistryLogin | null> {
  const program = `docker-credential-${helper}`;
  const child = spawn(program, ["get"], { stdio: ["pipe", "pipe", "ignore"] });
  const failed = once(child, "error").then(([error]) => {
    throw new CliError(`${program} cannot be run: ${messageOf(error)}`);
  });
  const ended = once(child, "close");
  child.stdin.on("error", () => {}); // a helper that does not read has not started: `failed` says so
  child.stdin.end(key);
  const [out, [status]] = await Promise.race([Promise.all([text(child.stdout), ended]), failed]);
  if (status !== 0) return null;
  const { Username: username, Secret: password } = helperSchema.parse(JSON.parse(out));
  if (username === IDENTITY_TOKEN)
    throw new CliError(
      `${program} keeps an identity token for ${key}, which is no password. Set RAILHEAD_REGISTRY_USERNAME and RAILHEAD_REGISTRY_PASSWORD.`,
    );
  return { username, password };
}
