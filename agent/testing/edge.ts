/** The edge's side of the protocol as a small real server, for tests of the agent: strict about frames, easy to cut. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { importJWK, jwtVerify } from "jose";
import { type WebSocket, WebSocketServer } from "ws";
import { type RegisterRequest, registerSchema } from "../../shared/identity.ts";
import {
  type AttemptUp,
  CLOSE,
  type ControlDown,
  type ControlUp,
  type Held,
  PING,
  PONG,
  parseAttemptUp,
  parseControlUp,
} from "../../shared/protocol.ts";
import type { GoTarget } from "../../shared/recipes/go.ts";
import type { Target } from "../../shared/recipes/index.ts";
import { Latch } from "../latch.ts";
import { BuildSide, type Upload } from "./build-side.ts";

export const TARGET: GoTarget = {
  recipe: "go",
  remote: "git.example",
  path: ["owner", "repo"],
  goos: "linux",
  goarch: "amd64",
  version: "v1.0.0",
  make: null,
  commit: "b".repeat(40),
  visibility: "public",
  advertised: true,
};

/** Milliseconds for a build: enough for one that is broken off and taken up dozens of times on a busy machine. */
const BUILD_MS = 10 * 60_000;

export class TestEdge {
  readonly url: string;
  readonly frames: ControlUp[] = [];
  readonly builds = new Map<string, BuildSide>();
  /** What HTTP answers before anything else; null lets the edge answer. */
  proxy: (request: IncomingMessage) => { status: number; html: string } | null = () => null;
  /** Held attempts that the next welcome drops. */
  drop: Held[] = [];
  answersPings = true;
  /** Milliseconds by which its clock is ahead of the agent's. */
  clock_ahead_ms = 0;
  part_size = 10_000;
  control: WebSocket | null = null;
  readonly #server;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #nonces = new Set<string>();
  readonly #tickets = new Map<string, { upload: Upload; part: number }>();
  readonly #changed = new Latch();
  #agent: { id: string; registration: RegisterRequest } | null = null;

  private constructor(server: ReturnType<typeof createServer>, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
    server.on("request", (request, response) => this.#request(request, response));
    server.on("upgrade", (request, socket, head) => {
      this.#upgrade(request, socket, head).catch(() => socket.destroy());
    });
  }

  static async start(): Promise<TestEdge> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new TestEdge(server, (server.address() as AddressInfo).port);
  }

  async stop(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Settles when `condition` holds; looked at after everything that happens. */
  async until(what: string, condition: () => boolean, ms = 60_000): Promise<void> {
    const timeout = AbortSignal.timeout(ms);
    while (!condition()) {
      if (timeout.aborted) assert.fail(`never happened: ${what}`);
      await this.#changed.wait(AbortSignal.any([timeout, AbortSignal.timeout(50)]));
    }
  }

  /** Hands a build to the agent. */
  assign(options: { target?: Target; deadline_ms?: number; held?: Held } = {}): BuildSide {
    const held = options.held ?? { build: randomBytes(16).toString("hex"), attempt: 1 };
    const build = new BuildSide(held);
    this.builds.set(`${held.build}/${held.attempt}`, build);
    this.send({
      t: "assign",
      ...held,
      target: options.target ?? TARGET,
      lease: build.lease,
      deadline_ms: options.deadline_ms ?? BUILD_MS,
    });
    return build;
  }

  send(frame: ControlDown): void {
    assert.ok(this.control, "the agent is connected");
    this.control.send(JSON.stringify(frame));
  }

  /** Forgets the agent, as an operator's `remove` does. */
  removeAgent(): void {
    this.#agent = null;
    this.control?.close(CLOSE.forbidden, "removed");
  }

  answersOf<T extends ControlUp["t"]>(kind: T): Extract<ControlUp, { t: T }>[] {
    return this.frames.filter((frame): frame is Extract<ControlUp, { t: T }> => frame.t === kind);
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await read(request);
    const page = this.proxy(request);
    if (page) {
      response.writeHead(page.status, { "content-type": "text/html" }).end(page.html);
      return;
    }
    const url = new URL(request.url ?? "/", this.url);
    const bearer = request.headers.authorization?.replace("Bearer ", "") ?? "";
    if (url.pathname === "/agent/register" && bearer === "rh_registration") {
      this.#agent = {
        // Its own: tests at the same time must not clean each other's containers away.
        id: `default.${randomBytes(8).toString("hex")}`,
        registration: registerSchema.parse(JSON.parse(body.toString())),
      };
      const { name, pool } = this.#agent.registration;
      json(response, 200, { agent: this.#agent.id, name, pool });
    } else if (
      url.pathname === "/agent/nonce" &&
      this.#agent?.id === url.searchParams.get("agent")
    ) {
      const nonce = randomBytes(16).toString("hex");
      this.#nonces.add(nonce);
      json(response, 200, { nonce, time_ms: Date.now() + this.clock_ahead_ms });
    } else if (url.pathname.startsWith("/agent/uploads/") && request.headers["content-length"])
      // The bucket must know beforehand how long a part is.
      this.#part(bearer, body, url, response);
    else json(response, 401, { code: "unauthorized", detail: "Who are you?" });
  }

  #part(ticket: string, body: Buffer, url: URL, response: ServerResponse): void {
    const right = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    const path = `/agent/uploads/${right?.upload.upload}/parts/${right?.part}`;
    if (right && url.pathname === path) {
      right.upload.parts.set(right.part, body);
      json(response, 200, { etag: `etag-${right.part}` });
    } else json(response, 401, { code: "unauthorized", detail: "No such ticket." });
    this.#changed.open();
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const bearer = request.headers.authorization?.replace("Bearer ", "") ?? "";
    const page = this.proxy(request);
    const attempt = /^\/agent\/builds\/([0-9a-f]{32})\/attempts\/(\d+)$/.exec(url.pathname);
    const build = this.builds.get(`${attempt?.[1]}/${attempt?.[2]}`);
    const accepted = attempt ? build?.lease === bearer : await this.#proves(bearer);
    if (page || !accepted) {
      const [status, type, text] = page
        ? [page.status, "text/html", page.html]
        : [401, "application/problem+json", '{"code":"unauthorized","detail":"No."}'];
      socket.end(
        `HTTP/1.1 ${status} No\r\nContent-Type: ${type}\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`,
      );
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("error", () => {});
      if (build) this.#attemptSocket(client, build);
      else this.#controlSocket(client);
    });
  }

