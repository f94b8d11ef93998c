/** A viewer of what an app prints: frames of `{"stream", "data"}` over a WebSocket (peroku's), history first, then live. */
import type { StreamEvents, Tunnel } from "../../shared/tunnel/index.ts";

const GOING_AWAY = 1001;

export function viewLogs(
  tunnels: readonly { tunnel: Tunnel; replica: number }[],
  { since, tail }: { since: string | null; tail: number | null },
): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  const several = tunnels.length > 1;
  const streams = tunnels.flatMap(({ tunnel, replica }) => {
    const events = eventsFor(server, several ? replica : null);
    return tunnel.open({ kind: "logs", since, tail, follow: true }, events) ?? [];
  });
  const stop = () => {
    for (const stream of streams) stream.reset("cancelled", "the viewer went away");
  };
  server.addEventListener("close", stop);
  server.addEventListener("error", stop);
  if (streams.length === 0) server.close(GOING_AWAY, "no replica of this app is connected");
  return new Response(null, { status: 101, webSocket: client });
}

function eventsFor(server: WebSocket, replica: number | null): StreamEvents {
  let rest = "";
  const decoder = new TextDecoder();
  const end = (reason: string) => {
    try {
      server.close(1000, reason);
    } catch {
      // Closed already.
    }
  };
  return {
    data: (data, taken) => {
      const lines = (rest + decoder.decode(data, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines)
        server.send(replica === null ? line : JSON.stringify({ ...JSON.parse(line), replica }));
      taken();
    },
    end: () => end("the container has ended"),
    reset: (_, message) => end(message.slice(0, 100)),
  };
}
