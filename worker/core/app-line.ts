/** The order of a project's deploys: one after the other, the newest of those that wait. */

import { KEPT_DEPLOYMENTS } from "../../shared/recipes/app.ts";
import type { DeployRequest, ReplicaBuilt } from "./app-contracts.ts";
import type { AppParts } from "./app-ports.ts";
import { forgetIfEmpty, foundProject } from "./app-project.ts";
import type { Replicas, Token } from "./app-replicas.ts";
import type { DeploymentRow, ReplicaRow } from "./app-rows.ts";

/** Deployments that a project's history shows, beside those that may be gone back to. */
const HISTORY = 50;
/** Milliseconds that a replaced replica has for the requests that it is at. */
const DRAIN_MS = 30_000;

type Asked = Omit<DeployRequest, "project"> & { rollback_of: number | null };

export class DeployLine {
  readonly #parts: AppParts;
  readonly #replicas: Replicas;

  constructor(parts: AppParts, replicas: Replicas) {
    this.#parts = parts;
    this.#replicas = replicas;
  }

  /** Puts a deploy in line. Call it in a transaction. */
  open(project: string, asked: Asked, tokens: readonly Token[]): number {
    const { rows, ports } = this.#parts;
    foundProject(this.#parts, project);
    const { generation } = rows.addDeployment({
      ...asked,
      state: this.#pending().length === 0 ? "deploying" : "waiting",
      reason: null,
      created_at: ports.clock.now(),
      live_at: null,
      ended_at: null,
    });
    rows.keepEnv(generation);
    for (const [replica, token] of tokens.entries())
      this.#replicas.add(generation, replica, replica === 0 ? asked.build : null, token);
    return generation;
  }

  /** A deploy was taken: what waits before it is not made any more. */
  supersede(generation: number): void {
    this.#parts.rows.transaction(() => {
      for (const waiting of this.#pending().slice(1))
        if (waiting.generation < generation) this.#end(waiting, "superseded", null, 0);
    });
  }

  /** Undoes a deploy that nobody was promised. */
  takeBack(generation: number): void {
    const { rows } = this.#parts;
    rows.transaction(() => {
      for (const replica of rows.replicas(generation)) this.#replicas.drop(replica, 0);
      rows.removeDeployment(generation);
      this.#begin();
      forgetIfEmpty(this.#parts);
    });
  }

  /** Those that may be gone back to, newest first; what serves is the first of them. */
  kept(): DeploymentRow[] {
    return this.#parts.rows.deployments().filter(isKept);
  }

  /** The kept deployment `generation`, or the one that served before the present one. */
  before(generation: number | null): DeploymentRow | null {
    const kept = this.kept();
    if (generation !== null) return kept.find((one) => one.generation === generation) ?? null;
    return kept.find(({ state }) => state === "replaced") ?? null;
  }

  /** This replica was healthy. */
  ready(replica: ReplicaRow): void {
    const { rows, ports } = this.#parts;
    const deployment = rows.deployment(replica.generation);
    if (deployment === null) return;
    if (replica.stage === "live") ports.sockets.send(replica.build, { t: "live" });
    else
      rows.transaction(() => {
        rows.patchReplica(replica.build, { stage: "ready", state: "healthy" });
        if (deployment.state === "live") this.#replace(replica);
      });
  }

  built({ build, outcome, reason }: ReplicaBuilt): void {
    const { rows } = this.#parts;
    const replica = rows.replica(build);
    if (replica === null || replica.stage === "live") return;
    const deployment = rows.deployment(replica.generation);
    if (deployment === null) return;
    const why = outcome === "succeeded" ? "It ended before it was live." : (reason ?? outcome);
    rows.transaction(() => {
      // A replacement: its place is looked at again when the deadline of the lost one comes back.
      if (deployment.state === "live") this.#replicas.giveUp(replica, why);
      else this.#end(deployment, "failed", why, 0);
    });
  }

  /** The deploy whose turn it is, once all its replicas are ready. */
  next(): DeploymentRow | null {
    const { rows, ports } = this.#parts;
    const [first] = this.#pending();
    if (first === undefined) return null;
    // One that was ready and is away says so again when it is back: nothing that serves is removed for it.
    const isThere = ({ stage, build }: ReplicaRow) =>
      stage === "ready" && ports.sockets.isOpen(build);
    return rows.replicas(first.generation).every(isThere) ? first : null;
  }

  /** Has the table of rules asked whether the next deploy may go live. */
  advance(): void {
    const { rows, outbox } = this.#parts;
    const project = rows.project();
    if (project !== null && this.next() !== null) outbox.put("listing", project.name, null);
  }

  /** What was `next` goes live, unless another project has its rule. */
  decide(deployment: DeploymentRow, holder: string | null): void {
    const { rows } = this.#parts;
    const { generation, rule } = deployment;
    // An await lies behind: it may have failed, be away, or been removed.
    if (this.next()?.generation !== generation) return;
    const why = `The project ${holder} has the rule ${rule} by now.`;
    if (holder === null) this.#goLive(deployment);
    else rows.transaction(() => this.#end(deployment, "failed", why, 0));
  }

  #goLive({ generation }: DeploymentRow): void {
    const { rows, ports } = this.#parts;
    const current = rows.project()?.current ?? null;
    rows.transaction(() => {
      const old = current === null ? null : rows.deployment(current);
      rows.setCurrent(generation);
      rows.patchDeployment(generation, { state: "live", live_at: ports.clock.now() });
      for (const { build } of rows.replicas(generation))
        rows.patchReplica(build, { stage: "live" });
      if (old !== null) this.#end(old, "replaced", null, DRAIN_MS);
      this.#begin();
    });
    const fingerprints = this.kept().map(({ fingerprint }) => fingerprint);
    for (const { build } of rows.replicas(generation)) {
      ports.sockets.send(build, { t: "live" });
      ports.sockets.send(build, { t: "keep", fingerprints: [...new Set(fingerprints)] });
    }
    this.#replicas.look();
  }

  /** A replacement takes the place of the one that was lost. */
  #replace(replica: ReplicaRow): void {
    const { rows, ports } = this.#parts;
    rows.patchReplica(replica.build, { stage: "live" });
    for (const other of rows.replicas(replica.generation))
      if (other.replica === replica.replica && other.build !== replica.build)
        this.#replicas.drop(other, 0);
    ports.sockets.send(replica.build, { t: "live" });
  }

