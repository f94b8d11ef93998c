/** As worker/objects/pool.ts and pool-wire.ts: the scheduler with its agents' control sockets. */
import { CLOSE, type ControlDown, parseControlUp } from "../../../shared/protocol.ts";
import type { PoolRpc } from "../../../worker/core/contracts.ts";
import { isMigrated, migrate } from "../../../worker/core/migrations.ts";
import type { Wire } from "../../../worker/core/registry.ts";
import { Scheduler } from "../../../worker/core/scheduler.ts";
import type { BuildPort } from "../../../worker/core/scheduler-parts.ts";
import { SCHEDULER_MIGRATIONS } from "../../../worker/core/scheduler-schema.ts";
import { proofOf } from "../proof.ts";
import type { Edge } from "./edge.ts";
import { type Context, describe, type Problem, type Shell, type Upgrade } from "./object.ts";
import { closeQuietly, portsOf } from "./shells.ts";
import type { ServerSocket } from "./socket.ts";

type Attachment = { agent: string; epoch: number; since: number };
type Rpc = Pick<PoolRpc, "enqueue" | "withdraw" | "ended" | "place" | "nonce" | "act" | "stats">;

const NONCE_MS = 60_000;
const ABNORMAL_CLOSURE = 1006;
const LIMITS = { ratePerMinute: 60, queueLimit: 1_000 };

export class PoolShell implements Shell, Rpc {
  readonly #context: Context;
  readonly #edge: Edge;
  readonly #wire: PoolWire;
  #scheduler: Scheduler | null = null;

  constructor(context: Context, edge: Edge) {
    this.#context = context;
    this.#edge = edge;
    this.#wire = new PoolWire(context);
    if (isMigrated(context.sql)) this.#open();
  }

  async enqueue(...args: Parameters<PoolRpc["enqueue"]>) {
    return this.#open().enqueue(...args);
  }

  async withdraw(...args: Parameters<PoolRpc["withdraw"]>) {
    this.#scheduler?.withdraw(...args);
  }

  async ended(...args: Parameters<PoolRpc["ended"]>) {
    this.#scheduler?.ended(...args);
  }

  async place(build: string) {
    return this.#scheduler?.place(build) ?? null;
  }

  async register(...args: Parameters<PoolRpc["register"]>) {
    return this.#open().register(...args);
  }

  async nonce(agent: string) {
    const at = this.#scheduler?.nonceTime(agent) ?? null;
    return at === null ? null : `${at}.${this.#context.random.hex(8)}`;
  }

  async act(...args: Parameters<PoolRpc["act"]>) {
    return this.#scheduler?.control.act(...args) ?? null;
  }

  async stats() {
    return this.#open().stats();
  }

