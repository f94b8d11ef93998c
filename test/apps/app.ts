/** What stands for an app's container: a server of Node that notes every request, and answers as the test says, byte for byte. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { type WebSocket, WebSocketServer } from "ws";

/** The request header that chooses the answer. */
export const CASE = "x-case";
/** Bytes of a request's head: more than workerd lets through. */
const HEAD_BYTES = 512 * 1024;

/** A request as it reached the app. */
export type Seen = {
  method: string;
  target: string;
  /** In their order, as they were written. */
  headers: [name: string, value: string][];
  trailers: [name: string, value: string][];
  body: Buffer;
};

/** `raw`: the whole answer; the connection ends behind it. */
export type Answer =
  | { raw: string | Buffer }
  | ((request: IncomingMessage, response: ServerResponse) => void);

export class TestApp {
  readonly port: number;
  /** By the value of `x-case`; without one a request is answered with 200. */
  readonly answers = new Map<string, Answer>();
  /** Takes WebSockets, each with the request that asked for it; by path. */
  readonly sockets = new Map<string, (socket: WebSocket, request: IncomingMessage) => void>();
  readonly #server: Server;
  readonly #seen: Seen[] = [];
  #faults = 0;
  #connections = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("request", (request, response) => void this.#take(request, response));
    server.on("clientError", (_, socket) => {
      this.#faults++;
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    server.on("connection", (socket) => {
      this.#connections.add(socket);
      socket.on("close", () => this.#connections.delete(socket));
    });
    const acceptor = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has("chat") ? "chat" : false),
    });
    server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      const take = this.sockets.get(request.url ?? "");
      if (take === undefined) return socket.end(refusal(request));
      acceptor.handleUpgrade(request, socket, head, (opened) => take(opened, request));
    });
  }

  static async start(): Promise<TestApp> {
    const server = createServer({
      maxHeaderSize: HEAD_BYTES,
      keepAliveTimeout: 60_000,
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
    });
    server.maxHeadersCount = 0;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new TestApp(server);
  }

  /** What it saw since the last call, and how many connections spoke something other than HTTP. */
  take(): { seen: Seen[]; faults: number } {
    const faults = this.#faults;
    this.#faults = 0;
    return { seen: this.#seen.splice(0), faults };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    for (const socket of this.#connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = this.answers.get(String(request.headers[CASE] ?? ""));
    if (typeof answer === "function") return answer(request, response);
    const body = await buffer(request).catch(() => null);
    // A body that broke off is no request.
    if (body === null) return;
    const { method = "", url: target = "", rawHeaders, rawTrailers } = request;
    this.#seen.push({
      method,
      target,
      headers: pairs(rawHeaders),
      trailers: pairs(rawTrailers),
      body,
    });
    if (answer !== undefined) request.socket.end(answer.raw);
    else response.end(`${method} ${body.length}`);
  }
}

function pairs(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i] ?? "", raw[2 * i + 1] ?? ""]);
}

/** To a handshake that this app does not want, with a body. */
function refusal({ url }: IncomingMessage): string {
  const body = `no WebSocket at ${url}`;
  const head = [
    "HTTP/1.1 403 Forbidden",
    "Content-Type: text/plain",
    `Content-Length: ${body.length}`,
  ];
  return [...head, "X-Reason: unwanted", "Connection: close", "", body].join("\r\n");
}
