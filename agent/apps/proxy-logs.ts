/** What an app prints, as NDJSON on a stream of the tunnel: history first, then live, over restarts of its container. */
import { StringDecoder } from "node:string_decoder";
import type { AppLine } from "../../shared/apps.ts";
import {
  type LogsHead,
  type StreamEvents,
  StreamReset,
  type TunnelStream,
} from "../../shared/tunnel/index.ts";
import type { AppContainers, AppLog, LogsWanted } from "./contracts.ts";

/** Milliseconds between two looks at a container that has ended, and may be started again. */
const AGAIN_MS = 1_000;

export type LogSource = {
  apps: Pick<AppContainers, "logs" | "inspect">;
  build: string;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
};

/** `ended`: called once nobody reads it any more. */
export function proxyLogs(
  source: LogSource,
  stream: TunnelStream,
  head: LogsHead,
  ended: () => void,
): StreamEvents {
  const over = new AbortController();
  void send(source, stream, head, over.signal)
    .catch((error: unknown) => {
      if (!(error instanceof StreamReset)) stream.reset("broken", "the log cannot be read");
    })
    .finally(ended);
  return { reset: () => over.abort() };
}

async function send(
  source: LogSource,
  stream: TunnelStream,
  { since, tail, follow }: LogsHead,
  signal: AbortSignal,
): Promise<void> {
  stream.answer({ status: 200, headers: [["content-type", "application/x-ndjson"]], body: true });
  // A long line comes in parts, which may be cut within a character.
  const decoders = { stdout: new StringDecoder(), stderr: new StringDecoder() };
  for await (const { stream: of, data, time } of followed(
    source,
    { since, tail, follow },
    signal,
  )) {
    const line: AppLine = { stream: of, data: decoders[of].write(data), time };
    await stream.write(Buffer.from(`${JSON.stringify(line)}\n`));
  }
  await stream.end();
}

/** Goes on behind the last line whenever the container ended, as long as it is there. */
async function* followed(
  { apps, build, sleep }: LogSource,
  wanted: LogsWanted,
  signal: AbortSignal,
): AsyncGenerator<AppLog, void, undefined> {
  let last: string | null = null;
  for (;;) {
    const since = last;
    const rest: LogsWanted = since === null ? wanted : { ...wanted, since, tail: null };
    for await (const line of apps.logs(build, rest, signal)) {
      // The engine's times have nine digits each: they compare as text.
      if (since !== null && line.time <= since) continue;
      yield line;
      last = line.time;
    }
    if (!wanted.follow || signal.aborted) return;
    await sleep(AGAIN_MS, signal);
    if (signal.aborted || (await apps.inspect(build)) === null) return;
  }
}