  async fetch({ query, bearer }: Upgrade, socket: ServerSocket): Promise<"accepted" | Problem> {
    const agent = query.get("agent") ?? "";
    const said = proofOf(agent, "");
    const known = (this.#scheduler?.publicKey(agent) ?? null) !== null;
    if (!bearer.startsWith(said) || !known) return { status: 401, code: "unauthorized" };
    const at = Number(bearer.slice(said.length).split(".")[0]);
    const fresh = this.#context.clock.now() - at <= NONCE_MS;
    if (!fresh || !this.#open().useNonce(agent, at)) return { status: 409, code: "stale_nonce" };
    this.#wire.accept(socket, agent);
    return "accepted";
  }

  async message(socket: ServerSocket, text: string): Promise<void> {
    try {
      await this.#receive(socket, text);
    } catch (error) {
      this.#context.report("pool", error);
    }
  }

  closed(socket: ServerSocket, code: number, reason: string): void {
    this.#gone(socket, code);
    if (code !== ABNORMAL_CLOSURE) closeQuietly(socket, code, reason);
  }

  async alarm(): Promise<void> {
    try {
      await this.#scheduler?.alarm();
    } catch (error) {
      this.#context.report("pool", error);
    }
  }

  #open(): Scheduler {
    if (this.#scheduler !== null) return this.#scheduler;
    migrate(this.#context.sql, SCHEDULER_MIGRATIONS);
    this.#scheduler = new Scheduler({
      ...portsOf(this.#context),
      pool: this.#context.name,
      wire: this.#wire,
      limits: LIMITS,
      builds: (build) => this.#build(build),
      background: (work) =>
        this.#context.background(work.catch((error) => this.#context.report("pool", error))),
    });
    return this.#scheduler;
  }

  #build(id: string): BuildPort {
    const build = this.#edge.build(this.#context, id);
    const lost: BuildPort["lost"] = (attempt, why) => {
      this.#edge.lost(id, attempt, why);
      return build.lost(attempt, why);
    };
    const begin: BuildPort["begin"] = (...args) => build.begin(...args);
    const unplaceable: BuildPort["unplaceable"] = (...args) => build.unplaceable(...args);
    return { lost, begin, unplaceable, summary: () => build.summary() };
  }

  async #receive(socket: ServerSocket, text: string): Promise<void> {
    if (socket.readyState !== "open") return;
    const control = this.#scheduler?.control;
    const { agent, epoch } = attachmentOf(socket);
    const parsed = parseControlUp(text);
    if ("error" in parsed) return closeQuietly(socket, CLOSE.badFrame, parsed.error);
    const { frame } = parsed;
    if (control === undefined || frame === null) return;
    if (frame.t !== "hello") return control.frame(agent, epoch, frame);
    const answer = control.hello(agent, frame);
    if (answer.kind === "refused") return closeQuietly(socket, answer.code, answer.reason);
    this.#wire.bind(socket, agent, answer.epoch, this.#context.clock.now());
    this.#wire.close(agent, answer.epoch, answer.others.code, answer.others.reason);
    await control.welcome(agent, answer.epoch, frame.held);
  }

  #gone(socket: ServerSocket, code: number): void {
    try {
      const { agent, epoch } = attachmentOf(socket);
      const lastPing = this.#wire.unbind(socket);
      if (epoch > 0) this.#scheduler?.control.closed(agent, epoch, lastPing, code);
    } catch (error) {
      this.#context.report(`pool: ${describe(error)}`, error);
    }
  }
}

class PoolWire implements Wire {
  readonly #context: Context;
  readonly #links = new Map<string, { socket: ServerSocket; attachment: Attachment }>();

  constructor(context: Context) {
    this.#context = context;
    for (const socket of context.sockets()) {
      const attachment = attachmentOf(socket);
      if (socket.readyState !== "open" || attachment.epoch === 0) continue;
      const known = this.#links.get(attachment.agent);
      if (known === undefined || known.attachment.epoch < attachment.epoch)
        this.#links.set(attachment.agent, { socket, attachment });
    }
  }

  accept(socket: ServerSocket, agent: string): void {
    this.#context.accept(socket, [agent]);
    socket.attachment = { agent, epoch: 0, since: 0 } satisfies Attachment;
  }

  bind(socket: ServerSocket, agent: string, epoch: number, since: number): void {
    const attachment: Attachment = { agent, epoch, since };
    socket.attachment = attachment;
    this.#links.set(agent, { socket, attachment });
  }

  unbind(socket: ServerSocket): number {
    const { agent, epoch, since } = attachmentOf(socket);
    if (this.#links.get(agent)?.attachment.epoch === epoch) this.#links.delete(agent);
    return lastSign(socket, since);
  }

  send(agent: string, epoch: number, frame: ControlDown): boolean {
    const link = this.#open(agent, epoch);
    link?.socket.send(JSON.stringify(frame));
    return link !== null;
  }

  lastPing(agent: string, epoch: number): number | null {
    const link = this.#open(agent, epoch);
    return link === null ? null : lastSign(link.socket, link.attachment.since);
  }

  close(agent: string, keep: number | null, code: number, reason: string): void {
    for (const socket of this.#context.sockets(agent))
      if (attachmentOf(socket).epoch !== keep) {
        this.unbind(socket);
        closeQuietly(socket, code, reason);
      }
  }

  #open(agent: string, epoch: number) {
    const link = this.#links.get(agent);
    const open = link?.attachment.epoch === epoch && link.socket.readyState === "open";
    return link !== undefined && open ? link : null;
  }
}

function lastSign(socket: ServerSocket, since: number): number {
  return Math.max(since, socket.pingedAt ?? 0);
}

function attachmentOf(socket: ServerSocket): Attachment {
  return socket.attachment as Attachment;
}
