/** The edge as the sockets of replicas meet it: answers as the test says, and asks down the tunnel. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { type AppDown, type AppUp, appUpSchema, parseAppFrame } from "../../shared/apps.ts";
import { PING, PONG } from "../../shared/protocol.ts";
import { Tunnel } from "../../shared/tunnel/index.ts";
import { TunnelClient } from "./tunnel-pair.ts";

export type AppEdge = AsyncDisposable & {
  url: string;
  /** Frames that came up, in order. */
  heard: (AppUp & { build: string })[];
  /** Builds whose sockets are turned away as nobody's. */
  disowned: Set<string>;
  /** What opens each socket, as it was shown. */
  tokens: Map<string, string>;
  /** What is answered to `ready`; null for nothing yet. */
  verdict: AppDown | null;
  isOpen(build: string): boolean;
  send(build: string, frame: AppDown): void;
  /** Asks the replica. */
  client(build: string): TunnelClient;
  /** Breaks a socket without a word. */
  cut(build: string): void;
};

export async function appEdge(): Promise<AppEdge> {
  const sockets = new Map<string, { socket: WebSocket; client: TunnelClient }>();
  const server = createServer((_, response) => response.writeHead(404).end());
  const upgrades = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, raw, head) => {
    const [, build = ""] = /^\/agent\/apps\/[^/]+\/([0-9a-f]{32})$/.exec(request.url ?? "") ?? [];
    const [, token] = /^Bearer ([0-9a-f]{64})$/.exec(request.headers.authorization ?? "") ?? [];
    if (token === undefined || edge.disowned.has(build)) {
      const body = JSON.stringify({ code: "forbidden", detail: "This replica is nobody's." });
      raw.end(
        `HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      return;
    }
    edge.tokens.set(build, token);
    upgrades.handleUpgrade(request, raw, head, (socket) => {
      const tunnel = new Tunnel({ send: (frame) => socket.send(frame), room: () => null }, null);
      sockets.set(build, { socket, client: new TunnelClient(tunnel) });
      socket.on("message", (data: Buffer, isBinary) => {
        if (isBinary) return tunnel.receive(data);
        const text = data.toString();
        if (text === PING) return socket.send(PONG);
        const parsed = parseAppFrame(appUpSchema, text);
        if ("error" in parsed || parsed.frame === null) throw new Error(`bad frame: ${text}`);
        edge.heard.push({ ...parsed.frame, build });
        if (parsed.frame.t === "ready" && edge.verdict !== null) edge.send(build, edge.verdict);
      });
      socket.on("close", () => {
        tunnel.cut("closed");
        if (sockets.get(build)?.socket === socket) sockets.delete(build);
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const at = (build: string) => {
    const found = sockets.get(build);
    if (found === undefined) throw new Error(`the replica ${build} is not connected`);
    return found;
  };
  const edge: AppEdge = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard: [],
    disowned: new Set(),
    tokens: new Map(),
    verdict: { t: "live" },
    isOpen: (build) => sockets.has(build),
    send: (build, frame) => at(build).socket.send(JSON.stringify(frame)),
    client: (build) => at(build).client,
    cut: (build) => at(build).socket.terminate(),
    async [Symbol.asyncDispose]() {
      for (const { socket } of sockets.values()) socket.terminate();
      upgrades.close();
      server.close();
      server.closeAllConnections();
    },
  };
  return edge;
}
