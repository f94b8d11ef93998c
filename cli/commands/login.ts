/** `railhead login`: keeps an edge and a token for later commands. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { EdgeClient } from "../edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "../errors.ts";
import { baseUrl, type GlobalOptions, writeLogin } from "../settings.ts";
import { print, say } from "../terminal.ts";

/** Reads the token from the terminal without showing it, or from a pipe; never from an argument. */
export async function login(address: string | undefined, options: GlobalOptions): Promise<void> {
  const named = address ?? options.url ?? process.env.RAILHEAD_URL;
  if (named === undefined)
    throw new CliError("Say which edge: railhead login https://railhead.example", EXIT.usage);
  const url = baseUrl(named);
  const token = process.stdin.isTTY
    ? await askSecret("Token: ")
    : (await text(process.stdin)).trim();
  if (!/^\S+$/.test(token))
    throw new CliError(
      "No token came. Type it, or pipe it in: railhead login URL < file",
      EXIT.usage,
    );
  await check(new EdgeClient({ url, token, gitToken: null }));
  const file = await writeLogin({ url, token });
  if (options.json) print(JSON.stringify({ url, file }));
  else say(`Logged in to ${url}. Kept in ${file}, readable by you alone.`);
}

/** Throws when the edge does not know the token. A 403 does: it is known, and may do other things. */
async function check(client: EdgeClient): Promise<void> {
  try {
    await client.agents();
  } catch (error) {
    if (!(error instanceof EdgeRefusal) || error.http !== 403) throw error;
  }
}

async function askSecret(question: string): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return (await terminal.question("")).trim();
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}
