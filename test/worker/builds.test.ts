import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { makeRepository } from "../../cli/dev/repository.ts";
import type { BuildRecord } from "../../shared/builds.ts";
import { MESSAGES } from "../../shared/log.ts";
import { lines, serverEvents } from "../support/sse.ts";
import { until } from "../support/until.ts";
import { startAgent, type TestAgent, type TestAttempt } from "./agent.ts";
import { ADMIN_TOKEN, type Edge, problemOf, startEdge } from "./edge.ts";

type Line = { build_id: string; level: string; msg: string; time: string; position: number };

describe("a build over HTTP", () => {
  let edge: Edge;
  let agent: TestAgent;
  let minor = 0;

  before(async () => {
    edge = await startEdge();
    await makeRepository(
      join(edge.root, "o/tool.git"),
      Array.from({ length: 30 }, (_, i) => ({ files: { n: `${i}` }, tag: `v1.${i}.0` })),
    );
    agent = await startAgent(edge.url);
  });
  after(async () => {
    agent.close();
    await edge.close();
  });

  /** A path that no other test builds. */
  function newPath(): string {
    return `/git.example/o/tool/linux/amd64/v1.${minor++}.0`;
  }

  async function post(path: string): Promise<{ id: string; attempt: TestAttempt }> {
    const response = await edge.call(path, { method: "POST" });
    assert.equal(response.status, 202);
    const { build_id } = (await response.json()) as { build_id: string };
    const attempt = await agent.attempt();
    assert.equal(attempt.build, build_id);
    return { id: build_id, attempt };
  }

  async function record(id: string): Promise<BuildRecord> {
    const response = await edge.call(`/builds/${id}`);
    assert.equal(response.status, 200);
    return (await response.json()) as BuildRecord;
  }

  async function log(id: string, query = "", headers: Record<string, string> = {}) {
    const response = await edge.call(`/builds/${id}/logs${query}`, { headers });
    assert.equal(response.status, 200);
    return response;
  }

  async function entries(id: string, query = ""): Promise<Line[]> {
    const text = await (await log(id, query)).text();
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  test("POST, follow, GET, download: the whole way", async () => {
    const path = newPath();
    const building = edge.call(`${path}?wait=60`, { method: "POST" });
    const attempt = await agent.attempt();
    await attempt.say(["hello from make"]);
    const bytes = Buffer.alloc(100_000, "x");
    await attempt.upload("tool_linux_amd64.tar.gz", bytes);
    const running = await edge.call(path);
    assert.equal(running.status, 404);
    const problem = await problemOf(running);
    assert.equal(problem.code, "building");
    assert.equal(problem.build_id, attempt.build);
    assert.ok(running.headers.get("retry-after"));
    await attempt.finish({ outcome: "succeeded" });

    const waited = await building;
    assert.equal(waited.status, 303);
    const location = waited.headers.get("location") ?? "";
    assert.equal(location, `${path}/tool_linux_amd64.tar.gz`);
    const download = await edge.call(location);
    assert.deepEqual(Buffer.from(await download.arrayBuffer()), bytes);

    const ended = await record(attempt.build);
    assert.equal(ended.state, "succeeded");
    assert.equal(ended.artifact, `${edge.url}${location}`);
    assert.equal(ended.artifacts[0]?.url, `${edge.url}${location}`);
    assert.equal(ended.artifacts[0]?.sha256, createHash("sha256").update(bytes).digest("hex"));
    assert.equal(ended.log, `${edge.url}/builds/${attempt.build}/logs`);

    const all = await entries(attempt.build);
    assert.equal(all[0]?.msg, MESSAGES.joined);
    assert.equal(all.at(-1)?.msg, MESSAGES.successful);
    for (const { build_id, level, msg, time } of all) {
      assert.equal(build_id, attempt.build);
      assert.equal(level, "info");
      assert.equal(typeof msg, "string");
      assert.ok(!Number.isNaN(Date.parse(time)));
    }
    const again = await edge.call(path, { method: "POST" });
    assert.equal(again.status, 409);
  });

  test("the id is taken with dashes too, and an unknown one is 404", async () => {
    const { id, attempt } = await post(newPath());
    const dashed = id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    assert.equal((await record(dashed)).build_id, id);
    assert.equal((await record(id.toUpperCase())).build_id, id);
    await attempt.finish({ outcome: "failed", class: "compile_error", reason: "no." });
    for (const unknown of ["0".repeat(32), "xyz", `${id}0`, "%00", "..%2f"])
      for (const rest of ["", "/logs", "/logs?follow=1"])
        for (const method of ["GET", "HEAD"]) {
          const response = await edge.call(`/builds/${unknown}${rest}`, { method });
          assert.equal(response.status, 404, `${method} ${unknown}${rest}`);
          if (method === "GET") assert.equal((await problemOf(response)).code, "no_such_build");
        }
  });

  test("a build that failed says why to who waits, to GET and in its record; the next POST builds anew", async () => {
    const path = newPath();
    const waiting = edge.call(path, { method: "POST", headers: { prefer: "wait=60" } });
    const attempt = await agent.attempt();
    await attempt.finish({
      outcome: "failed",
      class: "compile_error",
      reason: "main.go:3: undefined: x. Repair it and build the next tag.",
    });
    for (const response of [await waiting, await edge.call(path)]) {
      assert.equal(response.status, 404);
      const problem = await problemOf(response);
      assert.equal(problem.code, "build_failed");
      assert.equal(problem.class, "compile_error");
      assert.match(String(problem.reason), /undefined: x/);
      assert.equal(problem.log, `${edge.url}/builds/${attempt.build}/logs`);
    }
    const { state, class: endClass } = await record(attempt.build);
    assert.deepEqual([state, endClass], ["failed", "compile_error"]);
    const next = await post(path);
    assert.notEqual(next.id, attempt.build);
    await next.attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
  });

  test("a wait that is too short is answered 202 with the same build", async () => {
    const path = newPath();
    const first = await edge.call(`${path}?wait=1`, { method: "POST" });
    assert.equal(first.status, 202);
    const { build_id, status } = (await first.json()) as Record<string, string>;
    assert.match(status ?? "", /^(queued|running)$/);
    const attempt = await agent.attempt();
    const joined = await edge.call(path, { method: "POST" });
    assert.equal(((await joined.json()) as { build_id: string }).build_id, build_id);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
  });

  test("a follower sees lines as they come, and the stream ends with the build", async () => {
    const { id, attempt } = await post(newPath());
    const seen: string[] = [];
    const reading = (async () => {
      for await (const line of lines(await log(id, "?follow=1"))) seen.push(JSON.parse(line).msg);
    })();
    await attempt.say(["first"]);
    await until("the first line", () => seen.includes("first"));
    await attempt.say(["second"]);
    await until("the second line", () => seen.includes("second"));
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "make: no." });
    await reading;
    assert.deepEqual(
      seen,
      (await entries(id)).map(({ msg }) => msg),
    );
  });

  test("without follow, the log so far is answered at once", async () => {
    const { id, attempt } = await post(newPath());
    await attempt.say(["so far"]);
    assert.ok((await entries(id)).some(({ msg }) => msg === "so far"));
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
  });

  test("?after= goes on behind a position", async () => {
    const { id, attempt } = await post(newPath());
    await attempt.say(["one", "two", "three"]);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    await until("the end", async () => (await record(id)).state === "failed");
    const all = await entries(id);
    for (const { position } of all)
      assert.deepEqual(
        await entries(id, `?after=${position}`),
        all.slice(all.findIndex((entry) => entry.position === position) + 1),
      );
    assert.deepEqual(await entries(id, "?after=999999999"), []);
  });

  test("text/plain has the lines alone", async () => {
    const { id, attempt } = await post(newPath());
    await attempt.say(["a line of make"]);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    const response = await log(id, "?follow=1", { accept: "text/plain" });
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
    const text = await response.text();
    assert.ok(text.startsWith(`==> ${MESSAGES.joined}\n`), text);
    assert.ok(text.includes("\na line of make\n"));
  });

  test("Server-Sent Events resume behind the last id and end with an event", async () => {
    const { id, attempt } = await post(newPath());
    await attempt.say(["one", "two"]);
    const headers = { accept: "text/event-stream" };
    const first = serverEvents(await log(id, "", headers));
    let cut: string | null = null;
    for await (const event of first) {
      if (event.event === "message" && event.data !== "" && JSON.parse(event.data).msg === "one") {
        cut = event.id;
        break;
      }
    }
    assert.ok(cut !== null);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    const rest: string[] = [];
    let end = "";
    const resumed = await log(id, "", { ...headers, "last-event-id": cut });
    for await (const event of serverEvents(resumed)) {
      if (event.event === "end") end = event.id ?? "";
      else if (event.data !== "") rest.push(JSON.parse(event.data).msg);
    }
    const all = await entries(id);
    assert.deepEqual(
      rest,
      all.slice(all.findIndex(({ msg }) => msg === "one") + 1).map(({ msg }) => msg),
    );
    assert.equal(end, String(all.at(-1)?.position));
  });

  test("a WebSocket gets a frame an entry, and is closed normally at the end", async () => {
    const { id, attempt } = await post(newPath());
    const socket = new WebSocket(`${edge.url.replace("http", "ws")}/builds/${id}/logs`);
    const seen: string[] = [];
    socket.on("message", (data) => {
      const text = String(data);
      seen.push(text === "pong" ? text : JSON.parse(text).msg);
    });
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send("ping");
    socket.send(JSON.stringify({ credit: 1_000_000 }));
    await attempt.say(["live"]);
    await until("the frame", () => seen.includes("live"));
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    assert.equal(await closed, 1000);
    assert.ok(seen.includes("pong"));
    assert.equal(seen.at(-1), (await entries(id)).at(-1)?.msg);
  });

  test("a viewer that gives no credit is cut off with the position to come back with", async () => {
    const { id, attempt } = await post(newPath());
    const line = "x".repeat(16_000);
    for (let i = 0; i < 90; i++) await attempt.say([line, line, line, line]);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
    const view = async (after: string, credit: boolean) => {
      const socket = new WebSocket(
        `${edge.url.replace("http", "ws")}/builds/${id}/logs?after=${after}`,
      );
      const positions: number[] = [];
      socket.on("message", (data) => {
        const text = String(data);
        positions.push(JSON.parse(text).position);
        if (credit) socket.send(JSON.stringify({ credit: text.length }));
      });
      if (credit) socket.on("open", () => socket.send('{"credit":65536}'));
      return new Promise<{ code: number; reason: string; positions: number[] }>((resolve) =>
        socket.once("close", (code, reason) =>
          resolve({ code, reason: String(reason), positions }),
        ),
      );
    };
    const first = await view("0", false);
    assert.equal(first.code, 4010);
    assert.equal(first.reason, String(first.positions.at(-1)));
    const second = await view(first.reason, false);
    assert.equal(second.code, 1000);
    const whole = await view("0", true);
    assert.equal(whole.code, 1000);
    assert.deepEqual([...first.positions, ...second.positions], whole.positions);
  });

  test("a bad frame from a viewer closes its socket", async () => {
    const { id, attempt } = await post(newPath());
    for (const frame of ["{}", "nonsense", '{"credit":0}', '{"credit":1e99}', '{"credit":"1"}']) {
      const socket = new WebSocket(`${edge.url.replace("http", "ws")}/builds/${id}/logs`);
      socket.once("open", () => socket.send(frame));
      assert.equal(await new Promise((resolve) => socket.once("close", resolve)), 4008, frame);
    }
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
  });

  test("whoever posted may cancel, and the agent is told", async () => {
    const { id, attempt } = await post(newPath());
    const response = await edge.call(`/builds/${id}`, { method: "DELETE" });
    assert.equal(response.status, 202);
    assert.equal(((await response.json()) as { result: string }).result, "cancelling");
    await attempt.cancelled();
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
    await until("the end", async () => (await record(id)).state === "cancelled");
    const again = await edge.call(`/builds/${id}`, { method: "DELETE" });
    assert.equal(again.status, 409);
    assert.equal((await problemOf(again)).code, "already_ended");
  });

  test("a stranger may not cancel, the admin may", async () => {
    const path = newPath();
    const posted = await edge.call(path, {
      method: "POST",
      headers: { "cf-connecting-ip": "192.0.2.1" },
    });
    const { build_id: id } = (await posted.json()) as { build_id: string };
    const attempt = await agent.attempt();
    const cancel = (headers: Record<string, string>) =>
      edge.call(`/builds/${id}`, { method: "DELETE", headers });
    const stranger = await cancel({ "cf-connecting-ip": "192.0.2.2" });
    assert.equal(stranger.status, 403);
    assert.equal((await problemOf(stranger)).code, "forbidden");
    const forged = await cancel({ authorization: "Bearer rh_forged" });
    assert.equal(forged.status, 401);
    const admin = await cancel({ authorization: `Bearer ${ADMIN_TOKEN}` });
    assert.equal(admin.status, 202);
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
    assert.equal((await edge.call(`/builds/${"0".repeat(32)}`, { method: "DELETE" })).status, 404);
  });

  test("bad queries and headers are refused with what is right", async () => {
    const { id, attempt } = await post(newPath());
    for (const query of ["?after=-1", "?after=x", "?after=1e9", "?after=", "?follow=maybe"]) {
      const response = await edge.call(`/builds/${id}/logs${query}`);
      assert.equal(response.status, 400, query);
      assert.equal((await problemOf(response)).code, "bad_query");
    }
    const response = await edge.call(`/builds/${id}/logs`, {
      headers: { "last-event-id": "x" },
    });
    assert.equal((await problemOf(response)).code, "bad_header");
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
  });

  test("wrong methods name the right ones", async () => {
    const id = "0".repeat(32);
    for (const [path, allow] of [
      [`/builds/${id}`, "GET, HEAD, DELETE"],
      [`/builds/${id}/logs`, "GET, HEAD"],
    ] as const) {
      const response = await edge.call(path, { method: "PATCH" });
      assert.equal(response.status, 405);
      assert.equal(response.headers.get("allow"), allow);
    }
  });

  test("a part is taken with its own ticket, its exact length and its own bytes only", async () => {
    const { attempt } = await post(newPath());
    const bytes = Buffer.from("the bytes of one file");
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const upload = await attempt.openUpload("tool_linux_amd64.tar.gz", bytes.length, sha256);
    const ticket = await attempt.ticket(upload, 1);
    const put = async (...args: Parameters<TestAttempt["putPart"]>) => {
      const response = await attempt.putPart(...args);
      return [response.status, response.ok ? "" : (await problemOf(response)).code];
    };
    const chunked = () => new Blob([bytes]).stream();
    assert.deepEqual(await put(upload, 2, ticket, bytes), [401, "unauthorized"]);
    assert.deepEqual(await put("0".repeat(32), 1, ticket, bytes), [401, "unauthorized"]);
    assert.deepEqual(await put(upload, 1, "forged", bytes), [401, "unauthorized"]);
    assert.deepEqual(await put(upload, 1, ticket, chunked()), [411, "length_required"]);
    assert.deepEqual(await put(upload, 1, ticket, bytes.subarray(1)), [400, "bad_checksum"]);
    assert.deepEqual(await put(upload, 1, ticket, Buffer.alloc(100)), [413, "too_large"]);
    const other = Buffer.alloc(bytes.length, "y");
    assert.deepEqual(await put(upload, 1, ticket, other), [400, "bad_checksum"]);
    assert.deepEqual(await put("nonsense", 1, ticket, bytes), [400, "bad_path"]);
    assert.deepEqual(await put(upload, 1, ticket, bytes), [200, ""]);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no.", uploads: [] });
  });

  test("an attempt's socket opens for its lease only", async () => {
    const { id, attempt } = await post(newPath());
    const plain = await edge.call(`/agent/builds/${id}/attempts/1`);
    assert.equal(plain.status, 426);
    for (const path of [`/agent/builds/${id}/attempts/1`, `/agent/builds/${id}/attempts/2`]) {
      const socket = new WebSocket(`${edge.url.replace("http", "ws")}${path}`, {
        headers: { authorization: `Bearer ${"0".repeat(64)}` },
      });
      socket.on("error", () => {});
      const status = await new Promise((resolve) =>
        socket.once("unexpected-response", (request, response) => {
          resolve(response.statusCode);
          request.destroy();
        }),
      );
      assert.equal(status, 403);
    }
    for (const path of ["/agent/builds/x/attempts/1", `/agent/builds/${id}/attempts/0`])
      assert.equal((await edge.call(path)).status, 400);
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "no." });
  });
});
