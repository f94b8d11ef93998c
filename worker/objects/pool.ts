/** A Pool object: a shell that gives the scheduler its sockets, storage and clock. Named by its pool. */
import { DurableObject } from "cloudflare:workers";
import type { AgentView, RegisterRequest } from "../../shared/identity.ts";
import { CLOSE, PING, PONG, parseControlUp, tooFarApart } from "../../shared/protocol.ts";
import type {
  Ended,
  EnqueueAnswer,
  Job,
  PoolRpc,
  PoolStats,
  QueuePlace,
} from "../core/contracts.ts";
import { isMigrated, migrate } from "../core/migrations.ts";
import { Scheduler } from "../core/scheduler.ts";
import type { AgentAction } from "../core/scheduler-control.ts";
import { SCHEDULER_MIGRATIONS } from "../core/scheduler-schema.ts";
import { makeNonce, NONCE_MS, readNonce, readProof } from "../identity.ts";
import { admissionLimits } from "../pool-settings.ts";
import { closeQuietly, type Ports, portsOf, reportError } from "./platform.ts";
import { attachmentOf, PoolWire } from "./pool-wire.ts";

/** What a socket that broke counts as having said (RFC 6455 section 7.4.1). */
const ABNORMAL_CLOSURE = 1006;

export class Pool extends DurableObject<Env> implements PoolRpc {
  readonly #ports: Ports;
  readonly #wire: PoolWire;
  /** Null while nothing was ever stored: questions about a pool that nobody uses leave no trace. */
  #scheduler: Scheduler | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    this.#ports = portsOf(ctx);
    this.#wire = new PoolWire(ctx);
    if (isMigrated(this.#ports.sql)) this.#open();
  }

  // ---- builds -----------------------------------------------------------------------------------

  async enqueue(job: Job): Promise<EnqueueAnswer> {
    return this.#open().enqueue(job);
  }

  async withdraw(build_id: string, reason: string): Promise<void> {
    this.#scheduler?.withdraw(build_id, reason);
  }

  async ended(ended: Ended): Promise<void> {
    this.#scheduler?.ended(ended);
  }

  async place(build_id: string): Promise<QueuePlace | null> {
    return this.#scheduler?.place(build_id) ?? null;
  }

  // ---- agents -----------------------------------------------------------------------------------

  async register(
    request: RegisterRequest,
  ): Promise<{ kind: "ok"; agent: string } | { kind: "name_taken" }> {
    return this.#open().register(request);
  }

  async nonce(agent: string): Promise<string | null> {
    const at = this.#scheduler?.nonceTime(agent) ?? null;
    return at === null ? null : makeNonce(this.env, agent, at, this.#ports.random.hex(16));
  }

  async agents(): Promise<AgentView[]> {
    return this.#scheduler?.agents() ?? [];
  }

  async act(agent: string, action: AgentAction, reason: string): Promise<AgentView | null> {
    return this.#scheduler?.control.act(agent, action, reason) ?? null;
  }

  async stats(): Promise<PoolStats> {
    return this.#open().stats();
  }

  // ---- control sockets --------------------------------------------------------------------------

  /**
   * The upgrade of `GET /agent/control?agent=ID`: 401 unless the caller proves to be that agent, 409 when the
   * nonce it signed is used up or too old.
   */
  override async fetch(request: Request): Promise<Response> {
    const agent = new URL(request.url).searchParams.get("agent") ?? "";
    const at = await this.#proofTime(agent, request.headers.get("authorization") ?? "");
    if (at === null) return new Response(null, { status: 401 });
    const fresh = this.#ports.clock.now() - at <= NONCE_MS;
    if (!fresh || !this.#open().useNonce(agent, at)) return new Response(null, { status: 409 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.#wire.accept(server, agent);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, raw: string | ArrayBuffer): Promise<void> {
    try {
      await this.#receive(socket, raw);
    } catch (error) {
      reportError("pool", error);
    }
  }

  /** The platform answers no close frame for us: without this the agent would wait ten seconds for nothing. */
  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    this.#gone(socket, code);
    closeQuietly(socket, code, reason);
  }

  override webSocketError(socket: WebSocket): void {
    this.#gone(socket, ABNORMAL_CLOSURE);
  }

  override async alarm(): Promise<void> {
    try {
      await this.#scheduler?.alarm();
    } catch (error) {
      reportError("pool", error);
    }
  }

  // ---- inside -----------------------------------------------------------------------------------

  #open(): Scheduler {
    if (this.#scheduler !== null) return this.#scheduler;
    migrate(this.#ports.sql, SCHEDULER_MIGRATIONS);
    this.#scheduler = new Scheduler({
      ...this.#ports,
      pool: this.ctx.id.name ?? "",
      wire: this.#wire,
      limits: admissionLimits(this.env),
      builds: (build) => this.env.BUILDS.getByName(build),
      background: (work) => this.ctx.waitUntil(work.catch((error) => reportError("pool", error))),
    });
    return this.#scheduler;
  }

  /** When the nonce was made that `agent` signed; null without a valid proof. */
  async #proofTime(agent: string, authorization: string): Promise<number | null> {
    const proof = /^Bearer (\S+)$/i.exec(authorization)?.[1];
    const key = this.#scheduler?.publicKey(agent) ?? null;
    if (proof === undefined || key === null) return null;
    const nonce = await readProof(proof, agent, key);
    return nonce === null ? null : readNonce(this.env, agent, nonce);
  }

  async #receive(socket: WebSocket, raw: string | ArrayBuffer): Promise<void> {
    // What was on its way when we closed it may be the hello of a process that another one took over from.
    if (socket.readyState !== WebSocket.OPEN) return;
    const control = this.#scheduler?.control;
    const { agent, epoch } = attachmentOf(socket);
    const parsed = parseControlUp(raw);
    if ("error" in parsed || parsed.frame?.t === "hello") {
      const why = tooFarApart(raw);
      if (why !== null) return closeQuietly(socket, CLOSE.incompatible, why);
    }
    if ("error" in parsed) return closeQuietly(socket, CLOSE.badFrame, parsed.error);
    const { frame } = parsed;
    if (control === undefined || frame === null) return;
    if (frame.t !== "hello") return control.frame(agent, epoch, frame);
    const answer = control.hello(agent, frame);
    if (answer.kind === "refused") return closeQuietly(socket, answer.code, answer.reason);
    this.#wire.bind(socket, agent, answer.epoch, this.#ports.clock.now());
    this.#wire.close(agent, answer.epoch, answer.others.code, answer.others.reason);
    await control.welcome(agent, answer.epoch, frame.held);
  }

  #gone(socket: WebSocket, code: number): void {
    try {
      const { agent, epoch } = attachmentOf(socket);
      const lastPing = this.#wire.unbind(socket);
      if (epoch > 0) this.#scheduler?.control.closed(agent, epoch, lastPing, code);
    } catch (error) {
      reportError("pool", error);
    }
  }
}
