/** Where the edge is and who we are: options over the environment over what `railhead login` kept. */
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { EdgeClient } from "./edge-client.ts";
import { CliError, EXIT, messageOf, systemCode } from "./errors.ts";

/** Options that every command takes. */
export type GlobalOptions = {
  url?: string;
  tokenFile?: string;
  gitTokenFile?: string;
  json?: boolean;
};

const loginSchema = z.object({ url: z.string(), token: z.string() });
type Login = z.infer<typeof loginSchema>;

/**
 * The edge that the options, the environment or the last login name. `origin`: the edge that a URL on the
 * command line is of. Throws CliError (usage) when there is none, or two that differ.
 */
export async function openEdge(options: GlobalOptions, origin?: string): Promise<EdgeClient> {
  const login = await readLogin();
  const named = options.url ?? process.env.RAILHEAD_URL ?? login?.url ?? origin;
  if (named === undefined || named === "")
    throw new CliError(
      "Say where the edge is: --url https://…, or RAILHEAD_URL, or railhead login.",
      EXIT.usage,
    );
  const url = baseUrl(named);
  if (origin !== undefined && new URL(url).origin !== origin)
    throw new CliError(
      `The URL is of ${origin}, but the edge in use is ${url}. Give --url ${origin}, or the path alone.`,
      EXIT.usage,
    );
  const token =
    (await secretFile("--token-file", options.tokenFile)) ??
    process.env.RAILHEAD_TOKEN ??
    // A kept token is for the edge that it was kept for.
    (login?.url === url ? login.token : undefined);
  const gitToken =
    (await secretFile("--git-token-file", options.gitTokenFile)) ?? process.env.RAILHEAD_GIT_TOKEN;
  return new EdgeClient({ url, token: token || null, gitToken: gitToken || null });
}

/** An http(s) URL without a final slash. Throws CliError (usage). */
export function baseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.username || url.search)
    throw new CliError(
      `"${text}" is no address of an edge, such as https://railhead.example.`,
      EXIT.usage,
    );
  return url.href.replace(/\/+$/, "");
}

/** Keeps an edge and a token for later commands, readable by the user alone. Answers the file. */
export async function writeLogin(login: Login): Promise<string> {
  const file = loginFile();
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 });
  await chmod(temporary, 0o600);
  await rename(temporary, file);
  return file;
}

/** What the last login kept; null without one. Throws CliError (usage). */
export async function readLogin(): Promise<Login | null> {
  const file = loginFile();
  try {
    return loginSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return null;
    throw new CliError(`${file} cannot be read: run railhead login again.`, EXIT.usage);
  }
}

function loginFile(): string {
  const folder = process.env.XDG_CONFIG_HOME || join(homedir(), ".config");
  return join(folder, "railhead", "config.json");
}

/** The token alone in a file that an option names. Throws CliError (usage). */
export async function secretFile(
  option: string,
  file: string | undefined,
): Promise<string | undefined> {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = (await readFile(file, "utf8")).trim();
  } catch (error) {
    throw new CliError(`${option}: ${messageOf(error)}`, EXIT.usage);
  }
  if (text === "" || /\s/.test(text.replace(/^(?:basic|bearer|token) +/i, "")))
    throw new CliError(`${option}: ${file} must hold one token and nothing else.`, EXIT.usage);
  return text;
}
