/** The network between an agent and the edge: an HTTP proxy that can be told to misbehave. */
import {
  createServer,
  type IncomingMessage,
  request as openRequest,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { Transform, type TransformCallback } from "node:stream";
import { frameEnd } from "./frames.ts";

/** What it says in the edge's place. */
export type Page = { status: number; type: string; body: string };
export type Request = { method: string; path: string };

/** One client's connection with the one that was made for it. */
type Pair = {
  request: Request;
  client: Socket;
  edge: Socket;
  /** Frames for the edge are kept back since `hold`. */
  held: Buffer[] | null;
};

const ADDRESS = "127.0.0.1";

export class EdgeProxy {
  readonly #server: Server;
  readonly #edge: URL;
  readonly #sockets = new Set<Socket>();
  readonly #pairs = new Set<Pair>();
  /** Something on these connections vanished: nothing sensible can follow. */
  readonly #torn = new Set<Socket>();
  #state: "open" | "cut" | "silent" = "open";
  /** Milliseconds that everything takes longer, each way. */
  delay_ms = 0;
  /** Answers in place of the edge; null lets the request through. */
  answers: (request: Request) => Page | null = () => null;
  /** Whether the edge's answer is lost on its way: the connection is reset in its place. */
  loses: (request: Request) => boolean = () => false;
  /** Whether each frame for the edge on this WebSocket is sent twice. */
  duplicates: (request: Request) => boolean = () => false;
  /** Requests that came, oldest first. */
  readonly requests: Request[] = [];

  private constructor(edge: string) {
    this.#edge = new URL(edge);
    this.#server = createServer((request, response) => this.#forward(request, response));
    this.#server.on("upgrade", (request, socket, head) =>
      this.#upgrade(request, socket as Socket, head),
    );
    this.#server.on("connection", (socket) => {
      if (this.#state === "cut") socket.resetAndDestroy();
      else this.#keep(socket);
    });
  }

  static async open(edge: string): Promise<EdgeProxy> {
    const proxy = new EdgeProxy(edge);
    await new Promise<void>((resolve) => proxy.#server.listen(0, ADDRESS, resolve));
    return proxy;
  }

  get url(): string {
    return `http://${ADDRESS}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resets every connection, and refuses new ones until `heal`. */
  cut(): void {
    this.#state = "cut";
    this.reset();
  }

  /** Resets every connection; new ones are welcome. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Half-open: bytes of both sides vanish and connections stay, old ones and new ones, until `heal`. */
  silence(): void {
    this.#state = "silent";
  }

  /** The network is well again; a connection that lost bytes, or kept some back, is reset. */
  heal(): void {
    this.#state = "open";
    this.delay_ms = 0;
    this.answers = () => null;
    this.loses = () => false;
    this.duplicates = () => false;
    for (const { held, client, edge } of this.#pairs) if (held !== null) this.#tear(client, edge);
    for (const socket of this.#torn) socket.resetAndDestroy();
    this.#torn.clear();
  }

  /**
   * From now on, frames for the edge on WebSockets that fit are kept back, also when the agent gives the
   * connection up. `release` sends them, late, on the old connection.
   */
  hold(fits: (request: Request) => boolean): { frames(): number; release(): void } {
    const pairs = [...this.#pairs].filter(({ request }) => fits(request));
    for (const pair of pairs) pair.held ??= [];
    return {
      frames: () => pairs.reduce((sum, { held }) => sum + (held?.length ?? 0), 0),
      release: () => {
        for (const pair of pairs) {
          for (const frame of pair.held ?? []) pair.edge.write(frame);
          pair.held = null;
          if (pair.client.destroyed) pair.edge.end();
        }
      },
    };
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const asked = { method: request.method ?? "", path: request.url ?? "" };
    this.requests.push(asked);
    if (this.#state === "silent") {
      this.#tear(request.socket);
      request.resume();
      return;
    }
    const page = this.answers(asked);
    if (page !== null) {
      request.resume();
      response.writeHead(page.status, { "content-type": page.type }).end(page.body);
      return;
    }
    const onward = openRequest({
      host: this.#edge.hostname,
      port: this.#edge.port,
      method: asked.method,
      path: asked.path,
      headers: request.headers,
    });
    onward.on("socket", (socket) => {
      if (!this.#sockets.has(socket)) this.#keep(socket);
    });
    onward.on("response", (answer) => {
      if (this.loses(asked)) {
        answer.resume();
        request.socket.resetAndDestroy();
        return;
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(this.#way(request.socket)).pipe(response);
      answer.on("error", () => response.destroy());
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(this.#way(request.socket)).pipe(onward);
  }

  #upgrade(request: IncomingMessage, client: Socket, head: Buffer): void {
    const asked = { method: request.method ?? "", path: request.url ?? "" };
    this.requests.push(asked);
    if (this.#state === "silent") {
      this.#tear(client);
      return;
    }
    const page = this.answers(asked);
    if (page !== null) {
      const length = Buffer.byteLength(page.body);
      client.end(
        `HTTP/1.1 ${page.status} From A Proxy\r\ncontent-type: ${page.type}\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n${page.body}`,
      );
      return;
    }
    const edge = connect(Number(this.#edge.port), this.#edge.hostname);
    this.#keep(edge);
    const pair: Pair = { request: asked, client, edge, held: null };
    this.#pairs.add(pair);
    const lines = [`${asked.method} ${asked.path} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    edge.write(`${lines.join("\r\n")}\r\n\r\n`);
    const up = new Frames((frame) => this.#pass(pair, frame));
    up.write(head);
    client.pipe(this.#way(client, edge)).pipe(up).pipe(edge, { end: false });
    edge.pipe(this.#way(client, edge)).pipe(client);
    // A killed process ends its side alone, and the server's sockets may be half open.
    client.on("end", () => client.destroy());
    client.on("close", () => {
      // Of a connection that is silent or held, the edge does not learn the end.
      if (this.#state === "silent") this.#tear(edge);
      else if (pair.held === null) edge.destroy();
    });
    edge.on("close", () => {
      this.#pairs.delete(pair);
      if (this.#state === "silent") this.#tear(client);
      else client.destroy();
    });
  }

  #tear(...sockets: Socket[]): void {
    for (const socket of sockets) this.#torn.add(socket);
  }

  /** What of one frame for the edge goes on now. */
  #pass(pair: Pair, frame: Buffer): Buffer[] {
    if (pair.held !== null) {
      pair.held.push(frame);
      return [];
    }
    return this.duplicates(pair.request) ? [frame, frame] : [frame];
  }

  /** Delays what passes, and lets it vanish while the network is silent. */
  #way(...sockets: Socket[]): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done: TransformCallback) => {
        const pass = () => {
          if (this.#state !== "silent") return done(null, chunk);
          this.#tear(...sockets);
          done();
        };
        if (this.delay_ms > 0) setTimeout(pass, this.delay_ms);
        else pass();
      },
    });
  }
}

/** Cuts the agent's bytes into WebSocket frames (RFC 6455, section 5.2). */
class Frames extends Transform {
  constructor(pass: (frame: Buffer) => Buffer[]) {
    let rest = Buffer.alloc(0);
    super({
      transform(chunk: Buffer, _encoding, done) {
        rest = Buffer.concat([rest, chunk]);
        for (let end = frameEnd(rest); end !== null; end = frameEnd(rest)) {
          for (const frame of pass(rest.subarray(0, end))) this.push(frame);
          rest = rest.subarray(end);
        }
        done();
      },
    });
  }
}
