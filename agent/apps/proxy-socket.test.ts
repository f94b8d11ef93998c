import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ResponseHead } from "../../shared/tunnel/index.ts";
import type { OddApp } from "../../test/support/odd-app.ts";
import { get, type ProxyWorld, proxyWorld, readBody } from "../../test/support/proxy-world.ts";
import type { Asked } from "../../test/support/tunnel-pair.ts";
import { until } from "../../test/support/until.ts";

const MIB = 1024 ** 2;

let world: ProxyWorld;
let app: OddApp;
before(async () => {
  world = await proxyWorld();
  app = world.app;
});
after(() => world[Symbol.asyncDispose]());

describe("a WebSocket through the tunnel", () => {
  const upgrade = (target: string, ...headers: [string, string][]): Asked => ({
    ...get(target, ...headers),
    upgrade: true,
  });

  async function open(...headers: [string, string][]) {
    const tunnel = world.pair();
    const answered = await tunnel.ask(upgrade("/socket?x=1", ...headers));
    const messages = answered.messages[Symbol.asyncIterator]();
    return { ...answered, tunnel, next: async () => (await messages.next()).value };
  }

  test("carries text and binary messages of every size both ways, in order", async () => {
    const { stream, next, head } = await open();
    assert.deepEqual(head, { upgraded: true, protocol: null });
    const sent = ["", "hello", "\ufeffbom \u{1f600}", "x".repeat(MIB), new Uint8Array(0)];
    const binary = new Uint8Array(300_000).map((_, i) => i % 256);
    for (const message of [...sent, binary]) void stream.send(message);
    for (const message of [...sent, binary])
      assert.ok(Buffer.from((await next()) as string).equals(Buffer.from(message as string)));
    await stream.close(1000, "");
    assert.deepEqual(await next(), { code: 1000, reason: "" });
  });

  test("has the client's headers, and the subprotocol that the app chose", async () => {
    const { stream, next, head } = await open(
      ["Sec-WebSocket-Protocol", "first, second"],
      ["Cookie", "a=1"],
      ["X-Forwarded-For", "9.9.9.9"],
    );
    assert.deepEqual(head, { upgraded: true, protocol: "second" });
    await stream.send("headers");
    const raw = (JSON.parse((await next()) as string) as string[]).join("\n").toLowerCase();
    assert.match(raw, /^host\nshop\.example$/m);
    assert.match(raw, /cookie\na=1/);
    assert.match(raw, /x-forwarded-for\n9\.9\.9\.9/);
    stream.reset("cancelled", "done");
  });

  test("closes with the code of whoever closes it", async () => {
    const first = await open();
    await first.stream.send("close");
    assert.deepEqual(await first.next(), { code: 4321, reason: "as you wish" });
    await first.stream.close(4321, "");
    const second = await open();
    await second.stream.close(4567, "bye");
    await until("the app to hear it", () => app.closed.includes(4567));
    assert.deepEqual(await second.next(), { code: 4567, reason: "bye" });
    const third = await open();
    await third.stream.send("leave");
    assert.deepEqual(await third.next(), { code: 1000, reason: "" });
    for (const { tunnel } of [first, second])
      await until("both ends to be done", () => tunnel.edge.size + tunnel.agent.size === 0);
  });

  test("that the app cuts is cut for the client, one that the client leaves is left", async () => {
    const cut = await open();
    await cut.stream.send("cut");
    await assert.rejects(cut.next(), /broken: the app's WebSocket was cut/);
    const left = await open();
    const before = app.closed.length;
    left.stream.reset("cancelled", "the client went away");
    await until("the app to notice", () => app.closed.length > before);
  });

  test("with a message larger than the tunnel takes is closed with 1009", async () => {
    const { stream, next } = await open();
    await stream.send("too large");
    assert.equal(((await next()) as { code: number }).code, 1009);
  });

  test("of an app that floods makes it wait for a slow reader, and loses nothing", async () => {
    const { stream, next } = await open();
    await stream.send("flood");
    for (let i = 0; i < 200; i++) {
      const message = (await next()) as Uint8Array;
      assert.equal(message.length, 64 * 1024);
      assert.equal(message[0], i % 256);
    }
    stream.reset("cancelled", "done");
  });

  test("that the app refuses is an ordinary answer", async () => {
    const answered = await world.pair().ask(upgrade("/elsewhere"));
    const head = answered.head as ResponseHead;
    assert.equal(head.status, 403);
    assert.deepEqual(head.headers[0], ["X-Why", "none"]);
    assert.equal((await readBody(answered)).toString(), "no way!");
  });
});
