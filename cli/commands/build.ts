/** `railhead build`: asks for a build, follows it, and ends as it ended. */
import * as z from "zod";
import { type BuildRecord, buildIdSchema } from "../../shared/builds.ts";
import { MESSAGES } from "../../shared/log.ts";
import { goArtifactPath, goPath } from "../../shared/recipes/go.ts";
import type { EdgeClient } from "../edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "../errors.ts";
import { CUT, plainLine, readLog } from "../log-reader.ts";
import { watchQueue } from "../queue-watch.ts";
import { type GlobalOptions, openEdge } from "../settings.ts";
import { type AskedTarget, parseTarget } from "../target.ts";
import { duration, print, StatusLine, say } from "../terminal.ts";

export type BuildOptions = GlobalOptions & { wait: boolean };

const acceptedSchema = z.looseObject({ build_id: buildIdSchema });
type Accepted = z.infer<typeof acceptedSchema> & { location: string | null };

/** Milliseconds between rewrites of the status line. */
const STATUS_MS = 250;

/** Prints the artifact's URL, or with `--json` the final record. Throws CliError when the build did not go well. */
export async function build(text: string, options: BuildOptions): Promise<void> {
  const asked = parseTarget(text);
  const client = await openEdge(options, asked.origin);
  const accepted = await post(client, asked, options);
  if (accepted === null) return;
  if (!options.wait) {
    const { location, ...body } = accepted;
    print(options.json ? JSON.stringify(body) : accepted.build_id);
    say(`Follow it: railhead logs -f ${accepted.build_id}`);
    return;
  }

  const id = accepted.build_id;
  const detach = () => {
    say(
      `\nDetached; build ${id} goes on.\n  follow: railhead logs -f ${id}\n  cancel: railhead cancel ${id}`,
    );
    process.exit(EXIT.interrupted);
  };
  process.once("SIGINT", detach);
  await follow(client, id);
  process.off("SIGINT", detach);
  finish(client, await client.build(id), options);
}

/** The accepted build; null when it is there already, which is said. */
async function post(
  client: EdgeClient,
  asked: AskedTarget,
  options: BuildOptions,
): Promise<Accepted | null> {
  try {
    const response = await client.request("POST", goPath(asked.request), { manual: true });
    const body = acceptedSchema.safeParse(await response.json().catch(() => null));
    if (!body.success)
      throw new CliError(
        `${client.url} did not answer as Railhead does. Is the address right?`,
        EXIT.unreachable,
      );
    return { ...body.data, location: response.headers.get("location") };
  } catch (error) {
    if (!(error instanceof EdgeRefusal) || error.code !== "already_exists") throw error;
    const artifact = error.location ?? goArtifactPath(asked.request);
    say("It is built already.");
    const url = new URL(artifact, client.url).href;
    print(
      options.json ? JSON.stringify({ state: "succeeded", ...error.members, artifact: url }) : url,
    );
    return null;
  }
}

/** Shows the log on stderr until the build's end; on a terminal also where it stands. */
async function follow(client: EdgeClient, id: string): Promise<void> {
  const status = new StatusLine();
  const began = performance.now();
  let where = "in the queue";
  let doing = "waiting";
  const show = () => status.set(`… ${doing} ${where}, ${duration(performance.now() - began)}`);
  const clock = status.shown ? setInterval(show, STATUS_MS) : undefined;
  const over = new AbortController();
  void watchQueue(client, id, over.signal, {
    waits: (how) => {
      where = "in the queue";
      status.say(`waiting: ${how}`);
    },
    runs: (agent) => {
      where = `on ${agent ?? "an agent"}`;
    },
  });
  try {
    const log = readLog(client, id, {
      follow: true,
      onCut: () => status.say(CUT),
    });
    for await (const entry of log) {
      if (entry.msg === MESSAGES.started) where = "";
      if (entry.stream === undefined && entry.msg.endsWith("...")) doing = entry.msg.slice(0, -3);
      status.say(plainLine(entry));
    }
  } finally {
    clearInterval(clock);
    over.abort();
    status.end();
  }
}

function finish(client: EdgeClient, record: BuildRecord, options: BuildOptions): void {
  if (options.json) print(JSON.stringify(record));
  else if (record.state === "succeeded") print(new URL(record.artifact, client.url).href);
  if (record.state === "succeeded") return;
  const why = record.reason ?? record.class ?? "no reason was given";
  throw new CliError(`The build ${record.state.replace("_", " ")}: ${why}`);
}
