import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { makeRepository } from "../../cli/dev/repository.ts";
import type { BuildRecord } from "../../shared/builds.ts";
import { type AttemptDown, CLOSE, PROTOCOL_VERSION } from "../../shared/protocol.ts";
import { until } from "../support/until.ts";
import { type ControlLine, HELLO, json, Operator, prove } from "./control-line.ts";
import { ADMIN_TOKEN, type Edge, startEdge } from "./edge.ts";

const MORE = { from_the_future: { much: ["more"] } };

describe("an agent of another protocol version", { timeout: 120_000 }, () => {
  let edge: Edge;
  let operator: Operator;

  before(async () => {
    edge = await startEdge();
    operator = new Operator(edge.url, ADMIN_TOKEN);
    await makeRepository(join(edge.root, "o/tool.git"), [{ files: { n: "0" }, tag: "v1.0.0" }]);
  });
  after(() => edge.close());

  /** A control socket over which nothing was said yet. */
  async function dialled(name: string): Promise<ControlLine> {
    const registered = await operator.register(name);
    const nonce = await operator.nonceOf(registered.agent);
    const line = operator.dial(registered.agent, await prove(registered, nonce));
    assert.equal(await line.opened, 101);
    return line;
  }

  /** Opens the socket of an attempt; answers what comes over it. */
  async function attemptSocket(build: string, attempt: number, lease: string) {
    const socket = new WebSocket(
      `${edge.url.replace("http", "ws")}/agent/builds/${build}/attempts/${attempt}`,
      { headers: { authorization: `Bearer ${lease}` } },
    );
    const frames: AttemptDown[] = [];
    socket.on("message", (data) => frames.push(JSON.parse(String(data))));
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const send = (frame: object) => socket.send(JSON.stringify({ ...frame, ...MORE }));
    const next = (t: AttemptDown["t"]) =>
      until(`a ${t} frame`, () => frames.find((frame) => frame.t === t));
    return { socket, send, next };
  }

  test("one newer builds, though it says more than this edge knows", async () => {
    const protocol = PROTOCOL_VERSION + 1;
    const line = await dialled("newer");
    const say = (frame: object) => line.socket.send(JSON.stringify({ ...frame, ...MORE }));
    say({ t: "greetings" });
    say({ ...HELLO, protocol });
    await line.next("welcome");
    const { build_id } = await json<{ build_id: string }>(
      await edge.call("/git.example/o/tool/linux/amd64/v1.0.0", { method: "POST" }),
      202,
    );
    const { build, attempt, lease } = await line.next("assign");
    assert.equal(build, build_id);
    say({ t: "accept", build, attempt });
    const { socket, send, next } = await attemptSocket(build, attempt, lease);
    send({ t: "weather", sky: "clear" });
    send({ t: "start", protocol, instance: HELLO.instance, workspace: "w" });
    await next("ready");
    const time = new Date().toISOString();
    send({ t: "log", entries: [{ seq: 1, time, level: "info", msg: "a line", ...MORE }] });
    await next("ack");
    send({
      t: "result",
      outcome: "failed",
      class: "beam_crash",
      reason: "The machine crashed.",
      last_seq: 1,
      uploads: [],
      repositories: [],
      phases: {},
    });
    await next("result_ok");
    say({ t: "done", build, attempt });
    const record = await json<BuildRecord>(await edge.call(`/builds/${build}`), 200);
    assert.deepEqual(
      [record.state, record.class, record.reason],
      ["failed", "agent_error", "The machine crashed."],
    );
    socket.terminate();
    line.socket.terminate();
  });

  test("one older is welcome", async () => {
    const line = await dialled("older");
    line.say({ ...HELLO, protocol: PROTOCOL_VERSION - 1 });
    await line.next("welcome");
    line.socket.terminate();
  });

  test("two apart is told so at once, with both versions, even if the rest of its hello means nothing here", async () => {
    for (const protocol of [PROTOCOL_VERSION + 2, PROTOCOL_VERSION - 2])
      for (const hello of [
        { ...HELLO, protocol },
        { t: "hello", protocol, capacity: "many" },
      ]) {
        const line = await dialled(`far-${protocol}-${typeof hello.capacity}`);
        line.socket.send(JSON.stringify(hello));
        const { code, reason } = await line.end();
        assert.equal(code, CLOSE.incompatible);
        assert.match(
          reason,
          new RegExp(`protocol ${protocol}, the edge ${PROTOCOL_VERSION}: upgrade`),
        );
      }
  });
});
