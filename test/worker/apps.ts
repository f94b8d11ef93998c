/** The edge with an agent that runs web apps on the wire: what it "runs" is a function of the test. */
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";
import WebSocket from "ws";
import type { AppDown, AppUp, ProjectView } from "../../shared/apps.ts";
import { PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { type AppTarget, appCredentialSchema } from "../../shared/recipes/app.ts";
import type { OpenHead, StreamEvents, TunnelStream } from "../../shared/tunnel/index.ts";
import { Tunnel } from "../../shared/tunnel/index.ts";
import { Frames, startAgent, type TestAgent, type TestAttempt } from "./agent.ts";
import { type Edge, OWN_HOSTS, startEdge } from "./edge.ts";

export const PEROKU_TOK = "perokus-one-token-0123456789";
export const RULE = "Host:shop.example";
/** One of the Worker's own, with a port that is not the one it listens on. */
export const OWN_HOST = "railhead.example:8787";

export type Serve = (stream: TunnelStream, head: OpenHead) => StreamEvents;

/** Answers every request with these words. */
export function saying(words: string): Serve {
  return (stream) => {
    stream.answer({ status: 200, headers: [["content-type", "text/plain"]], body: true });
    void stream.write(Buffer.from(words)).then(() => stream.end());
    return { data: (_, taken) => taken(), reset: () => {} };
  };
}

export class AppWorld {
  readonly edge: Edge;
  readonly agent: TestAgent;

  constructor(edge: Edge, agent: TestAgent) {
    this.edge = edge;
    this.agent = agent;
  }

  async close(): Promise<void> {
    this.agent.close();
    await this.edge.close();
  }

  /** A request with peroku's token. */
  secure(path: string, init: RequestInit = {}): Promise<Response> {
    const authorization = `Bearer ${PEROKU_TOK}`;
    return this.edge.call(path, { ...init, headers: { authorization, ...init.headers } });
  }

  /** Posts a deploy that must be taken; its logid. */
  async run(project: string, rule = RULE, more: object = {}): Promise<string> {
    const data = (await tarOf({ Dockerfile: `FROM scratch\nLABEL at=${Date.now()}\n` })).toString(
      "base64",
    );
    const body = JSON.stringify({ project, rule, data, ...more });
    const response = await this.secure("/run", { method: "POST", body });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text).logid;
  }

  /** The next replica that the agent is to make. */
  async replica(serve: Serve): Promise<Replica> {
    const attempt = await this.agent.attempt();
    return Replica.open(this.edge.url, attempt, serve);
  }

  /** Deploys a version with one replica, and sees it live. */
  async deploy(project: string, serve: Serve, rule = RULE): Promise<Replica> {
    await this.run(project, rule);
    const replica = await this.replica(serve);
    await replica.goLive();
    return replica;
  }

  async view(project: string): Promise<ProjectView> {
    const response = await this.secure(`/projects/${project}`);
    assert.equal(response.status, 200);
    return (await response.json()) as ProjectView;
  }

  /** A request to an app, by its host. */
  ask(
    host: string,
    path = "/",
    {
      method = "GET",
      headers = {},
      body,
    }: { method?: string; headers?: Record<string, string>; body?: Buffer } = {},
  ): Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const sent = request(
        this.edge.url + path,
        { method, headers: { host, ...headers } },
        (answer) => {
          buffer(answer).then(
            (bytes) =>
              resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes }),
            reject,
          );
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  }

  async text(host: string, path = "/"): Promise<string> {
    return (await this.ask(host, path)).body.toString();
  }
}

/** One container that an agent would run, and its socket. */
export class Replica {
  readonly attempt: TestAttempt;
  readonly target: AppTarget;
  readonly env: Record<string, string>;
  readonly #url: string;
  readonly #serve: string;
  readonly #handler: Serve;
  #frames: Frames<AppDown, AppUp>;

  private constructor(
    url: string,
    attempt: TestAttempt,
    handler: Serve,
    frames: Frames<AppDown, AppUp>,
    credential: { env: Record<string, string>; serve: string },
  ) {
    this.#url = url;
    this.attempt = attempt;
    assert.equal(attempt.target.recipe, "app");
    this.target = attempt.target as AppTarget;
    this.#handler = handler;
    this.#frames = frames;
    this.env = credential.env;
    this.#serve = credential.serve;
  }

  static async open(url: string, attempt: TestAttempt, handler: Serve): Promise<Replica> {
    const credential = appCredentialSchema.parse(JSON.parse(attempt.credentials[0] ?? ""));
    const target = attempt.target as AppTarget;
    const frames = await connect(url, target, credential.serve, handler);
    return new Replica(url, attempt, handler, frames, credential);
  }

  /** The next frame of this kind. */
  next<T extends AppDown["t"]>(t: T): Promise<Extract<AppDown, { t: T }>> {
    return this.#frames.next(t);
  }

  ready(): void {
    this.#frames.send({ t: "ready", attempt: 1 });
  }

  async goLive(): Promise<void> {
    await this.attempt.permit();
    this.ready();
    await this.next("live");
    await this.attempt.finish({ outcome: "succeeded" });
  }

  /** Cuts the socket as a network does. */
  cut(): void {
    this.#frames.socket.terminate();
  }

  async reconnect(): Promise<void> {
    this.#frames = await connect(this.#url, this.target, this.#serve, this.#handler);
  }

  close(): void {
    this.#frames.socket.close();
  }
}

async function connect(
  url: string,
  { project, job }: AppTarget,
  serve: string,
  handler: Serve,
): Promise<Frames<AppDown, AppUp>> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/agent/apps/${project}/${job}`, {
    headers: { authorization: `Bearer ${serve}` },
    perMessageDeflate: false,
  });
  const tunnel = new Tunnel({ send: (bytes) => socket.send(bytes), room: () => null }, handler);
  socket.on("message", (data: Buffer, isBinary) => {
    if (isBinary) tunnel.receive(new Uint8Array(data));
  });
  const frames = new Frames<AppDown, AppUp>(socket);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const hello = { agent: "test", name: "test", state: "healthy", restarts: 0 } as const;
  frames.send({ t: "hello", protocol: PROTOCOL_VERSION, ...hello });
  return frames;
}

export async function tarOf(files: Record<string, string>): Promise<Buffer> {
  const tar = pack();
  for (const [name, text] of Object.entries(files)) tar.entry({ name }, text);
  tar.finalize();
  return buffer(tar);
}

export async function openAppWorld(): Promise<AppWorld> {
  const vars = { RAILHEAD_HOSTS: `${OWN_HOSTS} ${OWN_HOST}`, RAILHEAD_OPEN_BUILDS: "false" };
  const edge = await startEdge({ vars, secrets: { PEROKU_TOK } });
  return new AppWorld(edge, await startAgent(edge.url));
}
