/**
 * Railhead's Worker with, beside it, what it is measured against: objects that only call each other, an object
 * that only stores frames, and a route that only streams an object of R2.
 */
import { DurableObject } from "cloudflare:workers";
import railhead from "../../../worker/index.ts";

export * from "../../../worker/index.ts";

export class Bare extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS frames (id INTEGER PRIMARY KEY, frame TEXT)");
  }

  /** A chain of this and `hops - 1` further objects. */
  async chain(hops) {
    return hops === 1 ? 1 : 1 + (await this.env.BARE.getByName(`hop-${hops}`).chain(hops - 1));
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
    const bare = env.BARE.getByName(url.searchParams.get("name") ?? "bare");
    switch (url.pathname) {
      case "/bench/dispatch": {
        const build = await request.json();
        return announced(ctx, () => env.TARGETS.getByName(build.key).request(build));
      }
      case "/bench/chain":
        return announced(ctx, () => bare.chain(3));
      case "/bench/hello":
        return new Response(await bare.hello());
      case "/bench/frames":
        return bare.fetch(request);
      case "/bench/keys": {
        const { objects } = await env.ARTIFACTS.list({ prefix: "builds/" });
        return Response.json(objects.map(({ key, size }) => ({ key, size })));
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

/** Says "go" before `work` begins and its answer when it is done, so that a client can leave the way to us out. */
function announced(ctx, work) {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  const send = (text) => writer.write(encoder.encode(`${text}\n`));
  const run = async () => {
    await send("go");
    await send(JSON.stringify((await work()) ?? null));
    await writer.close();
  };
  ctx.waitUntil(run());
  return new Response(readable, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
