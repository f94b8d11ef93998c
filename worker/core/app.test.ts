import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { AppDown } from "../../shared/apps.ts";
import { appImageTag, appSettingsSchema, KEPT_DEPLOYMENTS } from "../../shared/recipes/app.ts";
import { openSql } from "../../test/support/sql.ts";
import { until } from "../../test/support/until.ts";
import { AppCore } from "./app.ts";
import type { DeployRequest } from "./app-contracts.ts";
import { APP_GONE_MS } from "./app-replicas.ts";
import type { BuildRequest, EnsureAnswer } from "./contracts.ts";
import { RoutesCore } from "./routes.ts";

const QUEUE_FULL = { kind: "refused", code: "queue_full", retry_after_s: 5 } as const;

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

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
class World {
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
  world.answer = QUEUE_FULL;
  assert.deepEqual(await world.app.deploy(world.request()), QUEUE_FULL);
  assert.equal(await world.app.view(), null);
  assert.deepEqual(await world.routes.projects(), []);
});

test("variables that are set before the first deploy outlive its refusal", async () => {
  const world = new World();
  const set = await world.app.setEnv("shop", { KEY: "kept", OTHER: "" });
  assert.deepEqual(set, { kind: "ok", env: ["KEY", "OTHER"] });
  world.answer = QUEUE_FULL;
  assert.deepEqual(await world.app.deploy(world.request()), QUEUE_FULL);
  world.answer = null;
  const build = await world.deploy();
  assert.deepEqual(world.envOf(build), { KEY: "kept", OTHER: "" });
});

test("a project is there from its first variable on, until the last is unset or it is removed", async () => {
  const world = new World();
  assert.deepEqual(await world.app.setEnv("shop", { NONE: null }), { kind: "ok", env: [] });
  assert.equal(await world.app.view(), null);
  for (const end of [
    () => world.app.setEnv("shop", { KEY: null }),
    async () => assert.equal(await world.app.remove(), true),
  ]) {
    await world.app.setEnv("shop", { KEY: "value" });
    const { state, rule, env } = (await world.app.view()) ?? {};
    assert.deepEqual([state, rule, env], ["new", "", ["KEY"]]);
    assert.deepEqual(await world.routes.projects(), ["shop"]);
    await end();
    assert.equal(await world.app.view(), null);
    assert.deepEqual(await world.routes.projects(), []);
  }
  assert.equal(await world.app.remove(), false);
});

test("a project is in the list from its first deploy on; its rule is free for others until it is live", async () => {
  const world = new World();
  const build = await world.deploy();
  assert.deepEqual(await world.routes.projects(), ["shop"]);
  assert.deepEqual(await world.routes.list(), []);
  await world.app.built({ build, outcome: "failed", class: "build_error", reason: "no" });
  const { state, rule } = (await world.app.view()) ?? {};
  assert.deepEqual([state, rule], ["failed", "Host:shop.example"]);
  assert.deepEqual(await world.routes.projects(), ["shop"]);
  assert.equal(await world.routes.holder("Host:shop.example"), null);
  assert.deepEqual(await world.routes.put("other", ["Host:shop.example"]), []);
});

test("a refused deploy leaves the one that waits in line, one that is taken supersedes it", async () => {
  const world = new World();
  await world.deploy();
  await world.deploy();
  world.answer = QUEUE_FULL;
  assert.deepEqual(await world.app.deploy(world.request()), QUEUE_FULL);
  const states = async () => (await world.app.view())?.deployments.map(({ state }) => state);
  assert.deepEqual(await states(), ["waiting", "deploying"]);
  world.answer = null;
  await world.deploy();
  assert.deepEqual(await states(), ["waiting", "superseded", "deploying"]);
});

test("a deploy that was promised while its build could not be asked for goes to the pool until it takes it", async () => {
  const world = new World();
  world.answer = new Error("the object restarts");
  const build = await world.deploy();
  world.answer = QUEUE_FULL;
  await world.pass(60_000);
  world.answer = null;
  await world.pass(60_000);
  assert.ok(world.builds.has(build));
});

test("rules that were stored before all projects were listed go on", async () => {
  const sql = openSql();
  for (const statement of [
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    "INSERT INTO schema_version (version) VALUES (1)",
    "CREATE TABLE routes (project TEXT PRIMARY KEY, rule TEXT NOT NULL UNIQUE) STRICT, WITHOUT ROWID",
    "INSERT INTO routes (project, rule) VALUES ('shop', 'Host:shop.example')",
  ])
    sql.exec(statement);
  const routes = new RoutesCore(sql);
  assert.deepEqual(await routes.list(), [{ project: "shop", rule: "Host:shop.example" }]);
  assert.deepEqual(await routes.projects(), ["shop"]);
});

