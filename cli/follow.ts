/** Staying with a build until it has ended. */
import type { BuildRecord, BuildState } from "../shared/builds.ts";
import { MESSAGES } from "../shared/log.ts";
import type { EdgeClient } from "./edge-client.ts";
import { CliError, EXIT } from "./errors.ts";
import { CUT, plainLine, readLog } from "./log-reader.ts";
import { watchQueue } from "./queue-watch.ts";
import { duration, StatusLine, say } from "./terminal.ts";

/** Milliseconds between rewrites of the status line. */
const STATUS_MS = 250;
/** What ends us, and not the build. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export type Following = {
  /** What is said to whoever leaves it by a signal. */
  farewell?: string;
  /** Where the log goes: stderr leaves stdout to the result. */
  to?: "stdout" | "stderr";
};

/** Follows build `id`; its record when it has ended. A signal leaves it to go on, and ends the process. */
export async function followToEnd(
  client: EdgeClient,
  id: string,
  { farewell = farewellTo(id), to = "stderr" }: Following = {},
): Promise<BuildRecord> {
  const detach = () => {
    say(`\n${farewell}`);
    process.exit(EXIT.interrupted);
  };
  for (const signal of SIGNALS) process.once(signal, detach);
  await showLog(client, id, to);
  for (const signal of SIGNALS) process.off(signal, detach);
  return client.build(id);
}

/** How a build ended, before its reason, which is a sentence of its own. */
const WORDS: Partial<Record<BuildState, string>> = {
  cancelled: "ended",
  timed_out: "timed out",
};

/** How a build that was left is found again. */
export function farewellTo(id: string): string {
  return `Detached; build ${id} goes on.\n  follow: railhead logs -f ${id}\n  cancel: railhead cancel ${id}`;
}

/** Throws CliError when the build did not go well. */
export function requireSuccess(record: BuildRecord): void {
  if (record.state === "succeeded") return;
  const why = record.reason ?? record.class ?? "no reason was given";
  throw new CliError(`The build ${WORDS[record.state] ?? record.state}: ${why}`);
}

/** Shows the log until the build's end; on a terminal also where it stands. */
async function showLog(
  client: EdgeClient,
  id: string,
  to: NonNullable<Following["to"]>,
): Promise<void> {
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
      status.say(plainLine(entry), to);
    }
  } finally {
    clearInterval(clock);
    over.abort();
    status.end();
  }
}
