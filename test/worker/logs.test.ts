import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { MESSAGES } from "../../shared/log.ts";
import { lines, serverEvents } from "../support/sse.ts";
import { until } from "../support/until.ts";
import { problemOf } from "./edge.ts";
import { FAILED, openWorkshop, type Workshop } from "./workshop.ts";

describe("a log over HTTP", { timeout: 120_000 }, () => {
  let shop: Workshop;

  before(async () => {
    shop = await openWorkshop();
  });
  after(() => shop.close());

  test("a follower sees lines as they come, and the stream ends with the build", async () => {
    const { id, attempt } = await shop.post();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const line of lines(await shop.log(id, "?follow=1")))
        seen.push(JSON.parse(line).msg);
    })();
    await attempt.say(["first"]);
    await until("the first line", () => seen.includes("first"));
    await attempt.say(["second"]);
    await until("the second line", () => seen.includes("second"));
    await attempt.finish({ outcome: "failed", class: "make_error", reason: "make: no." });
    await reading;
    assert.deepEqual(
      seen,
      (await shop.entries(id)).map(({ msg }) => msg),
    );
  });

  test("without follow, the log so far is answered at once", async () => {
    const { id, attempt } = await shop.post();
    await attempt.say(["so far"]);
    assert.ok((await shop.entries(id)).some(({ msg }) => msg === "so far"));
    await attempt.finish(FAILED);
  });

  test("?after= goes on behind a position", async () => {
    const { id, attempt } = await shop.post();
    await attempt.say(["one", "two", "three"]);
    await attempt.finish(FAILED);
    await until("the end", async () => (await shop.record(id)).state === "failed");
    const all = await shop.entries(id);
    for (const { position } of all)
      assert.deepEqual(
        await shop.entries(id, `?after=${position}`),
        all.slice(all.findIndex((entry) => entry.position === position) + 1),
      );
    assert.deepEqual(await shop.entries(id, "?after=999999999"), []);
  });

  test("the log of an ended build moves to R2 and reads the same from there", async () => {
    const { id, attempt } = await shop.post();
    const many = Array.from({ length: 2_000 }, (_, i) => `line ${i} ${"ä€😀".repeat(50)}`);
    for (let i = 0; i < many.length; i += 100) await attempt.say(many.slice(i, i + 100));
    await attempt.finish(FAILED);
    const following = await shop.entries(id, "?follow=1");
    await until("the copy", () => shop.edge.bucket.head(`logs/${id}.ndjson`));
    const stored = await shop.entries(id);
    assert.deepEqual(stored, following);
    assert.deepEqual(
      stored.filter(({ msg }) => msg.startsWith("line ")).map(({ msg }) => msg),
      many,
    );
    const half = stored[1_500]?.position;
    assert.deepEqual(await shop.entries(id, `?follow=1&after=${half}`), stored.slice(1_501));
  });

  test("text/plain has the lines alone", async () => {
    const { id, attempt } = await shop.post();
    await attempt.say(["a line of make"]);
    await attempt.finish(FAILED);
    const response = await shop.log(id, "?follow=1", { accept: "text/plain" });
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
    const text = await response.text();
    assert.ok(text.startsWith(`==> ${MESSAGES.joined}\n`), text);
    assert.ok(text.includes("\na line of make\n"));
  });

  test("Server-Sent Events resume behind the last id and end with an event", async () => {
    const { id, attempt } = await shop.post();
    await attempt.say(["one", "two"]);
    const headers = { accept: "text/event-stream" };
    const first = serverEvents(await shop.log(id, "", headers));
    let cut: string | null = null;
    for await (const event of first) {
      if (event.event === "message" && event.data !== "" && JSON.parse(event.data).msg === "one") {
        cut = event.id;
        break;
      }
    }
    assert.ok(cut !== null);
    await attempt.finish(FAILED);
    const rest: string[] = [];
    let end = "";
    const resumed = await shop.log(id, "", { ...headers, "last-event-id": cut });
    for await (const event of serverEvents(resumed)) {
      if (event.event === "end") end = event.id ?? "";
      else if (event.data !== "") rest.push(JSON.parse(event.data).msg);
    }
    const all = await shop.entries(id);
    assert.deepEqual(
      rest,
      all.slice(all.findIndex(({ msg }) => msg === "one") + 1).map(({ msg }) => msg),
    );
    assert.equal(end, String(all.at(-1)?.position));
  });

  test("a WebSocket gets a frame an entry, and is closed normally at the end", async () => {
    const { id, attempt } = await shop.post();
    const socket = new WebSocket(`${shop.edge.url.replace("http", "ws")}/builds/${id}/logs`);
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
    await attempt.finish(FAILED);
    assert.equal(await closed, 1000);
    assert.ok(seen.includes("pong"));
    assert.equal(seen.at(-1), (await shop.entries(id)).at(-1)?.msg);
  });

  test("a viewer that gives no credit is cut off with the position to come back with", async () => {
    const { id, attempt } = await shop.post();
    const line = "x".repeat(16_000);
    for (let i = 0; i < 90; i++) await attempt.say([line, line, line, line]);
    await attempt.finish(FAILED);
    const view = async (after: string, credit: boolean) => {
      const socket = new WebSocket(
        `${shop.edge.url.replace("http", "ws")}/builds/${id}/logs?after=${after}`,
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
    const { id, attempt } = await shop.post();
    for (const frame of ["{}", "nonsense", '{"credit":0}', '{"credit":1e99}', '{"credit":"1"}']) {
      const socket = new WebSocket(`${shop.edge.url.replace("http", "ws")}/builds/${id}/logs`);
      socket.once("open", () => socket.send(frame));
      assert.equal(await new Promise((resolve) => socket.once("close", resolve)), 4008, frame);
    }
    await attempt.finish(FAILED);
  });

  test("bad queries and headers are refused with what is right", async () => {
    const { id, attempt } = await shop.post();
    for (const query of ["?after=-1", "?after=x", "?after=1e9", "?after=", "?follow=maybe"]) {
      const response = await shop.edge.call(`/builds/${id}/logs${query}`);
      assert.equal(response.status, 400, query);
      assert.equal((await problemOf(response)).code, "bad_query");
    }
    const response = await shop.edge.call(`/builds/${id}/logs`, {
      headers: { "last-event-id": "x" },
    });
    assert.equal((await problemOf(response)).code, "bad_header");
    await attempt.finish(FAILED);
  });
});
