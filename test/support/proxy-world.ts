/** The agent's end of a tunnel before an odd app, and whoever asks at the other end. */
import { Agent } from "node:http";
import { proxyRequest, type Upstream } from "../../agent/apps/proxy-request.ts";
import { proxySocket } from "../../agent/apps/proxy-socket.ts";
import { type OddApp, oddApp } from "./odd-app.ts";
import { type Answered, type Asked, tunnelPair } from "./tunnel-pair.ts";

export type ProxyWorld = AsyncDisposable & {
  app: OddApp;
  pair(over?: Partial<Upstream>): ReturnType<typeof tunnelPair>;
};

export async function proxyWorld(): Promise<ProxyWorld> {
  const app = await oddApp();
  const idle = new Agent({ keepAlive: true });
  return {
    app,
    pair(over = {}) {
      const upstream = { where: async () => "127.0.0.1", port: app.port, agent: idle, ...over };
      return tunnelPair((stream, head) => {
        if (head.kind !== "request") throw new Error("no log is asked for here");
        return head.upgrade
          ? proxySocket(upstream, stream, head)
          : proxyRequest(upstream, stream, head);
      });
    },
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      idle.destroy();
    },
  };
}

export async function readBody({ body }: Answered): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

export const HOST: [string, string] = ["Host", "shop.example"];

/** A GET with these headers besides its host. */
export function get(target: string, ...headers: [string, string][]): Asked {
  return { target, headers: [HOST, ...headers] };
}
