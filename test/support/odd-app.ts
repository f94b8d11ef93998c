/** A web app that does what tests of proxies need: echoes, streams, dawdles, breaks off, speaks nonsense. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocketServer } from "ws";

const MIB = 1024 ** 2;

export type OddApp = AsyncDisposable & {
  port: number;
  /** Requests whose client went away before the answer's end. */
  gone: string[];
  /** Codes that clients of `/socket` closed with. */
  closed: number[];
  /** Bytes of a body that `/take-slowly` has read. */
  taken: number;
  /** Lets `/take-slowly` read, and `/hold` answer. */
  go(): void;
  /** Breaks every connection. */
  die(): void;
};

type Route = (request: IncomingMessage, response: ServerResponse) => unknown;

export async function oddApp(): Promise<OddApp> {
  const sockets = new Set<Socket>();
  const held = Promise.withResolvers<void>();
  const routes: Record<string, Route> = {
    async echo(request, response) {
      const hash = createHash("sha256");
      let size = 0;
      for await (const chunk of request as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
      }
      const { method, url } = request;
      // Between neighbours only.
      const rawHeaders = request.rawHeaders.filter(
        (_, i, all) => !/^connection$/i.test(all[i - (i % 2)] ?? ""),
      );
      response.setHeader("x-app", "odd");
      response.end(JSON.stringify({ method, url, rawHeaders, size, sha256: hash.digest("hex") }));
    },
    status({ url = "" }, response) {
      const status = Number(/\d+/.exec(url)?.[0]);
      response.writeHead(status, { "x-status": String(status) });
      response.end(status === 204 || status === 304 ? undefined : `status ${status}`);
    },
    cookies(_, response) {
      const all = Array.from({ length: 60 }, (_, i) => `c${i}=${"v".repeat(i)}; Path=/`);
      response.writeHead(200, { "Set-Cookie": all, "X-CaSe": "Kept", Vary: ["a", "b"] });
      response.end("cookies");
    },
    "huge-head": (_, response) => response.writeHead(200, { "X-Huge": "h".repeat(60_000) }).end(),
    "too-huge-head": (_, response) =>
      response.writeHead(200, { "X-Huge": "h".repeat(300_000) }).end(),
    chunked(_, response) {
      for (let i = 0; i < 20; i++) response.write(`${i} `.repeat(500));
      response.end("end");
    },
    fixed: (_, response) => response.writeHead(200, { "Content-Length": "11" }).end("hello world"),
    nothing: (_, response) => response.writeHead(200, { "Content-Length": "0" }).end(),
    trailers(_, response) {
      response.writeHead(200, { Trailer: "x-end" });
      response.write("body");
      response.addTrailers({ "x-end": "1" });
      response.end();
    },
    async hints(_, response) {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      response.end("hinted");
    },
    async large({ url = "" }, response) {
      const size = Number(/\d+/.exec(url)?.[0]) * MIB;
      const piece = Buffer.alloc(64 * 1024, "x");
      const over = closed(response);
      for (let sent = 0; sent < size && !response.destroyed; sent += piece.length)
        if (!response.write(piece)) await Promise.race([drain(response), over]);
      response.end();
    },
    async "take-slowly"(request, response) {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        app.taken += chunk.length;
        await held.promise;
      }
      response.end(String(app.taken));
    },
    refuse: (_, response) =>
      response.writeHead(413, { Connection: "close" }).end("too large for me"),
    async events(request, response) {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      for (let i = 0; i < 3; i++) response.write(`data: ${i}\n\n`);
      await closed(response);
      app.gone.push(request.url ?? "");
    },
    async hold(request, response) {
      response.once("close", () => response.writableFinished || app.gone.push(request.url ?? ""));
      await held.promise;
      response.end("held");
    },
    async "break-off"({ socket }, response) {
      response.writeHead(200, { "Content-Length": "100" });
      response.write("half of it");
      await delay(10);
      socket.destroy();
    },
    "hang-up": ({ socket }) => socket.destroy(),
    garbage: ({ socket }) => socket.end("this is no HTTP at all\r\n\r\n"),
    "odd-status": ({ socket }) => socket.end("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
    "old-style": ({ socket }) => socket.end("HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nuntil the end"),
    "two-lengths": ({ socket }) =>
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
    "switch-protocols": ({ socket }) =>
      socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
  };
  const server = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
    const name = /^\/([a-z-]*)/.exec(request.url ?? "")?.[1] ?? "";
    const route = routes[name];
    if (route) route(request, response);
    else response.writeHead(404).end("nothing here");
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const upgrades = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has("second") ? "second" : false),
  });
  server.on("upgrade", (request, socket, head) => {
    if (request.url?.startsWith("/socket") !== true) {
      socket.end("HTTP/1.1 403 Forbidden\r\nX-Why: none\r\nContent-Length: 7\r\n\r\nno way!");
      return;
    }
    upgrades.handleUpgrade(request, socket, head, (client) => {
      client.on("close", (code) => app.closed.push(code));
      client.on("message", (data: Buffer, isBinary) => {
        const text = data.toString();
        if (!isBinary && text === "headers") client.send(JSON.stringify(request.rawHeaders));
        else if (!isBinary && text === "close") client.close(4321, "as you wish");
        else if (!isBinary && text === "leave") client.close();
        else if (!isBinary && text === "cut") client.terminate();
        else if (!isBinary && text === "too large") client.send(Buffer.alloc(2 * MIB));
        else if (!isBinary && text === "flood")
          for (let i = 0; i < 200; i++) client.send(Buffer.alloc(64 * 1024, i));
        else client.send(data, { binary: isBinary });
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const die = () => {
    for (const socket of sockets) socket.destroy();
  };
  const app: OddApp = {
    port: (server.address() as AddressInfo).port,
    gone: [],
    closed: [],
    taken: 0,
    go: held.resolve,
    die,
    async [Symbol.asyncDispose]() {
      held.resolve();
      upgrades.close();
      server.close();
      die();
    },
  };
  return app;
}

function drain(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once("drain", resolve));
}

function closed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) resolve();
    else response.once("close", resolve);
  });
}
