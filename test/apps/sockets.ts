/** WebSockets of an app behind the edge. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import WebSocket from "ws";
import { until } from "../support/until.ts";
import type { TunnelWorld } from "./world.ts";

const MIB = 1024 * 1024;

/** A close frame as a client's, whose mask changes nothing (RFC 6455 section 5.2); a long one breaks the rules. */
function closeFrame(code: number, reason: number): Buffer {
  const length = 2 + reason;
  const head = length < 126 ? [0x88, 0x80 | length] : [0x88, 0x80 | 126, length >> 8, length & 255];
  const payload = Buffer.alloc(length, "r");
  payload.writeUInt16BE(code);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]);
}

/** @param of the world, once it is there */
export function socketTests(of: () => TunnelWorld, host: string): void {
  function dial(path: string, protocols: string[] = [], headers: Record<string, string> = {}) {
    const socket = new WebSocket(`ws://127.0.0.1:${of().port}${path}`, protocols, {
      headers: { host, ...headers },
      perMessageDeflate: false,
    });
    socket.on("error", () => {});
    return socket;
  }

  async function open(...args: Parameters<typeof dial>): Promise<WebSocket> {
    const socket = dial(...args);
    await once(socket, "open");
    return socket;
  }

  /** What the app gets: its end of the next socket at this path. */
  function taken(path: string): Promise<{ socket: WebSocket; request: IncomingMessage }> {
    return new Promise((resolve) =>
      of().app.sockets.set(path, (socket, request) => resolve({ socket, request })),
    );
  }

  async function pair(path: string): Promise<{ client: WebSocket; app: WebSocket }> {
    const at = taken(path);
    const client = await open(path);
    return { client, app: (await at).socket };
  }

  const message = async (socket: WebSocket): Promise<[data: Buffer, isBinary: boolean]> =>
    (await once(socket, "message")) as [Buffer, boolean];
  const closed = async (socket: WebSocket): Promise<[code: number, reason: string]> => {
    const [code, reason] = await once(socket, "close");
    return [code, String(reason)];
  };

  test("messages go both ways as they are: text, bytes, empty, 1 MiB", async () => {
    const { client, app } = await pair("/messages");
    const large = Buffer.alloc(MIB, 7);
    for (const [from, to] of [
      [client, app],
      [app, client],
    ] as const)
      for (const sent of [
        "héllo €",
        "",
        "\ufeffmarked",
        Buffer.from([0, 255]),
        Buffer.alloc(0),
        large,
      ]) {
        const come = message(to);
        from.send(sent);
        const [data, isBinary] = await come;
        assert.equal(isBinary, typeof sent !== "string");
        assert.ok(data.equals(Buffer.from(sent)), `${data.length} bytes`);
      }
    client.close();
  });

  test("a message in fragments arrives as one", async () => {
    const { client, app } = await pair("/fragments");
    const come = message(app);
    client.send("one ", { fin: false });
    client.send("two ", { fin: false });
    client.send("three", { fin: true });
    assert.equal(String((await come)[0]), "one two three");
    client.close();
  });

  test("a thousand messages arrive in their order, both ways at once", async () => {
    const { client, app } = await pair("/order");
    app.on("message", (data, isBinary) => app.send(data, { binary: isBinary }));
    const got: number[] = [];
    client.on("message", (data) => got.push(Number(data)));
    const sent = Array.from({ length: 1_000 }, (_, i) => i);
    for (const i of sent) client.send(String(i));
    await until("all came back", () => got.length === sent.length);
    assert.deepEqual(got, sent);
    client.close();
  });

  test("who closes says why, and the other end hears it", async () => {
    for (const [code, reason] of [
      [1000, ""],
      [1001, "bye"],
      [3000, "ünïcode"],
      [4999, "r".repeat(123)],
    ] as const)
      for (const whose of ["client", "app"] as const) {
        const ends = await pair("/close");
        const other = whose === "client" ? ends.app : ends.client;
        const heard = closed(other);
        const own = closed(ends[whose]);
        ends[whose].close(code, reason);
        assert.deepEqual(await heard, [code, reason], `${whose} closes with ${code}`);
        assert.equal((await own)[0], code);
      }
  });

  test("a close that may not be said ends its own WebSocket, and nobody else's", async () => {
    const { dialled } = of();
    const other = await pair("/other");
    for (const [code, length] of [
      [0, 0],
      [999, 0],
      [5000, 0],
      [65_535, 0],
      [1000, 300],
    ] as const) {
      const at = taken("/odd-close");
      const client = connect(of().port, "127.0.0.1");
      client.on("error", () => {});
      client.resume();
      client.write(
        `GET /odd-close HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
      const heard = closed((await at).socket);
      client.write(closeFrame(code, length));
      assert.ok((await heard)[0] > 0, `close ${code}, reason of ${length} bytes`);
      client.destroy();
    }
    other.client.send("still there");
    assert.equal(String((await message(other.app))[0]), "still there");
    other.client.close();
    assert.equal(of().dialled, dialled, "the replica's socket was closed");
  });

  test("a client that is cut off closes the app's socket, and the other way round", async () => {
    for (const whose of ["client", "app", "client", "app", "client"] as const) {
      const ends = await pair("/cut");
      const heard = closed(whose === "client" ? ends.app : ends.client);
      ends[whose].terminate();
      assert.notEqual((await heard)[0], 1000, `the ${whose} was cut, it did not close`);
    }
  });

  test("the app chooses among the protocols that the client offers", async () => {
    of().app.sockets.set("/protocol", () => {});
    const chat = await open("/protocol", ["other", "chat"]);
    assert.equal(chat.protocol, "chat");
    chat.close();
  });

  test("a ping is answered", async () => {
    const { client, app } = await pair("/ping");
    client.ping("?");
    await once(client, "pong");
    app.ping("?");
    await once(app, "pong");
    client.close();
  });

  test("the app sees the handshake's own headers, cookies and origin among them", async () => {
    const at = taken("/headers?a=b");
    const client = await open("/headers?a=b", [], { cookie: "a=b", origin: "https://o.test" });
    const { headers } = (await at).request;
    assert.deepEqual(
      [headers.host, headers.cookie, headers.origin, headers["x-forwarded-proto"]],
      [host, "a=b", "https://o.test", "http"],
    );
    client.close();
  });

  test("a WebSocket that the app refuses is answered as the app answers, with its body", async () => {
    const socket = dial("/unwanted");
    const [, answer] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(answer.statusCode, 403);
    assert.equal(answer.headers["x-reason"], "unwanted");
    assert.equal(await text(answer), "no WebSocket at /unwanted");
    socket.terminate();
  });

  test("a message of more than 1 MiB closes the socket, whoever sends it", async () => {
    for (const whose of ["client", "app"] as const) {
      const ends = await pair("/large");
      const heard = Promise.all([closed(ends.client), closed(ends.app)]);
      ends[whose].send(Buffer.alloc(MIB + 1));
      const [[client]] = await heard;
      assert.equal(client, 1009, whose);
    }
    assert.equal(await of().apps.text(host), "GET 0", "and the app goes on");
  });

  test("fifty WebSockets are open at once, each with its own messages", async () => {
    of().app.sockets.set("/many", (socket) =>
      socket.on("message", (data) => socket.send(`re: ${data}`)),
    );
    const sockets = await Promise.all(Array.from({ length: 50 }, () => open("/many")));
    const answers = sockets.map(async (socket, i) => {
      const come = message(socket);
      socket.send(String(i));
      return String((await come)[0]);
    });
    assert.deepEqual(
      await Promise.all(answers),
      sockets.map((_, i) => `re: ${i}`),
    );
    for (const socket of sockets) socket.close();
  });

  test("when the agent's connection is cut, WebSockets close, and the next one opens", async () => {
    const { client, app } = await pair("/agent");
    const heard = Promise.all([closed(client), closed(app)]);
    of().cut();
    const [[code]] = await heard;
    assert.equal(code, 1001);
    await until("the agent is back", async () => (await of().apps.ask(host)).status === 200);
    const again = await pair("/agent");
    again.client.close();
  });
}
