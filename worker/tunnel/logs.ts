/** A viewer of what an app prints: frames of `{"stream", "data"}` over a WebSocket (peroku's), history first, then live. */
import type { StreamEvents, Tunnel } from "../../shared/tunnel/index.ts";
import { Pace } from "./pace.ts";

const NORMAL = 1000;
const GOING_AWAY = 1001;

export type LogsWanted = {
  /** RFC 3339. */
  since: string | null;
  /** Lines of each replica. */
  tail: number | null;
  follow: boolean;
};

/** Ends with the last replica's log; one that follows ends with the first: others may serve by now, so come again. */
export function viewLogs(
  tunnels: readonly { tunnel: Tunnel; replica: number }[],
  wanted: LogsWanted,
): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const several = tunnels.length > 1;
  let left = 0;
  const ended = (code: number, reason: string) => {
    left--;
    if (left <= 0 || wanted.follow || code !== NORMAL) closeQuietly(server, code, reason);
  };
  const streams = tunnels.flatMap(({ tunnel, replica }) => {
    const events = eventsFor(server, several ? replica : null, ended);
    return tunnel.open({ kind: "logs", ...wanted }, events) ?? [];
  });
  left += streams.length;
  const stop = () => {
    for (const stream of streams) stream.reset("cancelled", "the viewer went away");
  };
  server.addEventListener("close", stop);
  server.addEventListener("error", stop);
  if (streams.length === 0) server.close(GOING_AWAY, "no replica of this app is connected");
  return new Response(null, { status: 101, webSocket: client });
}

function eventsFor(
  server: WebSocket,
  replica: number | null,
  ended: (code: number, reason: string) => void,
): StreamEvents {
  let rest = "";
  const pace = new Pace();
  const decoder = new TextDecoder();
  return {
    data: (data, taken) => {
      const lines = (rest + decoder.decode(data, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        server.send(replica === null ? line : JSON.stringify({ ...JSON.parse(line), replica }));
      void pace.sent(data.length).then(taken);
    },
    end: () => ended(NORMAL, "that is all"),
    reset: (_, message) => ended(GOING_AWAY, message.slice(0, 100)),
  };
}

function closeQuietly(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // Closed already.
  }
}
