/** `logs` of a project: what its app prints, stream by stream. */
import type { AppLine } from "../../shared/apps.ts";
import { projectSchema } from "../../shared/recipes/app.ts";
import { AppAway, type AppClient, type LogsWanted } from "../app-client.ts";
import { type AppOptions, openApps, projectOf } from "../app-settings.ts";
import { CliError, EXIT } from "../errors.ts";
import { MAX_CUTS, mayPass, pauseAfter } from "../log-reader.ts";
import { parseDuration, say } from "../terminal.ts";

export type AppLogsOptions = AppOptions & { follow?: boolean; since?: string; tail?: string };

export async function appLogs(options: AppLogsOptions): Promise<void> {
  const { client, file } = await openApps(options);
  const project = projectOf(options, file);
  if (!projectSchema.safeParse(project).success)
    throw new CliError(`"${project}" is neither a project nor the id of a build.`, EXIT.usage);
  const wanted: LogsWanted = { follow: options.follow ?? false };
  if (options.since !== undefined) wanted.since = sinceOf(options.since, Date.now());
  if (options.tail !== undefined) wanted.tail = tailOf(options.tail);
  const lines = wanted.follow ? follow(client, project, wanted) : client.logs(project, wanted);
  for await (const line of lines) show(line, options.json ?? false);
}

/** Goes on across deploys and cuts, each line once. Throws CliError when the app cannot be had at the beginning, or stays away. */
async function* follow(
  client: AppClient,
  project: string,
  first: LogsWanted,
): AsyncGenerator<AppLine> {
  /** Time of the last line by replica; times of one container only grow. */
  const last = new Map<number | undefined, string>();
  let began = false;
  let cuts = 0;
  for (let wanted = first; ; wanted = { since: resumeAt(last), follow: true }) {
    try {
      for await (const line of client.logs(project, wanted)) {
        if (isKnown(line, last.get(line.replica))) continue;
        if (line.time !== undefined) last.set(line.replica, line.time);
        began = true;
        cuts = 0;
        yield line;
      }
      began = true;
      cuts = Math.min(cuts + 1, MAX_CUTS);
    } catch (error) {
      const passes = mayPass(error) || error instanceof AppAway;
      if (!began || !passes || ++cuts > MAX_CUTS) throw error;
      if (cuts === 1) say("(The log broke off; trying again.)");
    }
    await pauseAfter(cuts);
  }
}

/** The edge may begin a little early: it counts in milliseconds, containers finer. */
function isKnown({ time }: AppLine, last: string | undefined): boolean {
  return time !== undefined && last !== undefined && time <= last;
}

/** Behind which everything of every replica is read; now, when nothing was. */
function resumeAt(last: ReadonlyMap<number | undefined, string>): string {
  const [first = new Date().toISOString()] = [...last.values()].sort();
  return first;
}

/** Each stream to ours, so that a pipe or `2>` takes one of them. */
function show(line: AppLine, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify(line)}\n`);
  else {
    const whose = line.replica === undefined ? "" : `[${line.replica}] `;
    process[line.stream].write(whose + line.data);
  }
}

/** `10m` counts back from `now` (milliseconds since the epoch). Throws CliError (usage). */
function sinceOf(text: string, now: number): string {
  const seconds = parseDuration(text);
  const ms = seconds === null ? Date.parse(text) : now - seconds * 1_000;
  if (Number.isFinite(ms)) return new Date(ms).toISOString();
  throw new CliError("--since takes 10m, 2h or a time such as 2026-01-31T12:00:00Z.", EXIT.usage);
}

/** Throws CliError (usage). */
function tailOf(text: string): string {
  if (/^\d{1,6}$/.test(text)) return text;
  throw new CliError("--tail takes a number of lines.", EXIT.usage);
}
