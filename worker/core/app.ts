/**
 * One web app (spec apps.md): which deployment serves, what is to come, and on which agents. Deploys go live in order; one
 * that fails leaves the one that serves alone. Runs and leases are apart: a replica serves without the edge as well, and is
 * moved only when its agent stays away (protocol rule 19).
 */
import type { AppUp, ProjectView } from "../../shared/apps.ts";
import type {
  AppRpc,
  DeployAnswer,
  DeployRefused,
  DeployRequest,
  EnvAnswer,
  ReplicaBuilt,
  RollbackAnswer,
} from "./app-contracts.ts";
import { AppEnv } from "./app-env.ts";
import { DeployLine } from "./app-line.ts";
import { AppMail } from "./app-mail.ts";
import type { AppPorts } from "./app-ports.ts";
import { Replicas } from "./app-replicas.ts";
import { AppRoute } from "./app-route.ts";
import { AppRows, type ReplicaRow } from "./app-rows.ts";
import { viewOf } from "./app-view.ts";
import type { Caller } from "./contracts.ts";
import { Deadlines } from "./deadlines.ts";
import { Outbox } from "./outbox.ts";

export class AppCore implements AppRpc {
  readonly #ports: AppPorts;
  readonly #rows: AppRows;
  readonly #outbox: Outbox;
  readonly #deadlines: Deadlines;
  readonly #env: AppEnv;
  readonly #mail: AppMail;
  readonly #replicas: Replicas;
  readonly #line: DeployLine;

  constructor(ports: AppPorts) {
    this.#ports = ports;
    this.#rows = new AppRows(ports.sql);
    this.#outbox = new Outbox(ports, (message) => this.#mail.deliver(message));
    this.#deadlines = new Deadlines(ports, this.#outbox);
    const parts = { ports, rows: this.#rows, outbox: this.#outbox, deadlines: this.#deadlines };
    this.#env = new AppEnv(parts);
    this.#replicas = new Replicas(parts);
    this.#line = new DeployLine(parts, this.#replicas);
    this.#mail = new AppMail(parts, this.#env, new AppRoute(parts, this.#line));
  }

  /** Call it once the object is there again: re-arms the alarm, and takes up what its predecessor left. */
  resume(): void {
    if (!this.#rows.ready) return;
    this.#replicas.look();
    this.#settleLater();
  }

  async alarm(): Promise<void> {
    if (!this.#rows.ready) return;
    await this.#deadlines.run((name) => this.#replicas.expire(name));
    await this.#settle();
  }

  // ---- for the API ------------------------------------------------------------------------------

  async deploy(request: DeployRequest): Promise<DeployAnswer> {
    const known = this.#rows.deploymentOf(request.build);
    if (known !== null) return { kind: "ok", generation: known.generation, build: known.build };
    const by = await this.#ports.routes().holder(request.rule);
    if (by !== null && by !== request.project) return { kind: "refused", code: "rule_taken", by };
    const { project, ...rest } = request;
    return this.#open(project, { ...rest, rollback_of: null });
  }

  async rollback(to: number | null, build: string, caller: Caller): Promise<RollbackAnswer> {
    const known = this.#rows.deploymentOf(build);
    if (known !== null) return { kind: "ok", generation: known.generation, build };
    const project = this.#rows.project();
    if (project === null) return { kind: "refused", code: "unknown" };
    const target = this.#line.before(to);
    if (target?.context == null) {
      const kept = this.#line.kept().map(({ generation }) => generation);
      return { kind: "refused", code: "not_kept", kept };
    }
    const { rule, settings, fingerprint, context, generation } = target;
    return this.#open(project.name, {
      build,
      caller,
      rule,
      settings,
      fingerprint,
      context,
      rollback_of: generation,
    });
  }

  async view(): Promise<ProjectView | null> {
    return viewOf(this.#rows, this.#ports.sockets);
  }

  async remove(): Promise<boolean> {
    const project = this.#rows.project();
    if (project === null) return false;
    const builds = this.#rows.replicas().map(({ build }) => build);
    this.#rows.transaction(() => {
      for (const build of builds) this.#outbox.put("cancel", build, null);
      for (const { context } of this.#rows.deployments())
        if (context !== null) this.#outbox.put("context", context.key, null);
      this.#deadlines.clearAll();
      this.#rows.forget();
      this.#outbox.put("listing", project.name, null);
    });
    for (const build of builds) {
      this.#ports.sockets.send(build, { t: "remove", drain_ms: 0 });
      this.#ports.sockets.end(build);
    }
    await this.#settle();
    return true;
  }

  async setEnv(project: string, changes: Record<string, string | null>): Promise<EnvAnswer> {
    const answer = await this.#env.set(project, changes);
    if (answer.kind === "ok") await this.#settle();
    return answer;
  }

  // ---- for the Build ----------------------------------------------------------------------------

  async built(end: ReplicaBuilt): Promise<void> {
    this.#line.built(end);
    await this.#settle();
  }

  // ---- for the agents ---------------------------------------------------------------------------

  /** Whether `token` opens the socket of that replica. */
  async admits(build: string, token: string): Promise<boolean> {
    const digest = await this.#ports.vault.digest(token);
    return this.#rows.replica(build)?.serve === digest;
  }

  async receive(build: string, frame: AppUp): Promise<void> {
    const replica = this.#rows.replica(build);
    if (replica === null) this.#ports.sockets.send(build, { t: "remove", drain_ms: 0 });
    else if (frame.t === "ready") {
      this.#line.ready(replica);
      await this.#settle();
    } else this.#replicas.heard(replica, frame);
  }

  /** A socket was closed. */
  closed(): void {
    this.#replicas.look();
    this.#deadlines.rearm();
  }

  exists(): boolean {
    return this.#rows.project() !== null;
  }

  /** Replicas that requests may go to: the well ones, where there are any. */
  serving(): ReplicaRow[] {
    const current = this.#rows.project()?.current ?? null;
    if (current === null) return [];
    const live = this.#rows
      .replicas(current)
      .filter(({ stage, build }) => stage === "live" && this.#ports.sockets.isOpen(build));
    const well = live.filter(({ state }) => state === "healthy");
    return well.length > 0 ? well : live;
  }

  // ---- inside -----------------------------------------------------------------------------------

  async #open(
    project: string,
    asked: Omit<DeployRequest, "project"> & { rollback_of: number | null },
  ): Promise<DeployAnswer> {
    this.#rows.prepare();
    const tokens = await this.#replicas.tokens(asked.settings.replicas);
    const generation = this.#rows.transaction(() => this.#line.open(project, asked, tokens));
    this.#mail.expect(asked.build);
    await this.#settle();
    const refused: DeployRefused | null = this.#mail.refusalOf(asked.build);
    if (refused === null) this.#line.supersede(generation);
    else this.#line.takeBack(generation);
    await this.#settle();
    return refused ?? { kind: "ok", generation, build: asked.build };
  }

  async #settle(): Promise<void> {
    this.#line.advance();
    await this.#outbox.send();
    // What going live has led to.
    await this.#outbox.send();
    this.#deadlines.rearm();
  }

  #settleLater(): void {
    this.#ports.background(this.#settle());
  }
}
