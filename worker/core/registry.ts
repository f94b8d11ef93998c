/**
 * The agents of a pool. Rows are kept in memory beside storage, because every dispatch looks at all of
 * them; pings never reach storage (the platform answers them), so liveness is asked from the sockets.
 */
import type { AgentView, RegisterRequest } from "../../shared/identity.ts";
import { LEASE_EXPIRY_MS, SUSPECT_AFTER_MS } from "../../shared/limits.ts";
import type { ControlDown, ControlUp, Held } from "../../shared/protocol.ts";
import type { Clock, Random, Sql } from "./ports.ts";

/** The agents' control sockets, told apart by the epoch that hello gave them. */
export interface Wire {
  /** False when that agent has no open socket of that epoch. */
  send(agent: string, epoch: number, frame: ControlDown): boolean;
  /** Time (ms) of hello or of the last ping answered since, whichever is later; null without an open socket. */
  lastPing(agent: string, epoch: number): number | null;
  /** Closes every socket of an agent except the one of epoch `keep`. */
  close(agent: string, keep: number | null, code: number, reason: string): void;
}

/** Why an agent gets no work although it is connected: by its operator, its own finding, or because it ends. */
export type HeldBack = { kind: "cordoned" | "unwell" | "draining"; reason: string };

export type Hello = Extract<ControlUp, { t: "hello" }>;

export type Agent = {
  readonly agent: string;
  readonly name: string;
  readonly pool: string;
  /** `x` of its Ed25519 JWK. */
  readonly publicKey: string;
  labels: Record<string, string>;
  recipes: string[];
  capacity: number;
  version: string | null;
  engine: string | null;
  instance: string | null;
  epoch: number;
  connected: boolean;
  /** Last stored sign of life (ms): hello, close, or the start of a pool that lost the socket. */
  seenAt: number | null;
  /** Time of the newest nonce it used (ms). */
  nonceAt: number;
  unwell: string | null;
  draining: boolean;
  /** It drained, held nothing and closed its socket: nobody waits for it. */
  departed: boolean;
  /** An operator's reason to give it no work. */
  cordon: string | null;
  /** In memory only: it is being welcomed, and hears of no new work before. */
  welcoming: boolean;
  /** In memory only: it said that it is busy although the pool counts a free slot (ms). */
  pausedUntil: number;
  /** In memory only: it did not answer an assign in time, and gets no work until then (ms) or its next word. */
  doubtedUntil: number;
  /** In memory only: when it was given work last, to spread builds over equals (ms). */
  assignedAt: number;
};

type AgentRow = {
  agent: string;
  name: string;
  pool: string;
  public_key: string;
  labels: string;
  recipes: string;
  capacity: number;
  version: string | null;
  engine: string | null;
  instance: string | null;
  epoch: number;
  connected: number;
  seen_at: number | null;
  nonce_at: number;
  unwell: string | null;
  draining: number;
  departed: number;
  cordon: string | null;
};

export class Registry {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #wire: Wire;
  readonly #agents = new Map<string, Agent>();
  /** Agents whose socket did not survive the restart of this object. */
  readonly lostAtStart: Agent[] = [];

  /** Loads the agents. Those whose socket did not survive get a full lease from now on (rule 9). */
  constructor(sql: Sql, clock: Clock, random: Random, wire: Wire) {
    this.#sql = sql;
    this.#clock = clock;
    this.#random = random;
    this.#wire = wire;
    for (const row of sql.exec<AgentRow>("SELECT * FROM agents")) {
      const agent = fromRow(row);
      this.#agents.set(agent.agent, agent);
      if (agent.connected && wire.lastPing(agent.agent, agent.epoch) === null) {
        this.disconnected(agent, clock.now(), false);
        this.lostAtStart.push(agent);
      }
    }
  }

  get(agent: string): Agent | undefined {
    return this.#agents.get(agent);
  }

  all(): Iterable<Agent> {
    return this.#agents.values();
  }

  /** Adds an agent; null when another one of the pool has the name. */
  register(request: RegisterRequest): Agent | null {
    for (const { name } of this.#agents.values()) if (name === request.name) return null;
    const agent = `${request.pool}.${this.#random.hex(8)}`;
    const row = this.#sql.exec<AgentRow>(
      "INSERT INTO agents (agent, name, pool, public_key, labels) VALUES (?, ?, ?, ?, ?) RETURNING *",
      agent,
      request.name,
      request.pool,
      request.public_key.x,
      JSON.stringify(request.labels),
    )[0] as AgentRow;
    const added = fromRow(row);
    this.#agents.set(agent, added);
    return added;
  }

  /** From here on its key opens nothing. */
  remove(agent: Agent): void {
    this.#sql.exec("DELETE FROM agents WHERE agent = ?", agent.agent);
    this.#agents.delete(agent.agent);
  }

