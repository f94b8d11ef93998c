/** `railhead logs` and `railhead cancel`. */
import { isTerminal, parseBuildId } from "../../shared/builds.ts";
import { openApps } from "../app-settings.ts";
import { CliError, EXIT } from "../errors.ts";
import { requireSuccess } from "../follow.ts";
import { CUT, plainLine, readLog } from "../log-reader.ts";
import { watchQueue } from "../queue-watch.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { print, say } from "../terminal.ts";

export type LogsOptions = GlobalOptions & { follow?: boolean };

/**
 * Prints a build's log: its lines, or with `--json` its entries. Throws CliError when the build has ended, and did not
 * go well.
 */
export async function logs(text: string, options: LogsOptions): Promise<void> {
  const id = buildId(text);
  const client = await openEdge(options);
  const log = readLog(client, id, {
    follow: options.follow ?? false,
    onCut: () => say(CUT),
  });
  const over = new AbortController();
  if (options.follow)
    void watchQueue(client, id, over.signal, { waits: (how) => say(`waiting: ${how}`) });
  try {
    for await (const entry of log) print(options.json ? JSON.stringify(entry) : plainLine(entry));
  } finally {
    over.abort();
  }
  const record = await client.build(id);
  if (isTerminal(record.state)) requireSuccess(record);
}

/** Ends a build, or our interest in it while others wait for it too. A deploy is ended with the token that deploys. */
export async function cancel(text: string, options: GlobalOptions): Promise<void> {
  const id = buildId(text);
  const edge = await openEdge(options);
  const isDeploy = await edge.build(id).then(
    ({ recipe }) => recipe === "app",
    () => false,
  );
  const { client } = isDeploy
    ? await openApps({ ...options, url: edge.url, program: "railhead" })
    : { client: edge };
  const answer = await client.cancel(id);
  if (options.json) print(JSON.stringify(answer));
  else say(`Build ${id}: cancellation was asked for. See how it ends: railhead logs -f ${id}`);
}

/** Whether it is the id of a build, or a URL with one: an app that is called like an id is never meant. */
export function isBuild(text: string): boolean {
  return idIn(text) !== null;
}

function idIn(text: string): string | null {
  return parseBuildId(text.replace(/^.*\/builds\/([^/?]+).*$/, "$1"));
}

function buildId(text: string): string {
  const id = idIn(text);
  if (id === null)
    throw new CliError(
      `"${text}" is no build id: it is the 32 hex digits that a build answers with.`,
      EXIT.usage,
    );
  return id;
}
