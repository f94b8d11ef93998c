/** `railhead token …`: makes, lists and revokes Railhead's own tokens. */
import { CliError, EXIT } from "../errors.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { parseDuration, print, say, table } from "../terminal.ts";

export const SCOPES = ["admin", "build", "deploy", "agent"] as const;

export type CreateOptions = GlobalOptions & { name?: string; expires?: string };

/** Prints the token, which is shown this once; for agents also the one line to paste on their host. */
export async function createToken(scope: string, options: CreateOptions): Promise<void> {
  const seconds = options.expires === undefined ? null : parseDuration(options.expires);
  if (options.expires !== undefined && seconds === null)
    throw new CliError("--expires takes a time such as 12h or 30d.", EXIT.usage);
  const client = await openEdge(options);
  const created = await client.createToken(scope, options.name ?? scope, seconds);
  if (options.json) return print(JSON.stringify(created));
  if (scope === "agent") {
    say("Paste this on the Docker host, where railhead is installed:\n");
    print(
      `RAILHEAD_AGENT_TOKEN=${created.token} railhead agent register --url ${client.url} && railhead agent run`,
    );
  } else print(created.token);
  say("\nThe token is shown only now.");
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
