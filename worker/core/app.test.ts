import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { AppDown } from "../../shared/apps.ts";
import { appSettingsSchema, KEPT_DEPLOYMENTS } from "../../shared/recipes/app.ts";
import { openSql } from "../../test/support/sql.ts";
import { AppCore } from "./app.ts";
import type { DeployRequest } from "./app-contracts.ts";
import { APP_GONE_MS } from "./app-replicas.ts";
import type { BuildRequest, EnsureAnswer } from "./contracts.ts";
import { RoutesCore } from "./routes.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** One App over memory, with builds that are only remembered. */
class World {
  now = Date.UTC(2026, 0, 1);
  alarmAt: number | null = null;
  readonly builds = new Map<string, BuildRequest>();
  readonly cancelled: string[] = [];
  readonly dropped: string[] = [];
  readonly sent: [build: string, frame: AppDown][] = [];
  readonly open = new Set<string>();
  answer: EnsureAnswer | null = null;
  readonly routes = new RoutesCore(openSql());
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
      report: (what, error) => assert.fail(`${what}: ${String(error)}`),
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

test("a deploy serves once its replica is ready, and its rule is in the table then", async () => {
  const world = new World();
  const build = await world.deploy();
  assert.deepEqual(await world.routes.list(), []);
  await world.goLive(build);
  assert.deepEqual(world.serving(), [build]);
  assert.deepEqual(await world.routes.list(), [{ project: "shop", rule: "Host:shop.example" }]);
  assert.deepEqual(world.told(build), ["live", "keep"]);
});

test("a deploy whose agent is away when its turn comes goes live once it is back; what serves goes on", async () => {
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first);
  const stuck = await world.deploy();
  const next = await world.deploy();
  await world.connect(next);
  await world.app.receive(next, { t: "ready", attempt: 1 });
  world.open.delete(next);
  world.app.closed();
  await world.app.built({ build: stuck, outcome: "failed", class: null, reason: "broken" });
  assert.deepEqual(world.serving(), [first]);
  await world.goLive(next);
  assert.deepEqual(world.serving(), [next]);
});

test("a deploy that the pool refuses leaves no project behind", async () => {
  const world = new World();
  world.answer = { kind: "refused", code: "queue_full", retry_after_s: 5 };
  const answer = await world.app.deploy(world.request());
  assert.deepEqual(answer, { kind: "refused", code: "queue_full", retry_after_s: 5 });
  assert.equal(await world.app.view(), null);
});

test("a deploy is posted once, however often it is said", async () => {
  const world = new World();
  const request = world.request();
  const first = await world.app.deploy(request);
  assert.deepEqual(await world.app.deploy(request), first);
  assert.equal((await world.app.view())?.deployments.length, 1);
});

test("a replica whose agent stays away is made anew elsewhere; the old one is nobody's then", async () => {
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first, "smithy-1");
  world.open.delete(first);
  world.app.closed();
  await world.pass(APP_GONE_MS - 1);
  assert.equal(world.builds.size, 1, "it may come back");
  await world.pass(1);
  const second = [...world.builds.keys()][1] as string;
  assert.deepEqual(world.builds.get(second)?.avoid, ["smithy-1"]);
  await world.goLive(second, "smithy-2");
  assert.deepEqual(world.serving(), [second]);
  const { serve } = JSON.parse(world.builds.get(first)?.credential?.slice(7) ?? "{}");
  assert.equal(await world.app.admits(first, serve), false);
});

test("a replica that comes back in time is left alone, also over a restart of its object", async () => {
  const world = new World();
  const build = await world.deploy();
  await world.goLive(build);
  world.open.delete(build);
  world.restart();
  await world.pass(APP_GONE_MS / 2);
  await world.connect(build);
  await world.pass(APP_GONE_MS);
  assert.equal(world.builds.size, 1);
  assert.deepEqual(world.serving(), [build]);
});

test("a replacement that fails is tried again, and what served goes on being what should", async () => {
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first);
  world.open.delete(first);
  world.app.closed();
  await world.pass(APP_GONE_MS);
  const second = [...world.builds.keys()][1] as string;
  await world.app.built({ build: second, outcome: "failed", class: "build_error", reason: "no" });
  assert.equal((await world.app.view())?.deployments[0]?.state, "live");
  await world.pass(60_000);
  assert.equal(world.builds.size, 3);
});

test("a failed replica fails its deploy as a whole; the others' builds end", async () => {
  const world = new World();
  const good = await world.deploy();
  await world.goLive(good);
  await world.deploy({ settings: appSettingsSchema.parse({ replicas: 3 }) });
  const [, a, b, c] = [...world.builds.keys()] as [string, string, string, string];
  await world.connect(a);
  await world.app.receive(a, { t: "ready", attempt: 1 });
  await world.app.built({
    build: b,
    outcome: "failed",
    class: "build_error",
    reason: "RUN failed",
  });
  const view = await world.app.view();
  assert.deepEqual(
    [view?.deployments[0]?.state, view?.deployments[0]?.reason],
    ["failed", "RUN failed"],
  );
  assert.deepEqual(world.serving(), [good]);
  assert.ok(world.cancelled.includes(c) && world.told(a).includes("remove"));
});

test("contexts are kept for as many deployments as can be gone back to, and no longer", async () => {
  const world = new World();
  const builds: string[] = [];
  for (let i = 0; i < KEPT_DEPLOYMENTS + 2; i++) {
    const build = await world.deploy();
    await world.goLive(build);
    builds.push(build);
  }
  await world.pass(0);
  assert.deepEqual(
    world.dropped.sort(),
    builds
      .slice(0, 2)
      .map((build) => `contexts/${build}`)
      .sort(),
  );
  const gone = await world.app.rollback(1, "f".repeat(32), "admin");
  assert.deepEqual(gone, { kind: "refused", code: "unknown" });
});

test("a rule that another project took meanwhile fails the deploy with its name", async () => {
  const world = new World();
  const build = await world.deploy();
  await world.routes.put({ project: "thief", rule: "Host:shop.example" });
  await world.goLive(build);
  const [deployment] = (await world.app.view())?.deployments ?? [];
  assert.equal(deployment?.state, "failed");
  assert.match(deployment?.reason ?? "", /thief/);
  const answer = await world.app.deploy(world.request());
  assert.deepEqual(answer, { kind: "refused", code: "rule_taken", by: "thief" });
});

test("a removed project cancels its builds, drops its contexts and frees its rule", async () => {
  const world = new World();
  const live = await world.deploy();
  await world.goLive(live);
  const building = await world.deploy();
  assert.equal(await world.app.remove(), true);
  await world.pass(0);
  assert.deepEqual(await world.routes.list(), []);
  assert.ok(world.cancelled.includes(building));
  assert.equal(world.dropped.length, 2);
  assert.equal(await world.app.remove(), false);
  assert.equal(await world.app.view(), null);
});
