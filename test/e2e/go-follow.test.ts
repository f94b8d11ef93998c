import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { hello, TALKATIVE_LINES } from "../support/fixtures.ts";
import { lines, serverEvents } from "../support/sse.ts";
import { type Line, openStack, type TestStack } from "../support/stack.ts";

describe("following a build", () => {
  let stack: TestStack;

  before(async () => {
    stack = await openStack({ repositories: { "ada/hello": hello } });
  });
  after(() => stack?.close());

  test("output is seen while the build runs, line by line, and live is a prefix of stored", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/held");
    const seen: Line[] = [];
    const response = await stack.fetch(`/builds/${build_id}/logs?follow=1`);
    assert.match(response.headers.get("content-type") ?? "", /json/);
    for await (const line of lines(response)) {
      seen.push(JSON.parse(line) as Line);
      if (seen.at(-1)?.msg === "held: line 5") await stack.release(build_id);
    }
    assert.equal(seen.at(-1)?.msg, "Your build is successful.");
    assert.deepEqual(seen, await stack.log(build_id));
  });

  test("Server-Sent Events resume behind the last id that a client saw", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/held-2");
    const url = `/builds/${build_id}/logs`;
    const accept = "text/event-stream";

    const ids: string[] = [];
    const messages: string[] = [];
    const cut = new AbortController();
    const first = await stack.fetch(url, { headers: { accept }, signal: cut.signal });
    assert.match(first.headers.get("content-type") ?? "", /^text\/event-stream/);
    for await (const event of serverEvents(first)) {
      if (event.id === null || event.event !== "message") continue;
      ids.push(event.id);
      messages.push((JSON.parse(event.data) as Line).msg);
      if (messages.at(-1) === "held: line 3") break;
    }
    cut.abort();
    await stack.release(build_id);

    const second = await stack.fetch(url, {
      headers: { accept, "last-event-id": ids.at(-1) as string },
    });
    for await (const event of serverEvents(second)) {
      if (event.id === null || event.event !== "message") continue;
      messages.push((JSON.parse(event.data) as Line).msg);
      ids.push(event.id);
    }
    const stored = await stack.log(build_id);
    assert.deepEqual(
      messages,
      stored.map((line) => line.msg),
    );
    assert.equal(new Set(ids).size, ids.length, "ids are unique");
  });

  test("a WebSocket carries the same entries", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/held-3");
    const socket = new WebSocket(`${stack.url.replace("http", "ws")}/builds/${build_id}/logs`, {
      perMessageDeflate: false,
    });
    const seen: Line[] = [];
    socket.on("message", (data) => {
      const line = JSON.parse(String(data)) as Line;
      seen.push(line);
      if (line.msg === "held: line 2") stack.release(build_id).catch(() => socket.terminate());
    });
    const [code] = await once(socket, "close");
    assert.equal(code, 1000);
    assert.deepEqual(
      seen.map((line) => line.msg),
      (await stack.log(build_id)).map((line) => line.msg),
    );
  });

  test("twenty thousand lines arrive whole, in order, live and afterwards", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/talkative");
    const live: string[] = [];
    for await (const line of lines(await stack.fetch(`/builds/${build_id}/logs?follow=1`)))
      live.push((JSON.parse(line) as Line).msg);
    const expected = Array.from({ length: TALKATIVE_LINES }, (_, i) => `line ${i + 1}`);
    assert.deepEqual(
      live.filter((msg) => msg.startsWith("line ")),
      expected,
    );
    assert.deepEqual(
      (await stack.log(build_id)).map((line) => line.msg),
      live,
    );
  });

  test("a reader of plain text gets the lines themselves", async () => {
    const { id } = await stack.ensure("/git.example/ada/hello/linux/amd64/talkative");
    const response = await stack.fetch(`/builds/${id}/logs`, { headers: { accept: "text/plain" } });
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
    const text = (await response.text()).split("\n");
    assert.ok(text.includes("line 1") && text.includes(`line ${TALKATIVE_LINES}`));
    assert.equal(text.filter((line) => line !== "").at(-1), "==> Your build is successful.");
  });
});
