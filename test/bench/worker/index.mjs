/**
 * Railhead's Worker with, beside it, what it is measured against: objects that only call each other, an object
 * that only stores frames, and a route that only streams an object of R2. And a way to fill the Catalog.
 */
import { DurableObject } from "cloudflare:workers";
import railhead from "../../../worker/index.ts";

export * from "../../../worker/index.ts";

/** Asks the objects that are named, one through the other, and stores nothing. */
export class Bare extends DurableObject {
  async chain([next, ...others]) {
    return next === undefined ? 1 : 1 + (await this.env.BARE.getByName(next).chain(others));
  }
}

export class Store extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS frames (id INTEGER PRIMARY KEY, frame TEXT)");
  }

  async hello() {
    return "hello";
  }

  fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Stores a frame as it is, and says so. */
  webSocketMessage(socket, frame) {
    this.ctx.storage.sql.exec("INSERT INTO frames (frame) VALUES (?)", frame);
    socket.send("stored");
  }

  webSocketClose(socket) {
    socket.close(1000);
  }
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (!url.pathname.startsWith("/bench/")) return railhead.fetch(request, env, ctx);
    const store = env.STORE.getByName("store");
    switch (url.pathname) {
      case "/bench/socket":
        return serveSocket(env);
      case "/bench/hello":
        return new Response(await store.hello());
      case "/bench/frames":
        return store.fetch(request);
      case "/bench/keys": {
        const { objects } = await env.ARTIFACTS.list({ prefix: "builds/" });
        return Response.json(objects.map(({ key, size }) => ({ key, size })));
      }
      case "/bench/catalog": {
        const { claims, records } = await request.json();
        const catalog = env.CATALOG.getByName("catalog");
        await Promise.all(claims.map((claim) => catalog.claim(claim)));
        await Promise.all(records.map((record) => catalog.put(record)));
        return new Response("stored\n");
      }
      case "/bench/r2": {
        const object = await env.ARTIFACTS.get(url.searchParams.get("key"));
        return new Response(object.body, {
          headers: { "content-length": String(object.size), "content-type": "application/gzip" },
        });
      }
      default:
        return new Response("no such measure\n", { status: 404 });
    }
  },
};

/**
 * Each message asks for one measure: "go" is sent before it begins and "done" after it, so that a client can
 * leave the way to us out.
 */
function serveSocket(env) {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.addEventListener("message", async ({ data }) => {
    const { build, chain } = JSON.parse(data);
    server.send("go");
    if (build) await env.TARGETS.getByName(build.key).request(build);
    else await env.BARE.getByName(chain[0]).chain(chain.slice(1));
    server.send("done");
  });
  return new Response(null, { status: 101, webSocket: client });
}
