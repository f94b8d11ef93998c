/** Target and Build objects on workerd: real sockets, real eviction, a real bucket. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createTestHarness } from "wrangler";
import WebSocket from "ws";
import { SINGLE_PUT_BYTES } from "../../shared/limits.ts";
import { type AttemptDown, type AttemptUp, CLOSE, PING, PONG } from "../../shared/protocol.ts";
import { targetKey } from "../../shared/recipes/index.ts";
import type { BuildRpc, TargetRpc } from "../../worker/core/contracts.ts";
import { manifestKey } from "../../worker/core/manifest.ts";
import { seal } from "../../worker/secrets.ts";
import { requestOf, TARGET } from "../support/build.ts";
import { until } from "../support/until.ts";
import { startAgent } from "./agent.ts";
import { ADMIN_TOKEN } from "./edge.ts";

type Env = {
  BUILDS: { getByName(name: string): BuildRpc };
  TARGETS: { getByName(name: string): TargetRpc };
  ARTIFACTS: {
    get(key: string): Promise<{ text(): Promise<string> } | null>;
    delete(key: string): Promise<void>;
    list(options: { prefix: string }): Promise<{ objects: { key: string }[] }>;
  };
};

const SECRET = "s".repeat(40);

const server = createTestHarness({
  workers: [
    {
      configPath: join(import.meta.dirname, "../../wrangler.toml"),
      secrets: { RAILHEAD_TOKEN: ADMIN_TOKEN, RAILHEAD_SECRET: SECRET },
      vars: { RAILHEAD_OPEN_BUILDS: "true", RAILHEAD_RATE_PER_MINUTE: "1000000" },
    },
  ],
});
let base = "";
let env: Env;

before(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
  env = await server.getWorker<Env>().getEnv();
});
after(() => server.close());

const AGENT = { agent: "default.00000000000000a1", name: "smithy", instance: "p1" };

/** A target that no other test asks for, in a pool without agents. */
function freshRequest(pool = "idle") {
  return requestOf({ pool }, { ...TARGET, version: `v0.0.${randomBytes(6).readUIntBE(0, 6)}` });
}

async function freshBuild(request = freshRequest()) {
  const id = randomBytes(16).toString("hex");
  const build = env.BUILDS.getByName(id);
  assert.equal((await build.ensure(id, request)).kind, "ok");
  return { id, build, request };
}

