/** The engine's socket as one agent sees it: it may hang, or refuse a call, while the engine itself serves everybody else. */
import { mkdtemp, rm } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  request as openRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DOCKER_SOCKET } from "./engine.ts";

/** A call that the engine is asked for: `DELETE`, `/v1.44/containers/abc`. */
export type EngineCall = { method: string; path: string };

export class EngineProxy {
  /** Path of its socket. */
  readonly socket: string;
  /** The engine's complaint about a call instead of doing it; null lets it through. */
  refuses: (call: EngineCall) => string | null = () => null;
  readonly #folder: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #hangs = false;

  private constructor(folder: string) {
    this.#folder = folder;
    this.socket = join(folder, "docker.sock");
    this.#server = createServer((request, response) => this.#forward(request, response));
    this.#server.on("upgrade", (request, socket, head) =>
      this.#upgrade(request, socket as Socket, head),
    );
    this.#server.on("connection", (socket) => this.#keep(socket));
  }

  static async open(): Promise<EngineProxy> {
    const proxy = new EngineProxy(await mkdtemp(join(tmpdir(), "railhead-engine-")));
    await new Promise<void>((resolve) => proxy.#server.listen(proxy.socket, resolve));
    return proxy;
  }

  /** From now on it takes connections and calls, and says nothing any more, on old connections too. */
  hang(): void {
    this.#hangs = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** The engine answers again; what it was asked meanwhile was lost with its connections. */
  heal(): void {
    this.#hangs = false;
    this.refuses = () => null;
    for (const socket of this.#sockets) if (socket.isPaused()) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true, force: true });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    if (this.#hangs) socket.pause();
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method = "GET", url: path = "/", headers } = request;
    const complaint = this.refuses({ method, path });
    if (complaint !== null) {
      request.resume();
      response.writeHead(500, { "content-type": "application/json" });
      response.end(JSON.stringify({ message: complaint }));
      return;
    }
    const call = openRequest({ socketPath: DOCKER_SOCKET, method, path, headers, agent: false });
    call.on("socket", (socket) => this.#keep(socket));
    call.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    });
    call.on("error", () => response.destroy());
    response.on("close", () => call.destroy());
    request.pipe(call);
  }

  /** A connection that carries a container's input and output: bytes, once the head is through. */
  #upgrade(request: IncomingMessage, client: Socket, head: Buffer): void {
    const engine = connect(DOCKER_SOCKET);
    this.#keep(engine);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    engine.write(`${lines.join("\r\n")}\r\n\r\n`);
    engine.write(head);
    engine.pipe(client);
    client.pipe(engine);
    engine.on("close", () => client.destroy());
    client.on("close", () => engine.destroy());
  }
}
