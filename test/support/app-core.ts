/** The core of an App over memory: its builds are remembered, its table of rules may be slow. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { AppDown } from "../../shared/apps.ts";
import { appSettingsSchema } from "../../shared/recipes/app.ts";
import { AppCore } from "../../worker/core/app.ts";
import type { DeployRequest } from "../../worker/core/app-contracts.ts";
import { APP_GONE_MS } from "../../worker/core/app-replicas.ts";
import type { BuildRequest, EnsureAnswer } from "../../worker/core/contracts.ts";
import { RoutesCore } from "../../worker/core/routes.ts";
import { openSql } from "./sql.ts";

export const QUEUE_FULL = { kind: "refused", code: "queue_full", retry_after_s: 5 } as const;

export const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** The table of rules, as slow and as unwell as a test has it. */
class TestRoutes extends RoutesCore {
  /** Calls of `put` that are not answered. */
  faults = 0;
  /** What `put` waits for before it is done, and before its answer arrives. */
  before: Promise<void> | null = null;
  after: Promise<void> | null = null;
  /** How often it was asked, and could hear it. */
  puts = 0;

  override async put(...asked: Parameters<RoutesCore["put"]>): ReturnType<RoutesCore["put"]> {
    if (this.faults > 0) {
      this.faults--;
      throw new Error("the object restarts");
    }
    this.puts++;
    await this.before;
    const answer = await super.put(...asked);
    await this.after;
    return answer;
  }
}

/** One App over memory, with builds that are only remembered. */
export class World {
  now = Date.UTC(2026, 0, 1);
  alarmAt: number | null = null;
  readonly builds = new Map<string, BuildRequest>();
  readonly cancelled: string[] = [];
  readonly dropped: string[] = [];
  readonly sent: [build: string, frame: AppDown][] = [];
  readonly open = new Set<string>();
  /** The pool's next word; an Error for none. */
  answer: EnsureAnswer | Error | null = null;
  readonly routes = new TestRoutes(openSql());
  /** Faults that were survived, as the operator reads them. */
  readonly reports: string[] = [];
  readonly #sql = openSql();
  #serial = 0;
  app = this.#wake();

  /** The object dies, and is there again over what it had stored. */
  restart(): void {
    this.app = this.#wake();
    this.app.resume();
  }

  #wake(): AppCore {
    return new AppCore({
      sql: this.#sql,
      clock: { now: () => this.now },
      random: { hex: (bytes) => sha256(`${++this.#serial}`).slice(0, 2 * bytes) },
      alarm: {
        set: (at) => {
          this.alarmAt = at;
        },
      },
      sockets: {
        isOpen: (build) => this.open.has(build),
        send: (build, frame) => void (this.open.has(build) && this.sent.push([build, frame])),
        end: (build) => void this.open.delete(build),
      },
      vault: {
        seal: async (text) => `sealed:${text}`,
        unseal: async (sealed) => sealed.slice(7),
        digest: async (text) => sha256(text),
      },
      build: (id) => ({
        ensure: async (_, request) => {
          if (this.answer instanceof Error) throw this.answer;
          if (this.answer !== null) return this.answer;
          this.builds.set(id, request);
          return { kind: "ok", build: summary(id) };
        },
        cancel: async () => {
          this.cancelled.push(id);
          return { kind: "refused", code: "unknown" };
        },
      }),
      routes: () => this.routes,
      pool: () => "default",
      dropContext: async (key) => void this.dropped.push(key),
      background: (work) => void work,
      report: (what) => void this.reports.push(what),
    });
  }

  /** Lets what is under way settle, and the time pass. */
  async pass(ms: number): Promise<void> {
    this.now += ms;
    await this.app.alarm();
  }

  request(more: Partial<DeployRequest> = {}): DeployRequest {
    const build = sha256(`build ${++this.#serial}`).slice(0, 32);
    return {
      project: "shop",
      rule: "Host:shop.example",
      settings: appSettingsSchema.parse({}),
      fingerprint: sha256(build),
      build,
      context: { key: `contexts/${build}`, size: 1, sha256: sha256(build) },
      caller: "admin",
      ...more,
    };
  }

  async deploy(more: Partial<DeployRequest> = {}): Promise<string> {
    const request = this.request(more);
    assert.equal((await this.app.deploy(request)).kind, "ok");
    return request.build;
  }

  /** The agent of a replica connects; with its token, which is what admits it. */
  async connect(build: string, agent = "smithy"): Promise<void> {
    const { serve } = JSON.parse(this.builds.get(build)?.credential?.slice(7) ?? "{}");
    assert.ok(await this.app.admits(build, serve));
    assert.ok(!(await this.app.admits(build, `${serve}x`)));
    this.open.add(build);
    await this.app.receive(build, {
      t: "hello",
      protocol: 1,
      agent,
      name: agent,
      state: "healthy",
      restarts: 0,
    });
  }

  async goLive(build: string, agent?: string): Promise<void> {
    await this.connect(build, agent);
    await this.app.receive(build, { t: "ready", attempt: 1 });
    await this.app.built({ build, outcome: "succeeded", class: null, reason: null });
  }

  /** The variables that a build was given. */
  envOf(build: string): unknown {
    return JSON.parse(this.builds.get(build)?.credential?.slice(7) ?? "{}").env;
  }

  told(build: string): string[] {
    return this.sent.filter(([to]) => to === build).map(([, { t }]) => t);
  }

  serving(): string[] {
    return this.app.serving().map(({ build }) => build);
  }
}

function summary(build_id: string) {
  const rest = { class: null, reason: null, position: 1, queue: null, attempt: 0, commit: null };
  return { build_id, state: "queued", ...rest } as const;
}

/** A live replica's agent stays away: the build that makes it anew. */
export async function madeAnew(world: World, lost: string): Promise<string> {
  world.open.delete(lost);
  world.app.closed();
  await world.pass(APP_GONE_MS);
  return [...world.builds.keys()].at(-1) as string;
}
