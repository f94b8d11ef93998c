/** The App object, named by its project: a shell over core/app.ts, and the edge's ends of the tunnels to its replicas. */
import { DurableObject } from "cloudflare:workers";
import { type AppDown, appUpSchema, type ProjectView, parseAppFrame } from "../../shared/apps.ts";
import { Problem } from "../../shared/problem.ts";
import { CLOSE, PING, PONG, PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { FrameError, Tunnel } from "../../shared/tunnel/index.ts";
import { removeContext } from "../artifacts.ts";
import { poolFor, readConfig } from "../config.ts";
import { AppCore } from "../core/app.ts";
import {
  type AppRpc,
  type DeployAnswer,
  type DeployRequest,
  type EnvAnswer,
  type ReplicaBuilt,
  ROUTES_NAME,
  type RollbackAnswer,
} from "../core/app-contracts.ts";
import type { AppSockets } from "../core/app-ports.ts";
import type { Caller } from "../core/contracts.ts";
import { problemBody } from "../respond.ts";
import { seal, sha256, unseal } from "../secrets.ts";
import { AGENT_HOST } from "../tunnel/internal.ts";
import { passOn } from "../tunnel/pass-on.ts";
import { closeQuietly, portsOf, reportError } from "./platform.ts";

const BEARER = /^Bearer ([0-9a-f]{64})$/;
const INTERNAL_ERROR = 1011;

/** What a socket must still know after the object slept. */
type Attachment = { build: string };

export class App extends DurableObject<Env> implements AppRpc {
  readonly #core: AppCore;
  /** The edge's end on each socket, made when it is needed: none survives the object, and its streams neither. */
  readonly #tunnels = new WeakMap<WebSocket, Tunnel>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    this.#core = new AppCore({
      ...portsOf(ctx),
      sockets: socketsOf(ctx),
      vault: {
        seal: (text) => seal(env, text),
        unseal: (sealed) => unseal(env, sealed),
        digest: sha256,
      },
      build: (id) => env.BUILDS.getByName(id),
      routes: () => env.ROUTES.getByName(ROUTES_NAME),
      pool: (project) => poolFor(readConfig(env), "app", project),
      dropContext: (key) => removeContext(env.ARTIFACTS, { key }),
      background: (work) => ctx.waitUntil(work.catch((error) => reportError("app", error))),
      report: reportError,
    });
    this.#core.resume();
  }

  async deploy(request: DeployRequest): Promise<DeployAnswer> {
    return this.#core.deploy(request);
  }

  async rollback(to: number | null, build: string, caller: Caller): Promise<RollbackAnswer> {
    return this.#core.rollback(to, build, caller);
  }

  async view(): Promise<ProjectView | null> {
    return this.#core.view();
  }

  async remove(): Promise<boolean> {
    return this.#core.remove();
  }

  async setEnv(project: string, changes: Record<string, string | null>): Promise<EnvAnswer> {
    return this.#core.setEnv(project, changes);
  }

  async built(end: ReplicaBuilt): Promise<void> {
    return this.#core.built(end);
  }

  override async alarm(): Promise<void> {
    await this.#core.alarm();
  }

  /** `https://agent.internal/<build>`: a replica's socket. Anything else: a request or a log, made by worker/tunnel/internal.ts. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.hostname === AGENT_HOST) return this.#connect(request, url.pathname.slice(1));
    return passOn(request, this.#core, (build) => this.#tunnelOf(build));
  }

  override async webSocketMessage(socket: WebSocket, raw: string | ArrayBuffer): Promise<void> {
    const { build } = socket.deserializeAttachment() as Attachment;
    try {
      if (typeof raw !== "string") return this.#tunnel(socket).receive(new Uint8Array(raw));
      const parsed = parseAppFrame(appUpSchema, raw);
      if ("error" in parsed) closeQuietly(socket, CLOSE.badFrame, parsed.error);
      else if (
        parsed.frame?.t === "hello" &&
        Math.abs(parsed.frame.protocol - PROTOCOL_VERSION) > 1
      )
        closeQuietly(socket, CLOSE.incompatible, "upgrade the agent or the edge");
      else if (parsed.frame !== null) await this.#core.receive(build, parsed.frame);
    } catch (error) {
      if (!(error instanceof FrameError)) reportError("app socket", error);
      const bad = error instanceof FrameError;
      closeQuietly(
        socket,
        bad ? CLOSE.badFrame : INTERNAL_ERROR,
        bad ? error.message : "try again",
      );
      this.#gone(socket);
    }
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    closeQuietly(socket, code, reason);
    this.#gone(socket);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    closeQuietly(socket, INTERNAL_ERROR, "try again");
    this.#gone(socket);
  }

  async #connect(request: Request, build: string): Promise<Response> {
    const token = BEARER.exec(request.headers.get("authorization") ?? "")?.[1];
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
      return refuse(new Problem("upgrade_required", "This is a replica's WebSocket."));
    if (token === undefined || !(await this.#core.admits(build, token)))
      return refuse(new Problem("forbidden", "This replica is nobody's: remove it."));
    for (const older of this.ctx.getWebSockets(build))
      closeQuietly(older, CLOSE.replaced, "a newer socket of this replica is open");
    const { 0: client, 1: server } = new WebSocketPair();
    server.serializeAttachment({ build } satisfies Attachment);
    this.ctx.acceptWebSocket(server, [build]);
    return new Response(null, { status: 101, webSocket: client });
  }

  #tunnelOf(build: string): Tunnel | null {
    const socket = openOf(this.ctx, build)[0];
    return socket === undefined ? null : this.#tunnel(socket);
  }

  #tunnel(socket: WebSocket): Tunnel {
    const known = this.#tunnels.get(socket);
    if (known !== undefined) return known;
    const tunnel = new Tunnel({ send: (bytes) => socket.send(bytes), room: () => null }, null);
    this.#tunnels.set(socket, tunnel);
    tunnel.begin();
    return tunnel;
  }

  #gone(socket: WebSocket): void {
    this.#tunnels.get(socket)?.cut("the agent's connection was cut");
    this.#tunnels.delete(socket);
    this.#core.closed();
  }
}

function openOf(ctx: DurableObjectState, build: string): WebSocket[] {
  return ctx.getWebSockets(build).filter(({ readyState }) => readyState === WebSocket.OPEN);
}

function socketsOf(ctx: DurableObjectState): AppSockets {
  return {
    isOpen: (build) => openOf(ctx, build).length > 0,
    send: (build, frame: AppDown) => {
      for (const socket of openOf(ctx, build)) socket.send(JSON.stringify(frame));
    },
    end: (build) => {
      for (const socket of openOf(ctx, build))
        closeQuietly(socket, CLOSE.forbidden, "the project was removed");
    },
  };
}

function refuse(problem: Problem): Response {
  return Response.json(problemBody(problem), {
    status: problem.status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}
