/**
 * What BuildKit may ask of us while it builds: gRPC over the connection that a session upgraded to HTTP/2
 * (`POST /session`; moby/buildkit session/). Secrets and logins stay here until a step, or a pull, asks for one.
 */
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { BuildSecret, RegistryLogin } from "./contracts.ts";
import { bytesField, fieldsOf, numberField } from "./protobuf.ts";

/** gRPC's codes (grpc.io/docs/guides/status-codes). */
const OK = 0;
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;
/** Bytes before a gRPC message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
/** What a health check wants to hear (grpc.health.v1). */
const SERVING = 1;
/** How engines call the registry of names without one. */
const HUB_HOSTS = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

export const SESSION_METHODS = {
  secret: "/moby.buildkit.secrets.v1.Secrets/GetSecret",
  credentials: "/moby.filesync.v1.Auth/Credentials",
  health: "/grpc.health.v1.Health/Check",
} as const;

export type SessionOffer = {
  secrets: readonly BuildSecret[];
  login: RegistryLogin | null;
};

/** Answers BuildKit's calls until the connection closes. */
export function serveSession(connection: Duplex, offer: SessionOffer): void {
  const server = createServer();
  server.on("session", (session) => session.on("error", () => connection.destroy()));
  server.on("stream", (stream, headers) => {
    // A call that is cut concerns the build, which says so itself.
    stream.on("error", () => {});
    void answer(stream, String(headers[":path"]), offer).catch(() => stream.destroy());
  });
  server.emit("connection", connection);
}

async function answer(stream: ServerHttp2Stream, path: string, offer: SessionOffer): Promise<void> {
  const asked = (await buffer(stream)).subarray(PREFIX_BYTES);
  const reply = replyTo(path, asked, offer);
  const status = typeof reply === "number" ? reply : OK;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(status) }));
  if (typeof reply === "number") return void stream.end();
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(reply.length, 1);
  stream.end(Buffer.concat([prefix, reply]));
}

/** The message, or the code of an error. */
function replyTo(path: string, asked: Buffer, { secrets, login }: SessionOffer): Buffer | number {
  if (path === SESSION_METHODS.health) return numberField(1, SERVING);
  const name = firstText(asked);
  if (path === SESSION_METHODS.secret) {
    const secret = secrets.find(({ id }) => id === name);
    return secret === undefined ? NOT_FOUND : bytesField(1, secret.value);
  }
  if (path !== SESSION_METHODS.credentials) return UNIMPLEMENTED;
  // The login is for its own registry; everybody else is asked as nobody.
  if (login === null || !isRegistry(login, name)) return Buffer.alloc(0);
  return Buffer.concat([bytesField(1, login.username), bytesField(2, login.password)]);
}

function isRegistry({ registry }: RegistryLogin, host: string): boolean {
  return registry === null ? HUB_HOSTS.has(host) : registry === host;
}

/** Field 1 of a request: the id of a secret, or a registry's host. */
function firstText(message: Buffer): string {
  const value = fieldsOf(message).find(([number]) => number === 1)?.[1];
  return Buffer.isBuffer(value) ? value.toString() : "";
}
