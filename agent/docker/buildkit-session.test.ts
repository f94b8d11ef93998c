import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { createServer, connect as dial, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { SESSION_METHODS, type SessionOffer, serveSession } from "./buildkit-session.ts";
import { TraceLines } from "./buildkit-trace.ts";
import { bytesField, fieldsOf, numberField } from "./protobuf.ts";

type Call = (path: string, message: Buffer) => Promise<{ status: number; reply: string[] }>;

/** Calls a session as BuildKit does: its end of the connection is the client's. */
async function inSession(offer: SessionOffer, work: (call: Call) => Promise<void>): Promise<void> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const engine = dial(port, "127.0.0.1");
  const [ours] = (await once(server, "connection")) as [Socket];
  serveSession(ours, offer);
  const client = connect("http://buildkit", { createConnection: () => engine });
  try {
    await work(async (path, message) => {
      const stream = client.request({ ":method": "POST", ":path": path });
      let status = -1;
      stream.on("trailers", (trailers) => {
        status = Number(trailers["grpc-status"]);
      });
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([prefix, message]));
      const fields = fieldsOf((await buffer(stream)).subarray(5));
      return { status, reply: fields.map(([, value]) => value.toString()) };
    });
  } finally {
    client.destroy();
    server.close();
  }
}

test("BuildKit gets a secret by its id, and a login for its own registry alone", async () => {
  const login = { registry: "registry.example:5000", username: "ada", password: "word" };
  await inSession({ secrets: [{ id: "a", value: "värde\n" }], login }, async (call) => {
    const ask = (path: string, name: string) => call(path, bytesField(1, name));
    const { secret, credentials, health } = SESSION_METHODS;
    assert.deepEqual(await ask(secret, "a"), { status: 0, reply: ["värde\n"] });
    assert.equal((await ask(secret, "b")).status, 5);
    const known = await ask(credentials, "registry.example:5000");
    assert.deepEqual(known, { status: 0, reply: ["ada", "word"] });
    assert.deepEqual(await ask(credentials, "evil.example"), { status: 0, reply: [] });
    assert.equal((await call(health, Buffer.alloc(0))).status, 0);
    assert.equal((await ask("/moby.filesync.v1.FileSync/DiffCopy", "a")).status, 12);
  });
  await inSession({ secrets: [], login: { ...login, registry: null } }, async (call) => {
    const asked = bytesField(1, "registry-1.docker.io");
    assert.deepEqual((await call(SESSION_METHODS.credentials, asked)).reply, ["ada", "word"]);
  });
});

test("lines of steps that run at once do not mix, and what has no end is told with its step's", () => {
  const lines = new TraceLines();
  const step = (digest: string, ...more: Buffer[]) =>
    bytesField(1, Buffer.concat([bytesField(1, digest), bytesField(3, `RUN ${digest}`), ...more]));
  const says = (digest: string, text: string) =>
    bytesField(3, Buffer.concat([bytesField(1, digest), numberField(3, 1), bytesField(4, text)]));
  const began = bytesField(5, "");
  const done = bytesField(6, "");
  const said = (...traces: Buffer[]) =>
    traces
      .flatMap((trace) => lines.next(trace))
      .map(({ data }) => data.toString())
      .join("");
  assert.equal(said(step("a", began), step("b", began)), "#1 RUN a\n#2 RUN b\n");
  assert.equal(said(says("a", "one "), says("b", "two"), says("a", "more\nand")), "one more\n");
  assert.equal(said(step("a", began, done)), "and\n#1 DONE\n");
  assert.equal(said(step("a", began, done)), "");
  assert.equal(
    lines
      .end()
      .map(({ data }) => data.toString())
      .join(""),
    "two\n",
  );
});
