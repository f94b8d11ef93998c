/** Pool and Catalog on workerd, with real sockets. */
import assert from "node:assert/strict";
import type { webcrypto } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { createTestHarness } from "wrangler";
import WebSocket from "ws";
import type { AgentView } from "../../shared/identity.ts";
import { PROOF_ALGORITHM, PROOF_AUDIENCE } from "../../shared/identity.ts";
import { type ControlDown, type ControlUp, parseControlDown } from "../../shared/protocol.ts";
import { targetKey } from "../../shared/recipes/index.ts";
import type { TargetRpc } from "../../worker/core/contracts.ts";
import { TARGET } from "../support/pool-world.ts";
import { until } from "../support/until.ts";

const ADMIN = "admin-token-of-these-tests-1234";
const server = createTestHarness({
  workers: [
    {
      configPath: join(import.meta.dirname, "../../wrangler.toml"),
      secrets: { RAILHEAD_TOKEN: ADMIN, RAILHEAD_SECRET: "s".repeat(44) },
      vars: { RAILHEAD_EXPECT_AGENTS: "1", RAILHEAD_POOLS: "git.example/busy=busy" },
    },
  ],
});
let base = "";

before(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
});
after(() => server.close());

function call(path: string, init: RequestInit & { token?: string } = {}): Promise<Response> {
  const { token = ADMIN, ...rest } = init;
  const headers = {
    authorization: `Bearer ${token}`,
    ...(rest.body === undefined ? {} : { "content-type": "application/json" }),
  };
  return fetch(`${base}${path}`, { headers, ...rest });
}

async function json<T>(response: Response, status: number): Promise<T> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  return JSON.parse(text) as T;
}

type Registered = { agent: string; key: webcrypto.CryptoKey };

async function register(name: string, pool = "default"): Promise<Registered> {
  const { publicKey, privateKey } = await generateKeyPair(PROOF_ALGORITHM, { crv: "Ed25519" });
  const { kty, crv, x } = (await exportJWK(publicKey)) as JWK;
  const body = JSON.stringify({ name, pool, labels: {}, public_key: { kty, crv, x } });
  const response = await call("/agent/register", { method: "POST", body });
  const { agent } = await json<{ agent: string }>(response, 201);
  return { agent, key: privateKey };
}

async function nonceOf(agent: string): Promise<string> {
  const response = await call(`/agent/nonce?agent=${agent}`);
  return (await json<{ nonce: string }>(response, 200)).nonce;
}

async function prove({ agent, key }: Registered, nonce: string): Promise<string> {
  return new SignJWT({ aud: PROOF_AUDIENCE, sub: agent, nonce })
    .setProtectedHeader({ alg: PROOF_ALGORITHM })
    .sign(key);
}

/** A control socket and all that came over it. */
class Line {
  readonly socket: WebSocket;
  readonly frames: ControlDown[] = [];
  readonly opened: Promise<number>;
  pongs = 0;
  closed: { code: number; reason: string } | null = null;