  /** The time (ms) that a new nonce carries: past every one used, even if the clock was set back. */
  nonceTime(agent: Agent): number {
    return Math.max(this.#clock.now(), agent.nonceAt + 1);
  }

  /** Uses up a nonce made at `at` (ms): false when the agent has used it, or a newer one, before. */
  useNonce(agent: Agent, at: number): boolean {
    if (at <= agent.nonceAt) return false;
    agent.nonceAt = at;
    this.#sql.exec("UPDATE agents SET nonce_at = ? WHERE agent = ?", at, agent.agent);
    return true;
  }

  /** Takes what a hello says and raises the epoch, which outdates every older socket. */
  greet(agent: Agent, hello: Hello): void {
    const sameProcess = agent.instance === hello.instance;
    agent.labels = hello.labels;
    agent.recipes = hello.recipes;
    agent.capacity = hello.capacity;
    agent.version = hello.version;
    agent.engine = hello.engine;
    agent.instance = hello.instance;
    agent.unwell = hello.unwell;
    agent.draining = hello.draining || (agent.draining && sameProcess);
    agent.epoch += 1;
    agent.connected = true;
    agent.departed = false;
    agent.seenAt = this.#clock.now();
    agent.doubtedUntil = 0;
    agent.pausedUntil = 0;
    this.#store(agent);
  }

  /** Takes a status frame. A process that drains does so to its end. */
  report(agent: Agent, status: Extract<ControlUp, { t: "status" }>): void {
    agent.capacity = status.capacity;
    agent.unwell = status.unwell;
    agent.draining ||= status.draining;
    this.#store(agent);
  }

  setCordon(agent: Agent, reason: string | null): void {
    agent.cordon = reason;
    this.#store(agent);
  }

  setDraining(agent: Agent): void {
    agent.draining = true;
    this.#store(agent);
  }

  setUnwell(agent: Agent, reason: string): void {
    agent.unwell = reason;
    this.#store(agent);
  }

  /** Its socket is gone: suspect at once, expired LEASE_EXPIRY_MS after `seenAt` (ms); gone at once if it `departed`. */
  disconnected(agent: Agent, seenAt: number, departed: boolean): void {
    agent.connected = false;
    agent.seenAt = seenAt;
    agent.departed = departed;
    this.#sql.exec(
      "UPDATE agents SET connected = 0, seen_at = ?, departed = ? WHERE agent = ?",
      seenAt,
      departed ? 1 : 0,
      agent.agent,
    );
  }

  /** Last sign of life (ms): never another machine's clock. */
  lastSeen(agent: Agent): number | null {
    const ping = agent.connected ? this.#wire.lastPing(agent.agent, agent.epoch) : null;
    return ping ?? agent.seenAt;
  }

  status(agent: Agent): AgentView["status"] {
    const seen = this.lastSeen(agent);
    if (seen === null || agent.departed) return "gone";
    const now = this.#clock.now();
    const silence = now - seen;
    if (silence >= LEASE_EXPIRY_MS) return "gone";
    const fresh = agent.connected && silence <= SUSPECT_AFTER_MS && now >= agent.doubtedUntil;
    return fresh ? "connected" : "suspect";
  }

  /** Whether some agent may take work again without a word: pings wake nobody, and pauses just end. */
  anyMayReturn(): boolean {
    const now = this.#clock.now();
    for (const agent of this.#agents.values())
      if (agent.connected && (agent.pausedUntil > now || this.status(agent) === "suspect"))
        return true;
    return false;
  }

  /** When the next agent whose socket is gone counts as gone itself (ms): nothing else tells of it. Null for none. */
  nextGone(): number | null {
    const times = Array.from(this.#agents.values(), (agent) =>
      !agent.connected && this.status(agent) === "suspect" ? agent.seenAt : null,
    ).filter((seen) => seen !== null);
    return times.length === 0 ? null : Math.min(...times) + LEASE_EXPIRY_MS;
  }

  /** Null when nothing holds it back. */
  heldBack(agent: Agent): HeldBack | null {
    if (agent.cordon !== null) return { kind: "cordoned", reason: agent.cordon };
    if (agent.unwell !== null) return { kind: "unwell", reason: agent.unwell };
    return agent.draining ? { kind: "draining", reason: "it is about to end" } : null;
  }

  view(agent: Agent, running: Held[]): AgentView {
    const seen = this.lastSeen(agent);
    const status = this.status(agent);
    return {
      agent: agent.agent,
      name: agent.name,
      pool: agent.pool,
      labels: agent.labels,
      recipes: agent.recipes,
      capacity: agent.capacity,
      running,
      version: agent.version,
      status,
      last_seen: seen === null ? null : new Date(seen).toISOString(),
      draining: agent.draining && status !== "gone",
      cordoned: agent.cordon ?? agent.unwell,
      unwell: agent.unwell,
    };
  }

  #store(agent: Agent): void {
    this.#sql.exec(
      `UPDATE agents SET labels = ?, recipes = ?, capacity = ?, version = ?, engine = ?, instance = ?,
         epoch = ?, connected = ?, seen_at = ?, unwell = ?, draining = ?, departed = ?, cordon = ? WHERE agent = ?`,
      JSON.stringify(agent.labels),
      JSON.stringify(agent.recipes),
      agent.capacity,
      agent.version,
      agent.engine,
      agent.instance,
      agent.epoch,
      agent.connected ? 1 : 0,
      agent.seenAt,
      agent.unwell,
      agent.draining ? 1 : 0,
      agent.departed ? 1 : 0,
      agent.cordon,
      agent.agent,
    );
  }
}

function fromRow(row: AgentRow): Agent {
  return {
    agent: row.agent,
    name: row.name,
    pool: row.pool,
    publicKey: row.public_key,
    labels: JSON.parse(row.labels),
    recipes: JSON.parse(row.recipes),
    capacity: row.capacity,
    version: row.version,
    engine: row.engine,
    instance: row.instance,
    epoch: row.epoch,
    connected: row.connected === 1,
    seenAt: row.seen_at,
    nonceAt: row.nonce_at,
    unwell: row.unwell,
    draining: row.draining === 1,
    departed: row.departed === 1,
    cordon: row.cordon,
    welcoming: false,
    pausedUntil: 0,
    doubtedUntil: 0,
    assignedAt: 0,
  };
}
