/** Pools on workerd, with real sockets. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createTestHarness } from "wrangler";
import type { AgentView } from "../../shared/identity.ts";
import { targetKey } from "../../shared/recipes/index.ts";
import type { TargetRpc } from "../../worker/core/contracts.ts";
import { TARGET } from "../support/pool-world.ts";
import { until } from "../support/until.ts";
import { ADMIN, HELLO, json, Operator, prove, SECRETS } from "./control-line.ts";

const server = createTestHarness({
  workers: [{ configPath: join(import.meta.dirname, "../../wrangler.toml"), secrets: SECRETS }],
});
let operator: Operator;

before(async () => {
  operator = new Operator((await server.listen()).url.href.replace(/\/$/, ""));
});
after(() => server.close());

async function agentNamed(name: string): Promise<AgentView | undefined> {
  const agents = await json<AgentView[]>(await operator.call("/api/agents"), 200);
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
  const registered = await operator.register("hello");
  const line = await operator.connect(registered);
  const welcome = await line.next("welcome");
  assert.deepEqual(welcome, { ...welcome, agent: registered.agent, name: "hello", drop: [] });
  assert.equal((await agentNamed("hello"))?.status, "connected");
  line.socket.close(1000, "bye");
  assert.equal((await line.end()).code, 1000);
  await until("suspect", async () => (await agentNamed("hello"))?.status === "suspect");
});

test("a name is given once in a pool, and again in another", async () => {
  await operator.register("once");
  await assert.rejects(operator.register("once"), /name_taken/);
  await operator.register("once", "elsewhere");
});

test("only a registration token registers", async () => {
  const response = await operator.call("/agent/register", {
    method: "POST",
    body: "{}",
    token: "rh_x",
  });
  assert.equal(response.status, 401);
  assert.equal((await fetch(`${operator.base}/agent/register`, { method: "POST" })).status, 401);
  const made = await operator.call("/api/tokens", { method: "POST", body: '{"scope":"build"}' });
  const { token } = await json<{ token: string }>(made, 201);
  assert.equal(
    (await operator.call("/agent/register", { method: "POST", body: "{}", token })).status,
    403,
  );
});

test("a wrong key, a foreign nonce and no proof are refused before the upgrade", async () => {
  const registered = await operator.register("careful");
  const other = await operator.register("other");
  const nonce = await operator.nonceOf(registered.agent);
  const forged = await prove({ ...registered, key: other.key }, nonce);
  const foreign = await prove(registered, await operator.nonceOf(other.agent));
  const made = await prove(registered, `${Date.now()}.${"0".repeat(32)}.${"0".repeat(64)}`);
  for (const proof of [forged, foreign, made, "nonsense", ADMIN])
    assert.equal(await operator.dial(registered.agent, proof).opened, 401);
  const right = operator.dial(registered.agent, await prove(registered, nonce));
  assert.equal(await right.opened, 101);
  right.socket.terminate();
});

test("a proof opens one socket, and none once a newer nonce was used", async () => {
  const registered = await operator.register("fresh");
  const first = await operator.nonceOf(registered.agent);
  const second = await operator.nonceOf(registered.agent);
  const line = operator.dial(registered.agent, await prove(registered, second));
  assert.equal(await line.opened, 101);
  assert.equal(await operator.dial(registered.agent, await prove(registered, second)).opened, 409);
  assert.equal(await operator.dial(registered.agent, await prove(registered, first)).opened, 409);
  line.socket.terminate();
});

test("a hello that arrives late, over a socket that was closed for a newer process, changes nothing", async () => {
  const registered = await operator.register("latecomer");
  const proof = await prove(registered, await operator.nonceOf(registered.agent));
  const late = operator.dial(registered.agent, proof);
  assert.equal(await late.opened, 101);
  late.socket.pause();
  const line = await operator.connect(registered, { instance: "second" });
  await line.next("welcome");
  late.say({ ...HELLO, instance: "first" });
  late.socket.resume();
  assert.equal((await late.end()).code, 4001);
  line.socket.send("ping");
  await until("a pong, or the end", () => line.pongs > 0 || line.closed !== null);
  assert.equal((await agentNamed("latecomer"))?.status, "connected");
  assert.equal(line.closed, null);
  assert.deepEqual(late.frames, []);
  line.socket.terminate();
});

test("a frame that is no frame closes the socket, an unknown one does not", async () => {
  const registered = await operator.register("babbler");
  const line = await operator.connect(registered);
  await line.next("welcome");
  line.socket.send(JSON.stringify({ t: "from_the_future" }));
  line.socket.send("ping");
  await until("a pong", () => line.pongs > 0);
  line.socket.send("not json");
  assert.equal((await line.end()).code, 4008);
});

test("a build reaches an agent; after hibernation the same socket accepts it", async () => {
  const registered = await operator.register("worker", "busy");
  const line = await operator.connect(registered);
  await line.next("welcome");
  const id = await build("v1.0.0", "busy");
  const assign = await line.next("assign");
  assert.equal(assign.build, id);
  assert.equal(assign.attempt, 1);
  assert.partialDeepStrictEqual(assign.target, { version: "v1.0.0" });
  await server.getWorker().evictDurableObject("POOLS", { name: "busy", webSockets: "hibernate" });
  line.say({ t: "accept", build: id, attempt: 1 });
  const waiting = await build("v1.1.0", "busy");
  await until("the second build in line", async () => {
    const metrics = await (await operator.call("/metrics")).text();
    return metrics.includes('railhead_queue_length{pool="busy"} 1');
  });
  line.say({ t: "done", build: id, attempt: 1 });
  assert.equal((await line.next("assign")).build, waiting);
  const metrics = await (await operator.call("/metrics")).text();
  assert.match(metrics, /railhead_dispatch_seconds_count\{pool="busy"\} 2\n/);
  assert.ok(!metrics.includes("git.example"), "metrics name no repository");
  line.socket.terminate();
});

test("an agent whose socket breaks comes back with what it holds and keeps it", async () => {
  const registered = await operator.register("returner", "return");
  const line = await operator.connect(registered);
  await line.next("welcome");
  const id = await build("v2.0.0", "return");
  await line.next("assign");
  line.say({ t: "accept", build: id, attempt: 1 });
  line.socket.terminate();
  await server.getWorker().evictDurableObject("POOLS", { name: "return", webSockets: "close" });
  const gone = { build: "f".repeat(32), attempt: 1 };
  const again = await operator.connect(registered, { held: [{ build: id, attempt: 1 }, gone] });
  assert.deepEqual((await again.next("welcome")).drop, [gone]);
  assert.deepEqual((await agentNamed("returner"))?.running, [{ build: id, attempt: 1 }]);
  again.socket.terminate();
});

test("a restarted process takes over; a copy on another engine is turned away", async () => {
  const registered = await operator.register("unique");
  const first = await operator.connect(registered);
  await first.next("welcome");
  const copy = await operator.connect(registered, { engine: "copied", instance: "copy" });
  assert.equal((await copy.end()).code, 4003);
  const second = await operator.connect(registered, { instance: "second" });
  await second.next("welcome");
  assert.equal((await first.end()).code, 4001);
  second.socket.terminate();
});

test("a cordoned agent says why; a drained one hears of it; a removed one is refused at once", async () => {
  const registered = await operator.register("short-lived");
  const line = await operator.connect(registered);
  await line.next("welcome");
  const act = (action: string, body?: string) =>
    operator.call(`/api/agents/short-lived/${action}`, {
      method: "POST",
      ...(body ? { body } : {}),
    });
  const cordoned = await act("cordon", JSON.stringify({ reason: "kernel update" }));
  assert.equal((await json<AgentView>(cordoned, 200)).cordoned, "kernel update");
  assert.equal((await json<AgentView>(await act("uncordon"), 200)).cordoned, null);
  await json(await act("drain"), 200);
  await line.next("drain");
  const nonce = await operator.nonceOf(registered.agent);
  const removed = await operator.call(`/api/agents/${registered.agent}`, { method: "DELETE" });
  await json(removed, 200);
  assert.equal((await line.end()).code, 4003);
  assert.equal(await operator.dial(registered.agent, await prove(registered, nonce)).opened, 401);
  assert.equal((await operator.call(`/agent/nonce?agent=${registered.agent}`)).status, 404);
  assert.equal((await operator.call("/api/agents/short-lived", { method: "DELETE" })).status, 404);
});

test("questions about a pool or an agent that nobody made leave no trace", async () => {
  const worker = server.getWorker();
  const unknown = await operator.call(`/agent/nonce?agent=nowhere.${"0".repeat(16)}`);
  assert.equal(unknown.status, 404);
  const sql = await worker.getDurableObjectStorage("POOLS", { name: "nowhere" });
  const tables = await sql.exec("SELECT name FROM sqlite_master WHERE name = 'agents'");
  assert.deepEqual(tables, []);
});
