/** The replicas of an app: their tokens, how they are, and what is done when one's agent stays away. */
import type { AppUp } from "../../shared/apps.ts";
import type { AppParts } from "./app-ports.ts";
import type { ReplicaRow } from "./app-rows.ts";

/** Milliseconds that a live replica's agent may be away before it is made anew elsewhere. */
export const APP_GONE_MS = 120_000;
/** Milliseconds before a replacement that failed is tried again. */
const HEAL_MS = 60_000;
/** Bytes of a token, and of a build id. */
const TOKEN_BYTES = 32;
const BUILD_ID_BYTES = 16;

export type Token = Pick<ReplicaRow, "serve" | "sealed">;

export class Replicas {
  readonly #parts: AppParts;

  constructor(parts: AppParts) {
    this.#parts = parts;
  }

  /** Tokens for that many replicas. */
  async tokens(count: number): Promise<Token[]> {
    const { random, vault } = this.#parts.ports;
    return Promise.all(
      Array.from({ length: count }, async () => {
        const token = random.hex(TOKEN_BYTES);
        return { serve: await vault.digest(token), sealed: await vault.seal(token) };
      }),
    );
  }

  heard(replica: ReplicaRow, frame: Exclude<AppUp, { t: "ready" }>): void {
    const { rows, deadlines } = this.#parts;
    const { state, restarts } = frame;
    const who = frame.t === "hello" ? { agent: frame.agent, name: frame.name, reason: null } : {};
    rows.transaction(() => {
      rows.patchReplica(replica.build, { state, restarts, ...who });
      deadlines.clear(gone(replica));
    });
    deadlines.rearm();
  }

  /** Notes which live replicas are away, and which came back. */
  look(): void {
    const { rows, deadlines, ports } = this.#parts;
    const current = rows.project()?.current ?? null;
    for (const replica of rows.replicas()) {
      const missed =
        replica.stage === "live" &&
        replica.generation === current &&
        !ports.sockets.isOpen(replica.build);
      if (!missed) deadlines.clear(gone(replica));
      else if (deadlines.at(gone(replica)) === null)
        deadlines.set(gone(replica), ports.clock.now() + APP_GONE_MS);
    }
  }

  /** What falls due: `gone:<build>`. */
  async expire(name: string): Promise<void> {
    const { rows, deadlines, ports } = this.#parts;
    const replica = rows.replica(name.slice(GONE.length));
    const current = rows.project()?.current ?? null;
    if (replica === null || replica.generation !== current || ports.sockets.isOpen(replica.build)) {
      deadlines.clear(name);
      return;
    }
    const [token] = await this.tokens(1);
    // An await lies behind: it may be back.
    if (token === undefined || ports.sockets.isOpen(replica.build)) return deadlines.clear(name);
    rows.transaction(() => {
      deadlines.set(name, ports.clock.now() + HEAL_MS);
      if (this.#others(replica).length === 0)
        this.add(replica.generation, replica.replica, null, token);
    });
  }

  /** Opens a build for a place. `build`: its id; null for a fresh one. */
  add(generation: number, replica: number, build: string | null, token: Token): void {
    const { rows, outbox, ports } = this.#parts;
    const id = build ?? ports.random.hex(BUILD_ID_BYTES);
    rows.addReplica({ build: id, generation, replica, ...token });
    outbox.put("build", id, null);
  }

  /** Takes a replica out: its build ends, its container goes. */
  drop(replica: ReplicaRow, drain_ms: number): void {
    const { rows, outbox, deadlines, ports } = this.#parts;
    outbox.drop("build", replica.build);
    // A build that has ended well refuses it, and that is that.
    outbox.put("cancel", replica.build, null);
    deadlines.clear(gone(replica));
    rows.removeReplica(replica.build);
    ports.sockets.send(replica.build, { t: "remove", drain_ms });
  }

  /** A replacement failed: those that were lost in its place say why. */
  giveUp(replacement: ReplicaRow, reason: string): void {
    for (const { build } of this.#others(replacement))
      this.#parts.rows.patchReplica(build, { reason });
    this.drop(replacement, 0);
  }

  /** In the same place. */
  #others({ build, generation, replica }: ReplicaRow): ReplicaRow[] {
    return this.#parts.rows
      .replicas(generation)
      .filter((other) => other.replica === replica && other.build !== build);
  }
}

const GONE = "gone:";

function gone({ build }: Pick<ReplicaRow, "build">): string {
  return `${GONE}${build}`;
}