/** An attempt's socket, with everything that came over it. */
class Line {
  readonly frames: AttemptDown[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => {
      if (String(data) !== PONG) this.frames.push(JSON.parse(String(data)));
    });
    this.closed = new Promise((resolve) =>
      socket.once("close", (code, reason) => resolve({ code, reason: String(reason) })),
    );
  }

  static async dial(id: string, attempt: number, lease: string): Promise<Line> {
    const url = `${base.replace("http", "ws")}/agent/builds/${id}/attempts/${attempt}`;
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${lease}` },
      perMessageDeflate: false,
    });
    const line = new Line(socket);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    return line;
  }

  send(frame: AttemptUp): void {
    this.#socket.send(JSON.stringify(frame));
  }

  sendRaw(text: string): void {
    this.#socket.send(text);
  }

  /** Waits for the `n`th frame of a type. */
  next<T extends AttemptDown["t"]>(t: T, n = 1): Promise<Extract<AttemptDown, { t: T }>> {
    return until(`frame ${t}`, () => {
      const found = this.frames.filter((frame) => frame.t === t)[n - 1];
      return found as Extract<AttemptDown, { t: T }> | undefined;
    });
  }

  start(): void {
    this.send({ t: "start", protocol: 1, instance: "p1", workspace: "/w" });
  }

  say(...lines: [seq: number, msg: string][]): void {
    const time = new Date().toISOString();
    const entries = lines.map(([seq, msg]) => ({ seq, msg, time, level: "info" as const }));
    this.send({ t: "log", entries });
  }

  async upload(name: string, bytes: Buffer): Promise<string> {
    const upload = randomBytes(16).toString("hex");
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const size = bytes.length;
    this.send({ t: "upload", upload, name, size, sha256, content_type: "application/gzip" });
    const { parts, part_size } = await this.next("upload_ready");
    const etags: { part: number; etag: string }[] = [];
    for (let part = 1; part <= parts; part++) {
      this.send({ t: "ticket", upload, part });
      const { ticket } = await this.next("ticket", part);
      const response = await fetch(`${base}/agent/uploads/${upload}/parts/${part}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${ticket}` },
        body: bytes.subarray((part - 1) * part_size, part * part_size),
      });
      assert.equal(response.status, 200, await response.clone().text());
      etags.push({ part, etag: ((await response.json()) as { etag: string }).etag });
    }
    this.send({ t: "uploaded", upload, parts: etags });
    await this.next("upload_ok");
    return upload;
  }

  result(more: Partial<Extract<AttemptUp, { t: "result" }>>): void {
    this.send({
      t: "result",
      outcome: "succeeded",
      class: null,
      reason: null,
      last_seq: 0,
      uploads: [],
      repositories: [],
      phases: {},
      ...more,
    });
  }

  close(code?: number): void {
    this.#socket.close(code);
  }
}

async function begun(build: BuildRpc, n = 1): Promise<string> {
  const answer = await build.begin(n, AGENT);
  assert.ok(answer.kind === "ok");
  return answer.lease;
}

test("an attempt whose object sleeps between its frames is published whole, and its log lies in the bucket", async () => {
  const agent = await startAgent(base);
  const request = freshRequest("default");
  const target = env.TARGETS.getByName(request.key);
  const answer = await target.request(request);
  assert.ok(answer.kind === "admitted");
  const id = answer.build.build_id;
  // Nothing here may hold a stub of the Build itself: the runtime evicts only what nobody holds.
  const sleep = () =>
    server.getWorker().evictDurableObject("BUILDS", { name: id, webSockets: "hibernate" });
  const attempt = await agent.attempt();
  await attempt.say(["one", "two"]);
  await sleep();
  await attempt.say(["three"]);
  await attempt.upload("tool.tar.gz", Buffer.from("the archive"));
  await sleep();
  await attempt.finish({ outcome: "succeeded" });

  const manifest = await env.ARTIFACTS.get(manifestKey(request.key));
  const { build_id, files } = JSON.parse((await manifest?.text()) ?? "{}");
  assert.equal(build_id, id);
  assert.equal(await (await env.ARTIFACTS.get(files[0].key))?.text(), "the archive");
  const copy = await until("the log to move", () => env.ARTIFACTS.get(`logs/${id}.ndjson`));
  const log = (await copy.text()).trim().split("\n");
  assert.deepEqual(
    log.map((text) => JSON.parse(text).msg),
    ["Your build joined a queue.", "one", "two", "three", "Your build is successful."],
  );
  assert.equal((await target.request(request)).kind, "published");
  agent.close();
});

test("a file in several parts is hashed at the edge before it is published", async () => {
  const { id, build } = await freshBuild();
  const line = await Line.dial(id, 1, await begun(build));
  line.start();
  const upload = await line.upload("big.tar.gz", randomBytes(SINGLE_PUT_BYTES + 1_000_000));
  line.result({ uploads: [upload] });
  assert.equal((await line.next("result_ok")).state, "succeeded");
  assert.equal((await build.view())?.record.artifacts[0]?.size, SINGLE_PUT_BYTES + 1_000_000);
  line.close();
});

test("a target whose file went missing is built again, and its manifest replaced", async () => {
  const request = freshRequest();
  const target = env.TARGETS.getByName(request.key);
  const ids: string[] = [];
  for (let round = 0; round < 2; round++) {
    const answer = await target.request(request);
    assert.ok(answer.kind === "admitted");
    const id = answer.build.build_id;
    ids.push(id);
    const build = env.BUILDS.getByName(id);
    const line = await Line.dial(id, 1, await begun(build));
    line.start();
    line.result({ uploads: [await line.upload("tool.tar.gz", Buffer.from(`round ${round}`))] });
    assert.equal((await line.next("result_ok")).state, "succeeded");
    const { objects } = await env.ARTIFACTS.list({ prefix: `builds/${id}/` });
    assert.equal(objects.length, 1);
    if (round === 0) await env.ARTIFACTS.delete(objects[0]?.key as string);
    line.close();
  }
  const manifest = await env.ARTIFACTS.get(manifestKey(request.key));
  assert.equal(JSON.parse((await manifest?.text()) ?? "{}").build_id, ids[1]);
});

test("requests of one target at once make one build", async () => {
  const request = freshRequest();
  const target = env.TARGETS.getByName(request.key);
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => target.request({ ...request, caller: `token:${i}` })),
  );
  assert.equal(answers.filter(({ kind }) => kind === "admitted").length, 1);
  const ids = new Set(answers.map((answer) => "build" in answer && answer.build.build_id));
  assert.equal(ids.size, 1);
});

test("only the lease of an attempt opens its socket", async () => {
  const { id, build } = await freshBuild();
  const lease = await begun(build);
  const refused = (attempt: number, token: string, build = id) =>
    assert.rejects(Line.dial(build, attempt, token), /Unexpected server response: 40[134]/);
  await refused(1, "0".repeat(64));
  await refused(1, "not hex");
  await refused(2, lease);
  await refused(1, lease, "f".repeat(32));
});

test("a newer socket of an attempt takes the place of the older one", async () => {
  const { id, build } = await freshBuild();
  const lease = await begun(build);
  const older = await Line.dial(id, 1, lease);
  older.start();
  await older.next("ready");
  const newer = await Line.dial(id, 1, lease);
  assert.equal((await older.closed).code, CLOSE.replaced);
  newer.start();
  await newer.next("ready");
  newer.close();
});

test("a frame that does not parse closes the socket, an unknown one is passed over", async () => {
  const { id, build } = await freshBuild();
  const lease = await begun(build);
  const line = await Line.dial(id, 1, lease);
  line.start();
  line.sendRaw('{"t":"from the future"}');
  line.sendRaw(PING);
  line.sendRaw('{"t":"log","entries":[]}');
  const { code, reason } = await line.closed;
  assert.equal(code, CLOSE.badFrame);
  assert.match(reason, /entries/);
  const again = await Line.dial(id, 1, lease);
  again.start();
  await again.next("ready");
  again.close();
});

test("a cancelled attempt hears of it, also on the socket it opens later", async () => {
  const { id, build } = await freshBuild();
  const lease = await begun(build);
  const line = await Line.dial(id, 1, lease);
  line.start();
  await line.next("ready");
  assert.equal((await build.cancel("admin")).kind, "cancelling");
  assert.equal((await line.next("cancel")).outcome, "cancelled");
  line.close();
  const again = await Line.dial(id, 1, lease);
  again.start();
  await again.next("cancel");
  again.result({ outcome: "cancelled", class: "cancelled" });
  assert.equal((await again.next("result_ok")).state, "cancelled");
  const reader = await build.wait(1_000);
  assert.equal(reader?.class, "cancelled");
  again.close();
});

test("a credential is sealed at rest, reaches the attempt in clear, and is gone at the end", async () => {
  const credential = await seal({ RAILHEAD_SECRET: SECRET }, "token of a private host");
  const { id, build } = await freshBuild({ ...freshRequest(), credential });
  const lease = await begun(build);
  await build.ensure(id, { ...freshRequest(), caller: "token:x", credential: "s1.of another key" });
  const stored = async () => {
    const storage = await server.getWorker().getDurableObjectStorage("BUILDS", { name: id });
    return storage.exec<{ credential: string }>(
      "SELECT credential FROM callers WHERE credential IS NOT NULL",
    );
  };
  assert.equal((await stored()).length, 2);
  assert.doesNotMatch(JSON.stringify(await stored()), /private host/);
  const line = await Line.dial(id, 1, lease);
  line.start();
  assert.deepEqual((await line.next("ready")).credentials, ["token of a private host"]);
  line.result({ outcome: "failed", class: "clone_error" });
  await line.next("result_ok");
  assert.deepEqual(await stored(), []);
  line.close();
});

test("looking at builds and targets that never were stores nothing", async () => {
  const id = randomBytes(16).toString("hex");
  const key = targetKey({ ...TARGET, version: "v9.9.9" });
  assert.equal(await env.BUILDS.getByName(id).view(), null);
  assert.equal(await env.BUILDS.getByName(id).log(0, 1_000, 1_000), null);
  assert.equal(await env.TARGETS.getByName(key).current(), null);
  const storage = await server.getWorker().getDurableObjectStorage("BUILDS", { name: id });
  const tables = await storage.exec<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\'",
  );
  assert.deepEqual(tables, []);
});