test("the view names the agent and the image that serve", async () => {
  const world = new World();
  const fingerprint = sha256("the context");
  const build = await world.deploy({ fingerprint });
  const shown = async () => {
    const { agent, agents, image } = (await world.app.view()) ?? {};
    return { agent, agents, image };
  };
  assert.deepEqual(await shown(), { agent: null, agents: [], image: null });
  await world.goLive(build, "smithy");
  const image = appImageTag(fingerprint);
  assert.deepEqual(await shown(), { agent: "smithy", agents: ["smithy"], image });
  world.open.delete(build);
  assert.deepEqual(await shown(), { agent: null, agents: [], image });
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
});

test("a rule that another project took meanwhile fails the deploy with its name", async () => {
  const world = new World();
  const build = await world.deploy();
  await world.routes.put("thief", ["Host:shop.example"]);
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

const FIRST = { project: "shop", rule: "Host:first.example" };
const SECOND = { project: "shop", rule: "Host:second.example" };

/** One deploy serves, the next one has a rule of its own and asks to go live. */
async function switching(world: World) {
  const first = await world.deploy(FIRST);
  await world.goLive(first);
  const second = await world.deploy(SECOND);
  await world.connect(second);
  const ready = () => world.app.receive(second, { t: "ready", attempt: 1 });
  const fail = () =>
    world.app.built({ build: second, outcome: "cancelled", class: null, reason: "cancelled" });
  return { first, second, ready, fail };
}

test("a deploy that is cancelled while it goes live leaves what serves its rule, and takes none itself", async () => {
  const world = new World();
  const { first, ready, fail } = await switching(world);
  const held = Promise.withResolvers<void>();
  world.routes.after = held.promise;
  const { puts } = world.routes;
  const going = ready();
  await until("the table was asked", () => world.routes.puts > puts);
  assert.equal(await world.routes.holder(FIRST.rule), "shop", "requests reach what still serves");
  const failing = fail();
  held.resolve();
  await Promise.all([going, failing]);
  assert.deepEqual(world.serving(), [first]);
  assert.deepEqual(await world.routes.list(), [FIRST]);
});

test("a switch that a restart of the object broke off is decided by what is so afterwards", async () => {
  for (const cancelled of [true, false]) {
    const world = new World();
    const { first, second, ready, fail } = await switching(world);
    const { puts } = world.routes;
    world.routes.after = new Promise(() => {});
    void ready();
    await until("the table was asked", () => world.routes.puts > puts);
    world.routes.after = null;
    world.restart();
    if (cancelled) await fail();
    await world.pass(60_000);
    assert.deepEqual(world.serving(), [cancelled ? first : second]);
    assert.deepEqual(await world.routes.list(), [cancelled ? FIRST : SECOND]);
  }
});

test("a deploy whose agent is away while it goes live waits for it, and what serves keeps its rule", async () => {
  const world = new World();
  const { first, second, ready } = await switching(world);
  const held = Promise.withResolvers<void>();
  world.routes.after = held.promise;
  const { puts } = world.routes;
  const going = ready();
  await until("the table was asked", () => world.routes.puts > puts);
  world.open.delete(second);
  world.app.closed();
  held.resolve();
  await going;
  assert.deepEqual(world.serving(), [first]);
  assert.deepEqual(await world.routes.list(), [FIRST]);
  await world.goLive(second);
  assert.deepEqual(world.serving(), [second]);
  assert.deepEqual(await world.routes.list(), [SECOND]);
});

test("deploys that are ready before their turn go live one after the other once it comes", async () => {
  const world = new World();
  const first = await world.deploy(FIRST);
  const second = await world.deploy(SECOND);
  await world.connect(second);
  await world.app.receive(second, { t: "ready", attempt: 1 });
  assert.deepEqual(world.serving(), []);
  await world.goLive(first);
  const states = (await world.app.view())?.deployments.map(({ state }) => state);
  assert.deepEqual(states, ["live", "replaced"]);
  assert.deepEqual(world.serving(), [second]);
  assert.deepEqual(await world.routes.list(), [SECOND]);
  await world.pass(0);
  assert.ok(world.cancelled.includes(first));
});

test("a project that is removed while a deploy goes live leaves no rule and no name behind", async () => {
  const world = new World();
  const { ready } = await switching(world);
  const held = Promise.withResolvers<void>();
  world.routes.before = held.promise;
  const { puts } = world.routes;
  const going = ready();
  await until("the table was asked", () => world.routes.puts > puts);
  const removing = world.app.remove();
  held.resolve();
  assert.equal(await removing, true);
  await going;
  assert.deepEqual(await world.routes.list(), []);
  assert.deepEqual(await world.routes.projects(), []);
});

test("a deploy goes live within two seconds after the table of rules did not answer", async () => {
  const world = new World();
  const { first, second, ready } = await switching(world);
  world.routes.faults = 1;
  await ready();
  assert.deepEqual(world.serving(), [first]);
  assert.deepEqual(world.reports, ["listing shop"]);
  await world.pass(2_000);
  assert.deepEqual(world.serving(), [second]);
  assert.deepEqual(await world.routes.list(), [SECOND]);
});

test("variables that are too many together are refused, whatever each change alone has, and none of them is set", async () => {
  const world = new World();
  const value = "x".repeat(30_000);
  for (const name of ["A", "B"])
    assert.equal((await world.app.setEnv("shop", { [name]: value })).kind, "ok");
  const { length: chars } = JSON.stringify({ A: value, B: value, C: value });
  const refused = { kind: "refused", code: "too_large", chars };
  assert.deepEqual(await world.app.setEnv("shop", { C: value }), refused);
  assert.deepEqual((await world.app.view())?.env, ["A", "B"]);
  assert.equal((await world.app.setEnv("shop", { A: null, C: value })).kind, "ok");
  const build = await world.deploy();
  assert.deepEqual(world.envOf(build), { B: value, C: value });
});

test("of two changes at once that are too many together one is refused", async () => {
  const world = new World();
  const half = "x".repeat(32_768);
  const answers = await Promise.all(
    ["A", "B"].map((name) => world.app.setEnv("shop", { [name]: half })),
  );
  assert.deepEqual(answers.map(({ kind }) => kind).sort(), ["ok", "refused"]);
});

test("deploys that fail are forgotten in time; what serves and what may be gone back to never", async () => {
  const world = new World();
  for (const _ of [1, 2]) await world.goLive(await world.deploy());
  for (let i = 0; i < 60; i++) {
    const build = await world.deploy();
    await world.app.built({ build, outcome: "failed", class: "build_error", reason: "no" });
  }
  const { deployments = [], state } = (await world.app.view()) ?? {};
  assert.equal(state, "live");
  assert.deepEqual(
    deployments.slice(50).map(({ generation }) => generation),
    [2, 1],
  );
  assert.equal(world.dropped.length, 60);
  assert.equal((await world.app.rollback(1, "f".repeat(32), "admin")).kind, "ok");
});

test("a project whose stored rule would be refused by now is shown, without an address", async () => {
  const world = new World();
  await world.deploy({ rule: "Host:app.1" });
  const { rule, url } = (await world.app.view()) ?? {};
  assert.deepEqual([rule, url], ["Host:app.1", null]);
});

/** A live replica's agent stays away: the build that makes it anew. */
async function madeAnew(world: World, lost: string): Promise<string> {
  world.open.delete(lost);
  world.app.closed();
  await world.pass(APP_GONE_MS);
  return [...world.builds.keys()].at(-1) as string;
}

test("a replica that is made anew has the variables that its version was deployed with, also over a restart", async () => {
  const world = new World();
  await world.app.setEnv("shop", { KEY: "old", GONE: "old" });
  const first = await world.deploy();
  await world.goLive(first);
  await world.app.setEnv("shop", { KEY: "new", GONE: null, MORE: "new" });
  world.restart();
  const again = await madeAnew(world, first);
  assert.notEqual(again, first);
  assert.deepEqual(world.envOf(again), { KEY: "old", GONE: "old" });
  await world.goLive(again);
  assert.equal((await world.app.rollback(1, "f".repeat(32), "admin")).kind, "ok");
  assert.deepEqual(world.envOf("f".repeat(32)), { KEY: "new", MORE: "new" });
});

test("a deploy has the variables of when it was asked for, also when its build cannot be opened until later", async () => {
  const world = new World();
  await world.app.setEnv("shop", { KEY: "then" });
  world.answer = new Error("the object restarts");
  const build = await world.deploy();
  await world.app.setEnv("shop", { KEY: "later" });
  world.answer = null;
  await world.pass(60_000);
  assert.deepEqual(world.envOf(build), { KEY: "then" });
});

test("a lost replica says why it could not be made anew, until it is there again", async () => {
  const reasons = async () => (await world.app.view())?.replicas.map(({ reason }) => reason);
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first);
  assert.deepEqual(await reasons(), [undefined]);
  const fail = async (build: string, reason: string) =>
    world.app.built({ build, outcome: "failed", class: "build_error", reason });
  await fail(await madeAnew(world, first), "There is no disk left.");
  assert.deepEqual(await reasons(), ["There is no disk left."]);
  await fail(await madeAnew(world, first), "RUN failed");
  assert.deepEqual(await reasons(), ["RUN failed"]);
  await world.connect(first);
  assert.deepEqual(await reasons(), [undefined]);
  await fail(await madeAnew(world, first), "RUN failed");
  await world.goLive(await madeAnew(world, first));
  assert.deepEqual(await reasons(), [undefined]);
});

test("what may be gone back to is shown, and named to whoever asks for something else", async () => {
  const world = new World();
  const rollback = (to: number | null) => world.app.rollback(to, "f".repeat(32), "admin");
  assert.deepEqual(await rollback(null), { kind: "refused", code: "unknown" });
  for (let i = 0; i < KEPT_DEPLOYMENTS + 2; i++) await world.goLive(await world.deploy());
  const shown = (await world.app.view())?.deployments.filter(({ kept }) => kept);
  const kept = [7, 6, 5, 4, 3];
  assert.deepEqual(
    shown?.map(({ generation }) => generation),
    kept,
  );
  assert.deepEqual(await rollback(2), { kind: "refused", code: "not_kept", kept });
  assert.equal((await rollback(3)).kind, "ok");
});
