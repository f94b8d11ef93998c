import { DurableObject } from "cloudflare:workers";
import type { BuildRecord } from "../../shared/builds.ts";
import { Problem } from "../../shared/problem.ts";
import { type AttemptDown, CLOSE, PING, PONG, parseAttemptUp } from "../../shared/protocol.ts";
import { artifactStore } from "../artifacts.ts";
import { poolFor, readConfig } from "../config.ts";
import { BuildCore } from "../core/build.ts";
import type { Sockets, Vault } from "../core/build-ports.ts";
import {
  type BeginAnswer,
  type BuildRequest,
  type BuildRpc,
  type BuildSummary,
  type BuildView,
  CATALOG_NAME,
  type Caller,
  type CancelAnswer,
  type ContextAnswer,
  type EnsureAnswer,
  type LogPage,
  type LostAnswer,
} from "../core/contracts.ts";
import { mailerOf } from "../mail.ts";
import { problemBody } from "../respond.ts";
import { sha256, signTicket, unseal } from "../secrets.ts";
import { closeQuietly, portsOf, reportError, timer } from "./platform.ts";

/** What a socket must still know after the object slept. Frames of an older epoch are ignored. */
type Attachment = { attempt: number; epoch: number };

/** `/agent/builds/{id}/attempts/{n}` */
const ATTEMPT_PATH = /\/attempts\/([1-9]\d{0,6})$/;
const BEARER = /^Bearer ([0-9a-f]{32,256})$/;
const INTERNAL_ERROR = 1011;

/** One object a build, named by its id: record, log, readers and the sockets of its attempts. The decisions are in core/build.ts. */
export class Build extends DurableObject<Env> implements BuildRpc {
  readonly #core: BuildCore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    this.#core = new BuildCore({
      ...portsOf(ctx),
      timer,
      store: artifactStore(env.ARTIFACTS),
      vault: vaultOf(env),
      sockets: socketsOf(ctx),
      mail: mailerOf(env),
      pool: (name) => env.POOLS.getByName(name),
      catalog: () => env.CATALOG.getByName(CATALOG_NAME),
      target: (key) => env.TARGETS.getByName(key),
      app: (project) => env.APPS.getByName(project),
      poolFor: (recipe, repository) => {
        const config = readConfig(env);
        const [remote = ""] = repository.split("/");
        return config.remotes.has(remote) ? poolFor(config, recipe, repository) : null;
      },
      background: (work) => ctx.waitUntil(work.catch((error) => reportError("build", error))),
      report: reportError,
    });
    this.#core.resume();
  }

  async ensure(id: string, request: BuildRequest): Promise<EnsureAnswer> {
    return this.#core.ensure(id, request);
  }

  async begin(
    expected: number,
    agent: { agent: string; name: string; instance: string },
  ): Promise<BeginAnswer> {
    return this.#core.begin(expected, agent);
  }

  async lost(attempt: number, why: string): Promise<LostAnswer> {
    return this.#core.lost(attempt, why);
  }

  async unplaceable(attempt: number, reason: string): Promise<void> {
    return this.#core.unplaceable(attempt, reason);
  }

  async context(attempt: number, lease: string): Promise<ContextAnswer> {
    return this.#core.context(attempt, lease);
  }

  async summary(): Promise<BuildSummary | null> {
    return this.#core.summary();
  }

  async view(): Promise<BuildView | null> {
    return this.#core.view();
  }

  async log(after: number | null, max_bytes: number, wait_ms: number): Promise<LogPage | null> {
    return this.#core.log(after, max_bytes, wait_ms);
  }

  async wait(wait_ms: number): Promise<BuildSummary | null> {
    return this.#core.wait(wait_ms);
  }

  async cancel(caller: Caller): Promise<CancelAnswer> {
    return this.#core.cancel(caller);
  }

  async settled(wait_ms: number): Promise<{ record: BuildRecord; settled: boolean } | null> {
    return this.#core.settled(wait_ms);
  }

  override async alarm(): Promise<void> {
    await this.#core.alarm();
  }

  /** An attempt's socket: GET /agent/builds/{id}/attempts/{n}, `Authorization: Bearer <lease>`. */
  override async fetch(request: Request): Promise<Response> {
    const attempt = Number(ATTEMPT_PATH.exec(new URL(request.url).pathname)?.[1] ?? 0);
    const lease = BEARER.exec(request.headers.get("authorization") ?? "")?.[1];
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
      return refuse(
        new Problem("upgrade_required", "This is a WebSocket: send an Upgrade header."),
      );
    if (lease === undefined)
      return refuse(new Problem("unauthorized", "Send the attempt's lease as a Bearer token."));
    const verdict = await this.#core.admits(attempt, lease);
    if (verdict === "unknown")
      return refuse(new Problem("no_such_build", "There is no such build."));
    if (verdict === "forbidden")
      return refuse(new Problem("forbidden", "This is not the lease of this attempt."));
    return this.#accept(attempt);
  }

  override async webSocketMessage(socket: WebSocket, raw: string | ArrayBuffer): Promise<void> {
    try {
      const { attempt, epoch } = socket.deserializeAttachment() as Attachment;
      if (!this.#core.isNewest(attempt, epoch)) return;
      const parsed = parseAttemptUp(raw);
      if ("error" in parsed) closeQuietly(socket, CLOSE.badFrame, parsed.error);
      else if (parsed.frame !== null) await this.#core.receive(attempt, parsed.frame);
    } catch (error) {
      reportError("attempt socket", error);
      // The agent comes back and sends again what was not acknowledged.
      closeQuietly(socket, INTERNAL_ERROR, "try again");
    }
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    closeQuietly(socket, code, reason);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    closeQuietly(socket, INTERNAL_ERROR, "try again");
  }

  #accept(attempt: number): Response {
    for (const older of this.ctx.getWebSockets(tagOf(attempt)))
      closeQuietly(older, CLOSE.replaced, "a newer socket of this attempt is open");
    const epoch = this.#core.opened(attempt);
    const { 0: client, 1: server } = new WebSocketPair();
    server.serializeAttachment({ attempt, epoch } satisfies Attachment);
    this.ctx.acceptWebSocket(server, [tagOf(attempt)]);
    return new Response(null, { status: 101, webSocket: client });
  }
}

function tagOf(attempt: number): string {
  return `attempt:${attempt}`;
}

function socketsOf(ctx: DurableObjectState): Sockets {
  // Closing ones are listed too; of the open ones the newest was accepted last and alone.
  const open = (attempt: number) =>
    ctx.getWebSockets(tagOf(attempt)).filter(({ readyState }) => readyState === WebSocket.OPEN);
  return {
    send: (attempt: number, frame: AttemptDown) => {
      for (const socket of open(attempt)) socket.send(JSON.stringify(frame));
    },
    close: (attempt, code, reason) => {
      for (const socket of open(attempt)) closeQuietly(socket, code, reason);
    },
  };
}

function vaultOf(env: Env): Vault {
  return {
    unseal: (sealed) => unseal(env, sealed),
    sign: (ticket) => signTicket(env, ticket),
    digest: sha256,
  };
}

function refuse(problem: Problem): Response {
  return Response.json(problemBody(problem), {
    status: problem.status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}
