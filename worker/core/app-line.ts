/** The order of a project's deploys: one after the other, the newest of those that wait. */

import { KEPT_DEPLOYMENTS } from "../../shared/recipes/app.ts";
import type { DeployRequest, ReplicaBuilt } from "./app-contracts.ts";
import type { AppParts } from "./app-ports.ts";
import type { Replicas, Token } from "./app-replicas.ts";
import type { DeploymentRow, ReplicaRow } from "./app-rows.ts";

/** Deployments that a project's history shows. */
const HISTORY = 50;

type Asked = Omit<DeployRequest, "project"> & { rollback_of: number | null };

export class DeployLine {
  readonly #parts: AppParts;
  readonly #replicas: Replicas;

  constructor(parts: AppParts, replicas: Replicas) {
    this.#parts = parts;
    this.#replicas = replicas;
  }

  /** Puts a deploy in line, behind what is being deployed and in place of what waits. Call it in a transaction. */
  open(project: string, asked: Asked, tokens: readonly Token[]): number {
    const { rows, ports } = this.#parts;
    rows.found(project);
    for (const waiting of this.#pending().slice(1)) this.#end(waiting, "superseded", null, 0);
    const { generation } = rows.addDeployment({
      ...asked,
      state: this.#pending().length === 0 ? "deploying" : "waiting",
      reason: null,
      created_at: ports.clock.now(),
      live_at: null,
      ended_at: null,
    });
    for (const [replica, token] of tokens.entries())
      this.#replicas.add(generation, replica, replica === 0 ? asked.build : null, token);
    return generation;
  }

  /** Undoes a deploy that nobody was promised. */
  takeBack(generation: number): void {
    const { rows } = this.#parts;
    rows.transaction(() => {
      for (const replica of rows.replicas(generation)) this.#replicas.drop(replica, 0);
      rows.removeDeployment(generation);
      if (rows.deployments().length === 0) rows.forget();
    });
  }

  /** The kept deployment `generation`, or the one that served before the present one. */
  before(generation: number | null): DeploymentRow | null {
    const { rows } = this.#parts;
    const kept = rows.deployments().filter(isKept);
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
      if (deployment.state === "live") this.#replicas.drop(replica, 0);
      else this.#end(deployment, "failed", why, 0);
    });
  }

  /** Goes live with whatever is next and ready. */
  async advance(drain_ms: number): Promise<void> {
    const { rows, ports } = this.#parts;
    // One that was ready and is away says so again when it is back: nothing that serves is removed for it.
    const isThere = ({ stage, build }: ReplicaRow) =>
      stage === "ready" && ports.sockets.isOpen(build);
    for (;;) {
      const next = this.#pending()[0];
      if (next === undefined) return;
      if (next.state === "waiting") rows.patchDeployment(next.generation, { state: "deploying" });
      const replicas = rows.replicas(next.generation);
      if (!replicas.every(isThere)) return;
      if (!(await this.#goLive(next, drain_ms))) return;
    }
  }

  /** False when nothing is decided yet: the routes did not answer. */
  async #goLive(deployment: DeploymentRow, drain_ms: number): Promise<boolean> {
    const { rows, ports, deadlines } = this.#parts;
    const project = rows.project();
    if (project === null) return false;
    const { generation, rule } = deployment;
    const answer = await ports
      .routes()
      .put({ project: project.name, rule })
      .catch((error: unknown) => ports.report("routes", error));
    // An await lies behind: it may have failed, or been removed.
    if (answer === undefined || this.#pending()[0]?.generation !== generation) return false;
    if (answer.kind === "taken") {
      const why = `The project ${answer.by} has the rule ${rule} by now.`;
      rows.transaction(() => this.#end(deployment, "failed", why, 0));
      return true;
    }
    const now = ports.clock.now();
    rows.transaction(() => {
      const old = project.current === null ? null : rows.deployment(project.current);
      rows.setCurrent(generation);
      rows.patchDeployment(generation, { state: "live", live_at: now });
      for (const { build } of rows.replicas(generation))
        rows.patchReplica(build, { stage: "live" });
      if (old !== null) this.#end(old, "replaced", null, drain_ms);
      this.#prune();
    });
    const fingerprints = rows
      .deployments()
      .filter(isKept)
      .map((kept) => kept.fingerprint);
    for (const { build } of rows.replicas(generation)) {
      ports.sockets.send(build, { t: "live" });
      ports.sockets.send(build, { t: "keep", fingerprints: [...new Set(fingerprints)] });
    }
    this.#replicas.look();
    deadlines.rearm();
    return true;
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
    this.#dropContexts();
  }

  /** Forgets what is too old to go back to, and to be shown. */
  #prune(): void {
    const { rows } = this.#parts;
    const served = rows.deployments().filter(isKept);
    for (const { generation } of served.slice(KEPT_DEPLOYMENTS))
      rows.patchDeployment(generation, { context: null });
    for (const { generation, state } of rows.deployments().slice(HISTORY))
      if (state !== "live") rows.removeDeployment(generation);
    this.#dropContexts(served);
  }

  /** Removes contexts from the bucket that no deployment needs. Rollbacks share them. */
  #dropContexts(known: readonly DeploymentRow[] = []): void {
    const { rows, outbox } = this.#parts;
    const all = rows.deployments();
    const needed = new Set(all.filter(needsContext).map(({ context }) => context?.key));
    for (const { generation, context } of [...all, ...known]) {
      if (context === null || needed.has(context.key)) continue;
      rows.patchDeployment(generation, { context: null });
      outbox.put("context", context.key, null);
    }
  }

  /** Deployments that are not live yet and may still be, oldest first. */
  #pending(): DeploymentRow[] {
    return this.#parts.rows
      .deployments()
      .filter(({ state }) => state === "deploying" || state === "waiting")
      .reverse();
  }
}

/** Whether one can go back to it. */
function isKept({ state, context }: DeploymentRow): boolean {
  return context !== null && (state === "live" || state === "replaced");
}

function needsContext(deployment: DeploymentRow): boolean {
  return isKept(deployment) || deployment.state === "deploying" || deployment.state === "waiting";
}
