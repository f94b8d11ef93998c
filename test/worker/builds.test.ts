import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { MESSAGES } from "../../shared/log.ts";
import { until } from "../support/until.ts";
import { fileOf, type TestAttempt } from "./agent.ts";
import { ADMIN_TOKEN, problemOf } from "./edge.ts";
import { FAILED, openWorkshop, type Workshop } from "./workshop.ts";

describe("a build over HTTP", { timeout: 120_000 }, () => {
  let shop: Workshop;

  before(async () => {
    shop = await openWorkshop();
  });
  after(() => shop.close());

  test("POST, follow, GET, download: the whole way", async () => {
    const path = shop.newPath();
    const building = shop.edge.call(`${path}?wait=60`, { method: "POST" });
    const attempt = await shop.agent.attempt();
    await attempt.say(["hello from make"]);
    const bytes = Buffer.alloc(100_000, "x");
    await attempt.upload("tool_linux_amd64.tar.gz", bytes);
    const running = await shop.edge.call(path);
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
    const download = await shop.edge.call(location);
    assert.deepEqual(Buffer.from(await download.arrayBuffer()), bytes);

    const ended = await shop.record(attempt.build);
    assert.equal(ended.state, "succeeded");
    assert.equal(ended.artifact, `${shop.edge.url}${location}`);
    assert.equal(ended.artifacts[0]?.url, `${shop.edge.url}${location}`);
    assert.equal(ended.artifacts[0]?.sha256, createHash("sha256").update(bytes).digest("hex"));
    assert.equal(ended.log, `${shop.edge.url}/builds/${attempt.build}/logs`);

    const all = await shop.entries(attempt.build);
    assert.equal(all[0]?.msg, MESSAGES.joined);
    assert.equal(all.at(-1)?.msg, MESSAGES.successful);
    for (const { build_id, level, msg, time } of all) {
      assert.equal(build_id, attempt.build);
      assert.equal(level, "info");
      assert.equal(typeof msg, "string");
      assert.ok(!Number.isNaN(Date.parse(time)));
    }
    const again = await shop.edge.call(path, { method: "POST" });
    assert.equal(again.status, 409);
  });

  test("the id is taken with dashes too, and an unknown one is 404", async () => {
    const { id, attempt } = await shop.post();
    const dashed = id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    assert.equal((await shop.record(dashed)).build_id, id);
    assert.equal((await shop.record(id.toUpperCase())).build_id, id);
    await attempt.finish({ outcome: "failed", class: "compile_error", reason: "no." });
    for (const unknown of ["0".repeat(32), "xyz", `${id}0`, "%00", "..%2f"])
      for (const rest of ["", "/logs", "/logs?follow=1"])
        for (const method of ["GET", "HEAD"]) {
          const response = await shop.edge.call(`/builds/${unknown}${rest}`, { method });
          assert.equal(response.status, 404, `${method} ${unknown}${rest}`);
          if (method === "GET") assert.equal((await problemOf(response)).code, "no_such_build");
        }
  });

  test("a build that failed says why to who waits, to GET and in its record; the next POST builds anew", async () => {
    const path = shop.newPath();
    const waiting = shop.edge.call(path, { method: "POST", headers: { prefer: "wait=60" } });
    const attempt = await shop.agent.attempt();
    await attempt.finish({
      outcome: "failed",
      class: "compile_error",
      reason: "main.go:3: undefined: x. Repair it and build the next tag.",
    });
    for (const response of [await waiting, await shop.edge.call(path)]) {
      assert.equal(response.status, 404);
      const problem = await problemOf(response);
      assert.equal(problem.code, "build_failed");
      assert.equal(problem.class, "compile_error");
      assert.match(String(problem.reason), /undefined: x/);
      assert.equal(problem.log, `${shop.edge.url}/builds/${attempt.build}/logs`);
    }
    const { state, class: endClass } = await shop.record(attempt.build);
    assert.deepEqual([state, endClass], ["failed", "compile_error"]);
    const next = await shop.post(path);
    assert.notEqual(next.id, attempt.build);
    await next.attempt.finish(FAILED);
  });

  test("a wait that is too short is answered 202 with the same build", async () => {
    const path = shop.newPath();
    const first = await shop.edge.call(`${path}?wait=1`, { method: "POST" });
    assert.equal(first.status, 202);
    const { build_id, status } = (await first.json()) as Record<string, string>;
    assert.match(status ?? "", /^(queued|running)$/);
    const attempt = await shop.agent.attempt();
    const joined = await shop.edge.call(path, { method: "POST" });
    assert.equal(((await joined.json()) as { build_id: string }).build_id, build_id);
    await attempt.finish(FAILED);
  });

  test("whoever posted may cancel, and the agent is told", async () => {
    const { id, attempt } = await shop.post();
    const response = await shop.edge.call(`/builds/${id}`, { method: "DELETE" });
    assert.equal(response.status, 202);
    const said = (await response.json()) as { result: string };
    assert.equal(said.result, "cancelling");
    const repeated = await shop.edge.call(`/builds/${id}`, { method: "DELETE" });
    assert.equal(repeated.status, 202, "a repeat is answered alike");
    assert.deepEqual(await repeated.json(), said);
    await attempt.cancelled();
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
    await until("the end", async () => (await shop.record(id)).state === "cancelled");
    const again = await shop.edge.call(`/builds/${id}`, { method: "DELETE" });
    assert.equal(again.status, 409);
    assert.equal((await problemOf(again)).code, "already_ended");
  });

  test("a stranger may not cancel, the admin may", async () => {
    const path = shop.newPath();
    const posted = await shop.edge.call(path, {
      method: "POST",
      headers: { "cf-connecting-ip": "192.0.2.1" },
    });
    const { build_id: id } = (await posted.json()) as { build_id: string };
    const attempt = await shop.agent.attempt();
    const cancel = (headers: Record<string, string>) =>
      shop.edge.call(`/builds/${id}`, { method: "DELETE", headers });
    const stranger = await cancel({ "cf-connecting-ip": "192.0.2.2" });
    assert.equal(stranger.status, 403);
    assert.equal((await problemOf(stranger)).code, "forbidden");
    const forged = await cancel({ authorization: "Bearer rh_forged" });
    assert.equal(forged.status, 401);
    const admin = await cancel({ authorization: `Bearer ${ADMIN_TOKEN}` });
    assert.equal(admin.status, 202);
    await attempt.finish({ outcome: "cancelled", class: "cancelled" });
    assert.equal(
      (await shop.edge.call(`/builds/${"0".repeat(32)}`, { method: "DELETE" })).status,
      404,
    );
  });

  test("wrong methods name the right ones", async () => {
    const id = "0".repeat(32);
    for (const [path, allow] of [
      [`/builds/${id}`, "GET, HEAD, DELETE"],
      [`/builds/${id}/logs`, "GET, HEAD"],
    ] as const) {
      const response = await shop.edge.call(path, { method: "PATCH" });
      assert.equal(response.status, 405);
      assert.equal(response.headers.get("allow"), allow);
    }
  });

  test("a part is taken with its own ticket, its exact length and its own bytes only", async () => {
    const { attempt } = await shop.post();
    const bytes = Buffer.from("the bytes of one file");
    const { upload } = await attempt.announce(fileOf("tool_linux_amd64.tar.gz", bytes));
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
    const { id, attempt } = await shop.post();
    const plain = await shop.edge.call(`/agent/builds/${id}/attempts/1`);
    assert.equal(plain.status, 426);
    for (const path of [`/agent/builds/${id}/attempts/1`, `/agent/builds/${id}/attempts/2`]) {
      const socket = new WebSocket(`${shop.edge.url.replace("http", "ws")}${path}`, {
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
      assert.equal((await shop.edge.call(path)).status, 400);
    await attempt.finish(FAILED);
  });
});
