import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { until } from "../test/support/until.ts";
import { dial } from "./dial.ts";
import { refusalOf } from "./edge.ts";
import { clock } from "./machine.ts";
import type { LineEnd } from "./ports.ts";
import { describeEnd, Socket } from "./socket.ts";

/** How a connection to a server that treats upgrades like this ends. */
async function endOf(upgrade: (socket: import("node:stream").Duplex) => void): Promise<LineEnd> {
  const server = createServer().on("upgrade", (_request, socket) => upgrade(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const end = await connect(new URL(`ws://127.0.0.1:${port}`)).ended;
  server.closeAllConnections();
  server.close();
  return end;
}

function connect(
  url: URL,
  opened = (socket: Socket) => socket.startHeartbeat(),
): { ended: Promise<LineEnd>; socket: Socket } {
  const { promise, resolve } = Promise.withResolvers<LineEnd>();
  const socket: Socket = new Socket({ clock, net: { dial } }, url, "token", {
    opened: () => opened(socket),
    text: () => {},
    ended: resolve,
  });
  return { ended: promise, socket };
}

function answer(status: number, type: string, body: string) {
  return (socket: import("node:stream").Duplex) => {
    socket.end(
      `HTTP/1.1 ${status} No\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
  };
}

test("the edge's own refusal is told apart from what a proxy answers", async () => {
  const problem = '{"code":"forbidden","detail":"You were removed."}';
  const refused = await endOf(answer(403, "application/problem+json", problem));
  assert.equal(refused.kind, "refused");
  assert.equal(describeEnd(refused), "You were removed.");
  const page = await endOf(answer(403, "text/html", "<html>blocked</html>"));
  assert.equal(page.kind, "failed");
  const gateway = await endOf(answer(502, "application/problem+json", problem));
  assert.equal(gateway.kind, "failed");
});

test("a server that hangs up, or is not there, is no refusal", async () => {
  assert.equal((await endOf((socket) => socket.destroy())).kind, "failed");
  assert.equal((await connect(new URL("ws://127.0.0.1:9")).ended).kind, "failed");
});

test("a connection over which nothing comes back any more is ended", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", autoPong: false });
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const end = await connect(new URL(`ws://127.0.0.1:${port}`)).ended;
  assert.deepEqual(end, { kind: "failed", message: "the connection went silent" });
  for (const client of server.clients) client.terminate();
  server.close();
});

test("whoever sends much is told when there is room again, and binary messages are told from text", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  let received = 0;
  server.on("connection", (client) => {
    client.pause();
    client.on("message", (data: Buffer) => {
      received += data.length;
    });
    client.send(Buffer.of(1, 2, 3));
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const bytes = Promise.withResolvers<Uint8Array>();
  const socket: Socket = new Socket(
    { clock, net: { dial } },
    new URL(`ws://127.0.0.1:${port}`),
    "t",
    { opened: () => {}, text: () => {}, bytes: bytes.resolve, ended: () => {} },
  );
  assert.deepEqual([...(await bytes.promise)], [1, 2, 3]);
  assert.equal(socket.room(), null);
  let sent = 0;
  // What the systems between take is not ours to know.
  while (socket.room() === null && sent < 2 ** 30) {
    socket.send(new Uint8Array(2 ** 18));
    sent += 2 ** 18;
  }
  const room = socket.room();
  assert.notEqual(room, null);
  for (const client of server.clients) client.resume();
  await room;
  await until("all of it", () => received === sent);
  const full = () => {
    while (socket.room() === null) socket.send(new Uint8Array(2 ** 18));
    return socket.room();
  };
  const waiting = full();
  for (const client of server.clients) client.terminate();
  // A socket that ends keeps nobody waiting.
  await waiting;
  server.close();
});

test("a close that the other side never answers ends the connection", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  // Hears nothing more, so it answers nothing either.
  server.on("connection", (client) => client.pause());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const { ended } = connect(new URL(`ws://127.0.0.1:${port}`), (socket) => socket.close());
  assert.deepEqual(await ended, { kind: "failed", message: "the close was not answered" });
  for (const client of server.clients) client.terminate();
  server.close();
});

test("a page with status 404 is nobody's refusal, nor is a server's own failure", () => {
  const body = '{"code":"not_found","detail":"x"}';
  const type = "application/problem+json; charset=utf-8";
  assert.equal(refusalOf({ status: 404, type, body })?.code, "not_found");
  assert.equal(refusalOf({ status: 404, type: "text/html", body }), null);
  assert.equal(refusalOf({ status: 404, type, body: "<html>" }), null);
  assert.equal(refusalOf({ status: 500, type, body }), null);
  assert.equal(refusalOf({ status: 429, type, body }), null);
});