  async #proves(jws: string): Promise<boolean> {
    if (!this.#agent) return false;
    const key = await importJWK({ ...this.#agent.registration.public_key, alg: "EdDSA" });
    const { payload } = await jwtVerify(jws, key, { audience: "railhead-control" });
    return payload.sub === this.#agent.id && this.#nonces.delete(String(payload.nonce));
  }

  #controlSocket(client: WebSocket): void {
    this.#hear(client, (text) => {
      const parsed = parseControlUp(text);
      assert.ok("frame" in parsed && parsed.frame, `the agent sent ${text}`);
      const { frame } = parsed;
      this.frames.push(frame);
      if (frame.t === "hello") {
        this.control?.close(CLOSE.replaced, "a newer socket");
        this.control = client;
        const drop = this.drop.splice(0);
        client.send(
          JSON.stringify({ t: "welcome", epoch: 1, agent: this.#agent?.id, name: "test", drop }),
        );
      }
      if (frame.t === "done") {
        const build = this.builds.get(`${frame.build}/${frame.attempt}`);
        if (build) build.done = true;
      }
    });
    client.on("close", () => {
      if (this.control === client) this.control = null;
      this.#changed.open();
    });
  }

  #attemptSocket(client: WebSocket, build: BuildSide): void {
    build.socket?.close(CLOSE.replaced, "a newer socket");
    build.socket = client;
    let count = 0;
    this.#hear(client, (text) => {
      const parsed = parseAttemptUp(text);
      assert.ok("frame" in parsed && parsed.frame, `the agent sent ${text.slice(0, 200)}`);
      build.frames.push(parsed.frame);
      count = build.frames.length;
      const fate = build.fate(parsed.frame, count);
      if (fate === "lose") return client.terminate();
      this.#take(client, build, parsed.frame);
      if (fate === "take, then cut") client.terminate();
    });
  }

  #take(client: WebSocket, build: BuildSide, frame: AttemptUp): void {
    const send = (answer: object) => client.send(JSON.stringify(answer));
    if (frame.t === "start") {
      build.starts += 1;
      const { acked, credentials } = build;
      send(
        build.refused
          ? { t: "refused", code: "attempt_over", message: "not yours" }
          : { t: "ready", acked, credentials },
      );
    } else if (frame.t === "log") {
      for (const entry of frame.entries) {
        assert.ok(entry.seq <= build.acked + 1, `entry ${entry.seq} after ${build.acked}`);
        if (entry.seq === build.acked + 1) build.log.push(entry);
        else assert.deepEqual(entry, build.log[entry.seq - 1], "sent again verbatim");
      }
      if (build.acks) send({ t: "ack", seq: build.acked });
    } else if (frame.t === "upload") this.#openUpload(build, frame, send);
    else if (frame.t === "ticket") {
      const upload = build.uploads.get(frame.upload);
      assert.ok(upload);
      const ticket = randomBytes(16).toString("hex");
      this.#tickets.set(ticket, { upload, part: frame.part });
      send({ t: "ticket", upload: frame.upload, part: frame.part, ticket });
    } else if (frame.t === "uploaded") this.#finishUpload(build, frame.upload, send);
    else if (frame.t === "result") {
      assert.equal(build.acked, frame.last_seq, "the log is here before the result");
      if (build.result) assert.deepEqual(build.result, frame);
      build.result = frame;
      build.results += 1;
      send({ t: "result_ok", state: frame.outcome });
    }
  }

  #openUpload(
    build: BuildSide,
    frame: Extract<AttemptUp, { t: "upload" }>,
    send: (answer: object) => void,
  ): void {
    const known = build.uploads.get(frame.upload);
    const upload = known ?? { ...frame, parts: new Map(), stored: false };
    build.uploads.set(frame.upload, upload);
    const parts = upload.stored ? 0 : Math.max(1, Math.ceil(frame.size / this.part_size));
    send({ t: "upload_ready", upload: frame.upload, part_size: this.part_size, parts });
  }

  /** May be replaced: what the edge says to a whole upload; null when its bytes are right. */
  judge: (upload: Upload) => { code: "retry" | "fatal"; message: string } | null = (upload) => {
    const bytes = Buffer.concat([...upload.parts.values()]);
    const right = createHash("sha256").update(bytes).digest("hex") === upload.sha256;
    return right ? null : { code: "retry", message: "the bytes do not match" };
  };

  #finishUpload(build: BuildSide, id: string, send: (answer: object) => void): void {
    const upload = build.uploads.get(id);
    assert.ok(upload);
    const failure = upload.stored ? null : this.judge(upload);
    upload.stored = failure === null;
    send(failure ? { t: "upload_failed", upload: id, ...failure } : { t: "upload_ok", upload: id });
  }

  #hear(client: WebSocket, take: (text: string) => void): void {
    client.on("message", (data) => {
      const text = data.toString();
      if (text !== PING) take(text);
      else if (this.answersPings) client.send(PONG);
      this.#changed.open();
    });
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type }).end(JSON.stringify(body));
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}