  /** Ends a deployment: its replicas go, after `drain_ms` for the requests that they are at. */
  #end(
    { generation }: DeploymentRow,
    state: "failed" | "superseded" | "replaced",
    reason: string | null,
    drain_ms: number,
  ): void {
    const { rows, ports } = this.#parts;
    for (const replica of rows.replicas(generation)) this.#replicas.drop(replica, drain_ms);
    rows.patchDeployment(generation, { state, reason, ended_at: ports.clock.now() });
    rows.dropEnv(generation);
    this.#begin();
    this.#prune();
  }

  /** Whoever is first in line is being made. */
  #begin(): void {
    const [first] = this.#pending();
    if (first?.state === "waiting")
      this.#parts.rows.patchDeployment(first.generation, { state: "deploying" });
  }

  /**
   * Forgets what is too old to go back to, and to be shown. Contexts that no deployment needs go from the bucket: rollbacks
   * share them.
   */
  #prune(): void {
    const { rows, outbox } = this.#parts;
    const all = rows.deployments();
    const needed = new Set([
      ...all.filter(isPending),
      ...all.filter(isKept).slice(0, KEPT_DEPLOYMENTS),
    ]);
    const keys = new Set(Array.from(needed, ({ context }) => context?.key));
    for (const [age, deployment] of all.entries()) {
      if (needed.has(deployment)) continue;
      const { generation, context } = deployment;
      if (context !== null && !keys.has(context.key)) outbox.put("context", context.key, null);
      if (age >= HISTORY) rows.removeDeployment(generation);
      else if (context !== null) rows.patchDeployment(generation, { context: null });
    }
  }

  /** Deployments that are not live yet and may still be, oldest first. */
  #pending(): DeploymentRow[] {
    return this.#parts.rows.deployments().filter(isPending).reverse();
  }
}

/** Whether one can go back to it. */
export function isKept({ state, context }: DeploymentRow): boolean {
  return context !== null && (state === "live" || state === "replaced");
}

function isPending({ state }: DeploymentRow): boolean {
  return state === "deploying" || state === "waiting";
}
