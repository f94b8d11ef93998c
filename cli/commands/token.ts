/** `railhead token …`: makes, lists and revokes Railhead's own tokens. */
import { type FileHandle, open, rm } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { CreatedToken } from "../edge-client.ts";
import { CliError, EXIT } from "../errors.ts";
import { cannotWrite } from "../local-files.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { parseDuration, print, say, table } from "../terminal.ts";

export const SCOPES = ["admin", "build", "deploy", "agent"] as const;

export type CreateOptions = GlobalOptions & {
  name?: string;
  expires?: string;
  /** File for the token; it must not exist. */
  output?: string;
};

/**
 * Prints the token, which is shown this once, or keeps it in a file; for agents prints the one line to paste
 * on their host.
 */
export async function createToken(scope: string, options: CreateOptions): Promise<void> {
  const seconds = options.expires === undefined ? null : parseDuration(options.expires);
  if (options.expires !== undefined && seconds === null)
    throw new CliError("--expires takes a time such as 12h or 30d.", EXIT.usage);
  const client = await openEdge(options);
  const create = () => client.createToken(scope, options.name ?? scope, seconds);
  if (options.output !== undefined) {
    const kept = await createInto(options.output, create);
    if (options.json) print(JSON.stringify(kept));
    else showKept(scope, client.url, kept.file);
    return;
  }
  const created = await create();
  if (options.json) return print(JSON.stringify(created));
  if (scope === "agent") {
    say("Paste this on the Docker host, where railhead is installed:\n");
    print(
      `RAILHEAD_AGENT_TOKEN=${created.token} railhead agent register --url ${client.url} && railhead agent run`,
    );
  } else print(created.token);
  say("\nThe token is shown only now.");
}

type KeptToken = Omit<CreatedToken, "token"> & { file: string };

/** Makes a token that only a new file of its owner's holds. Throws CliError, before a token is made, when the file cannot be. */
async function createInto(output: string, create: () => Promise<CreatedToken>): Promise<KeptToken> {
  const file = resolve(output);
  let handle: FileHandle;
  try {
    handle = await open(file, "wx", 0o600);
  } catch (error) {
    throw cannotWrite(file, error);
  }
  try {
    const { token, ...created } = await create();
    await handle.writeFile(`${token}\n`).catch((error: unknown) => {
      throw cannotWrite(file, error);
    });
    return { ...created, file };
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

function showKept(scope: string, url: string, file: string): void {
  say(`The token is in ${file}, readable by you alone.`);
  if (scope !== "agent") return;
  say("Bring that file to the Docker host, where railhead is installed, and there:\n");
  print(
    `railhead agent register --url ${url} --token-file ${basename(file)} && railhead agent run`,
  );
}

export async function listTokens(options: GlobalOptions): Promise<void> {
  const tokens = await (await openEdge(options)).tokens();
  if (options.json) return print(JSON.stringify(tokens));
  print(
    table(
      ["ID", "SCOPE", "NAME", "CREATED", "EXPIRES", "LAST USED"],
      tokens.map((token) => [
        token.id,
        token.scope,
        token.name,
        token.created_at,
        token.expires_at ?? "never",
        token.last_used_at ?? "never",
      ]),
    ),
  );
}

export async function revokeToken(id: string, options: GlobalOptions): Promise<void> {
  await (await openEdge(options)).revokeToken(id);
  if (options.json) print(JSON.stringify({ id, revoked: true }));
  else say(`Token ${id} is revoked.`);
}