  constructor(agent: string, proof: string) {
    this.socket = new WebSocket(`${base.replace("http", "ws")}/agent/control?agent=${agent}`, {
      headers: { authorization: `Bearer ${proof}` },
      perMessageDeflate: false,
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on("open", () => resolve(101));
      this.socket.on("unexpected-response", (_, response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      this.socket.on("error", reject);
    });
    this.socket.on("message", (data) => this.#take(String(data)));
    this.socket.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
  }

  #take(text: string): void {
    if (text === "pong") {
      this.pongs += 1;
      return;
    }
    const parsed = parseControlDown(text);
    assert.ok("frame" in parsed && parsed.frame, text);
    this.frames.push(parsed.frame);
  }

  say(frame: ControlUp): void {
    this.socket.send(JSON.stringify(frame));
  }

  next<T extends ControlDown["t"]>(t: T): Promise<Extract<ControlDown, { t: T }>> {
    return until(`a ${t} frame`, () => {
      const at = this.frames.findIndex((frame) => frame.t === t);
      return at === -1 ? null : (this.frames.splice(at, 1)[0] as Extract<ControlDown, { t: T }>);
    });
  }

  end(): Promise<{ code: number; reason: string }> {
    return until("the socket's end", () => this.closed);
  }
}

const HELLO: ControlUp = {
  t: "hello",
  protocol: 1,
  version: "0.0.0",
  instance: "first",
  engine: "engine",
  capacity: 1,
  labels: {},
  recipes: ["go"],
  unwell: null,
  draining: false,
  held: [],
};

async function connect(registered: Registered, hello: Partial<typeof HELLO> = {}): Promise<Line> {
  const line = new Line(registered.agent, await prove(registered, await nonceOf(registered.agent)));
  assert.equal(await line.opened, 101);
  line.say({ ...HELLO, ...hello } as ControlUp);
  return line;
}

async function agentNamed(name: string): Promise<AgentView | undefined> {
  const agents = await json<AgentView[]>(await call("/api/agents"), 200);
  return agents.find((agent) => agent.name === name);
}

/** Asks for a build of its own, past the Worker: no git host is needed. */
async function build(version: string, pool: string): Promise<string> {
  const target = { ...TARGET, version };
  const key = targetKey(target);
  const env = await server
    .getWorker<{ TARGETS: { getByName(name: string): TargetRpc } }>()
    .getEnv();
  const answer = await env.TARGETS.getByName(key).request({
    key,
    target,
    pool,
    caller: "admin",
    credential: null,
  });
  assert.equal(answer.kind, "admitted");
  return answer.kind === "admitted" ? answer.build.build_id : "";
}

test("a registered agent proves itself, says hello and is welcome", async () => {
  const registered = await register("hello");
  const line = await connect(registered);
  const welcome = await line.next("welcome");
  assert.deepEqual(welcome, { ...welcome, agent: registered.agent, name: "hello", drop: [] });
  assert.equal((await agentNamed("hello"))?.status, "connected");
  line.socket.close(1000, "bye");
  assert.equal((await line.end()).code, 1000);
  await until("suspect", async () => (await agentNamed("hello"))?.status === "suspect");
});

test("a name is given once in a pool, and again in another", async () => {
  await register("once");
  await assert.rejects(register("once"), /name_taken/);
  await register("once", "elsewhere");
});

test("only a registration token registers", async () => {
  const response = await call("/agent/register", { method: "POST", body: "{}", token: "rh_x" });
  assert.equal(response.status, 401);
  assert.equal((await fetch(`${base}/agent/register`, { method: "POST" })).status, 401);
  const made = await call("/api/tokens", { method: "POST", body: '{"scope":"build"}' });
  const { token } = await json<{ token: string }>(made, 201);
  assert.equal((await call("/agent/register", { method: "POST", body: "{}", token })).status, 403);
});

test("a wrong key, a foreign nonce and no proof are refused before the upgrade", async () => {
  const registered = await register("careful");
  const other = await register("other");
  const nonce = await nonceOf(registered.agent);
  const forged = await prove({ ...registered, key: other.key }, nonce);
  const foreign = await prove(registered, await nonceOf(other.agent));
  const made = await prove(registered, `${Date.now()}.${"0".repeat(32)}.${"0".repeat(64)}`);
  for (const proof of [forged, foreign, made, "nonsense", ADMIN])
    assert.equal(await new Line(registered.agent, proof).opened, 401);
  const right = new Line(registered.agent, await prove(registered, nonce));
  assert.equal(await right.opened, 101);
  right.socket.terminate();
});

test("a proof opens one socket, and none once a newer nonce was used", async () => {
  const registered = await register("fresh");
  const first = await nonceOf(registered.agent);
  const second = await nonceOf(registered.agent);
  const line = new Line(registered.agent, await prove(registered, second));
  assert.equal(await line.opened, 101);
  assert.equal(await new Line(registered.agent, await prove(registered, second)).opened, 409);
  assert.equal(await new Line(registered.agent, await prove(registered, first)).opened, 409);
  line.socket.terminate();
});

test("a frame that is no frame closes the socket, an unknown one does not", async () => {
  const registered = await register("babbler");
  const line = await connect(registered);
  await line.next("welcome");
  line.socket.send(JSON.stringify({ t: "from_the_future" }));
  line.socket.send("ping");
  await until("a pong", () => line.pongs > 0);
  line.socket.send("not json");
  assert.equal((await line.end()).code, 4008);
});

test("a build reaches an agent; after hibernation the same socket accepts it", async () => {
  const registered = await register("worker", "busy");
  const line = await connect(registered);
  await line.next("welcome");
  const id = await build("v1.0.0", "busy");
  const assign = await line.next("assign");
  assert.equal(assign.build, id);
  assert.equal(assign.attempt, 1);
  assert.equal(assign.target.version, "v1.0.0");
  await server.getWorker().evictDurableObject("POOLS", { name: "busy", webSockets: "hibernate" });
  line.say({ t: "accept", build: id, attempt: 1 });
  const waiting = await build("v1.1.0", "busy");
  await until("the second build in line", async () => {
    const metrics = await (await call("/metrics")).text();
    return metrics.includes('railhead_queue_length{pool="busy"} 1');
  });
  line.say({ t: "done", build: id, attempt: 1 });
  assert.equal((await line.next("assign")).build, waiting);
  line.socket.terminate();
});

test("an agent whose socket breaks comes back with what it holds and keeps it", async () => {
  const registered = await register("returner", "return");
  const line = await connect(registered);
  await line.next("welcome");
  const id = await build("v2.0.0", "return");
  await line.next("assign");
  line.say({ t: "accept", build: id, attempt: 1 });
  line.socket.terminate();
  await server.getWorker().evictDurableObject("POOLS", { name: "return", webSockets: "close" });
  const gone = { build: "f".repeat(32), attempt: 1 };
  const again = await connect(registered, { held: [{ build: id, attempt: 1 }, gone] });
  assert.deepEqual((await again.next("welcome")).drop, [gone]);
  assert.deepEqual((await agentNamed("returner"))?.running, [{ build: id, attempt: 1 }]);
  again.socket.terminate();
});

test("a restarted process takes over; a copy on another engine is turned away", async () => {
  const registered = await register("unique");
  const first = await connect(registered);
  await first.next("welcome");
  const copy = await connect(registered, { engine: "copied", instance: "copy" });
  assert.equal((await copy.end()).code, 4003);
  const second = await connect(registered, { instance: "second" });
  await second.next("welcome");
  assert.equal((await first.end()).code, 4001);
  second.socket.terminate();
});

test("a cordoned agent says why; a drained one hears of it; a removed one is refused at once", async () => {
  const registered = await register("short-lived");
  const line = await connect(registered);
  await line.next("welcome");
  const act = (action: string, body?: string) =>
    call(`/api/agents/short-lived/${action}`, { method: "POST", ...(body ? { body } : {}) });
  const cordoned = await act("cordon", JSON.stringify({ reason: "kernel update" }));
  assert.equal((await json<AgentView>(cordoned, 200)).cordoned, "kernel update");
  assert.equal((await json<AgentView>(await act("uncordon"), 200)).cordoned, null);
  await json(await act("drain"), 200);
  await line.next("drain");
  const nonce = await nonceOf(registered.agent);
  const removed = await call(`/api/agents/${registered.agent}`, { method: "DELETE" });
  await json(removed, 200);
  assert.equal((await line.end()).code, 4003);
  assert.equal(await new Line(registered.agent, await prove(registered, nonce)).opened, 401);
  assert.equal((await call(`/agent/nonce?agent=${registered.agent}`)).status, 404);
  assert.equal((await call("/api/agents/short-lived", { method: "DELETE" })).status, 404);
});

test("tokens are shown once, work by scope, and end when they are revoked", async () => {
  const body = JSON.stringify({ scope: "build", name: "ci", expires_in_s: 60 });
  const made = await json<{ id: string; token: string }>(
    await call("/api/tokens", { method: "POST", body }),
    201,
  );
  assert.match(made.token, /^rh_[A-Za-z0-9_-]{43}$/);
  assert.equal((await call("/api/agents", { token: made.token })).status, 200);
  assert.equal((await call("/api/tokens", { token: made.token })).status, 403);
  const basic = `Basic ${Buffer.from(`any:${made.token}`).toString("base64")}`;
  const asPassword = await fetch(`${base}/api/agents`, { headers: { authorization: basic } });
  assert.equal(asPassword.status, 200);
  const beside = await fetch(`${base}/api/agents`, {
    headers: { authorization: "token ghp_of_a_git_host", "railhead-token": made.token },
  });
  assert.equal(beside.status, 200);
  const listed = await (await call("/api/tokens")).text();
  assert.ok(listed.includes(made.id) && !listed.includes(made.token));
  assert.equal((await call(`/api/tokens/${made.id}`, { method: "DELETE" })).status, 204);
  assert.equal((await call(`/api/tokens/${made.id}`, { method: "DELETE" })).status, 404);
  await until("the revocation to be seen", async () => {
    return (await call("/api/agents", { token: made.token })).status === 401;
  });
});

test("a git credential is nobody's token here", async () => {
  const response = await fetch(`${base}/api/tokens`, {
    headers: { authorization: "Bearer ghp_of_a_git_host" },
  });
  assert.equal(response.status, 401);
  assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer/);
});

test("health, version and readiness need no token", async () => {
  const health = await fetch(`${base}/healthz`);
  assert.equal(await health.text(), "ok\n");
  const version = await json<{ version: string }>(await fetch(`${base}/version`), 200);
  assert.match(version.version, /^\d+\.\d+\.\d+/);
  const registered = await register("ready", "ready");
  const line = await connect(registered);
  await line.next("welcome");
  assert.equal((await fetch(`${base}/readyz`)).status, 200);
  line.socket.terminate();
  await until("not ready", async () => (await fetch(`${base}/readyz`)).status === 503);
  const problem = await json<{ detail: string }>(await fetch(`${base}/readyz`), 503);
  assert.match(problem.detail, /^0 of 1 agents/);
});

test("metrics parse as Prometheus text and name no repository", async () => {
  const response = await fetch(`${base}/metrics`);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  const line =
    /^(?:# (?:HELP|TYPE) railhead_[a-z_]+ .+|railhead_[a-z_]+\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\} [0-9.e+-]+)$/;
  for (const row of text.trimEnd().split("\n")) assert.match(row, line);
  assert.match(text, /railhead_dispatch_seconds_bucket\{pool="busy",le="\+Inf"\} [1-9]/);
  assert.ok(!text.includes("git.example") && !text.includes("repo"));
});

test("the list of builds is public, paged and checks what it is asked", async () => {
  const page = await json<{ builds: unknown[] }>(await fetch(`${base}/api/builds?limit=1`), 200);
  assert.ok(Array.isArray(page.builds));
  for (const query of ["limit=0", "limit=x", "state=odd", "cursor=%00"])
    assert.equal((await fetch(`${base}/api/builds?${query}`)).status, 400, query);
});

test("questions about a pool or an agent that nobody made leave no trace", async () => {
  const worker = server.getWorker();
  const unknown = await call(`/agent/nonce?agent=nowhere.${"0".repeat(16)}`);
  assert.equal(unknown.status, 404);
  const sql = await worker.getDurableObjectStorage("POOLS", { name: "nowhere" });
  const tables = await sql.exec("SELECT name FROM sqlite_master WHERE name = 'agents'");
  assert.deepEqual(tables, []);
});
