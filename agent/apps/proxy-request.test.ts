import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Agent, request } from "node:http";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import type { ResponseHead } from "../../shared/tunnel/index.ts";
import type { OddApp } from "../../test/support/odd-app.ts";
import {
  get,
  HOST,
  type ProxyWorld,
  proxyWorld,
  readBody,
} from "../../test/support/proxy-world.ts";
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

async function* pieces(size: number, piece = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; at += piece) yield Buffer.alloc(Math.min(piece, size - at), at % 251);
}

type Whole = { status: number; headers: string[]; body: string };

async function through(asked: Asked): Promise<Whole> {
  const answered = await world.pair().ask(asked);
  const head = answered.head as ResponseHead;
  const body = head.body ? await readBody(answered) : Buffer.alloc(0);
  return { status: head.status, headers: shown(head.headers.flat()), body: digest(body) };
}

/** The same by Node's own client. */
function direct({ method = "GET", target = "/", headers = [], send }: Asked): Promise<Whole> {
  return new Promise((resolve, reject) => {
    const length = headers.some(([name]) => name.toLowerCase() === "content-length");
    const framing = send && !length ? ["Transfer-Encoding", "chunked"] : [];
    const sending = request(
      {
        host: "127.0.0.1",
        port: app.port,
        method,
        path: target,
        headers: [...headers.flat(), ...framing],
        setHost: false,
        agent: false,
        maxHeaderSize: 256 * 1024,
      },
      async (response) => {
        const parts: Buffer[] = [];
        for await (const part of response) parts.push(part as Buffer);
        const { statusCode: status = 0, rawHeaders } = response;
        resolve({ status, headers: shown(rawHeaders), body: digest(Buffer.concat(parts)) });
      },
    );
    sending.on("error", reject);
    void (async () => {
      for await (const chunk of send ?? []) sending.write(chunk);
      sending.end();
    })();
  });
}

/** What of a head is end to end, and the same twice. */
function shown(raw: readonly string[]): string[] {
  const lines: string[] = [];
  for (let i = 0; i < raw.length; i += 2)
    if (!/^(?:date|connection|keep-alive|transfer-encoding|trailer)$/i.test(raw[i] ?? ""))
      lines.push(`${raw[i]}: ${raw[i + 1]}`);
  return lines;
}

/** A body, or its hash; without what an echo shows of the connection. */
function digest(body: Buffer): string {
  if (body.length > 100_000) return createHash("sha256").update(body).digest("hex");
  const text = body.toString("latin1");
  if (!text.startsWith('{"method"')) return text;
  const { rawHeaders, ...rest } = JSON.parse(text) as { rawHeaders: string[] };
  return JSON.stringify({ ...rest, headers: shown(rawHeaders) });
}

const post = (target: string, size: number, ...headers: [string, string][]): (() => Asked) => {
  return () => ({
    method: "POST",
    target,
    headers: [HOST, ...headers],
    send: pieces(size),
  });
};
const many = Array.from({ length: 80 }, (_, i): [string, string] => [`X-H${i}`, `v${i}`]);
const length = (bytes: number): [string, string] => ["Content-Length", String(bytes)];

/** What is asked directly and through the tunnel, with the same answer. */
const REQUESTS: Record<string, Asked | (() => Asked)> = {
  "a GET": get("/echo"),
  "a query": get("/echo?a=1&b=%2F&c=%C3%A9"),
  "an encoded path": get("/echo/%2e%2e/%00/a%20b"),
  "a double slash": get("/echo//a///b?"),
  "a HEAD": { ...get("/fixed"), method: "HEAD" },
  "a HEAD of a chunked answer": { ...get("/chunked"), method: "HEAD" },
  "an OPTIONS": { ...get("/echo"), method: "OPTIONS" },
  "a DELETE": { ...get("/echo"), method: "DELETE" },
  "a method that few know": { ...get("/echo"), method: "PROPFIND" },
  "a PATCH with a body": () => ({ ...post("/echo", 10, length(10))(), method: "PATCH" }),
  "a DELETE with a body": () => ({ ...post("/echo", 10)(), method: "DELETE" }),
  "a DELETE with a body of known length": () => ({
    ...post("/echo", 10, length(10))(),
    method: "DELETE",
  }),
  "a PUT": () => ({ ...post("/echo", 1000, length(1000))(), method: "PUT" }),
  "a chunked POST": post("/echo", 100_000),
  "a POST of known length": post("/echo", 100_000, length(100_000)),
  "an empty chunked POST": post("/echo", 0),
  "a POST without a body": { ...get("/echo", length(0)), method: "POST" },
  "20 MB up, chunked": post("/echo", 20 * MIB),
  "20 MB up, of known length": post("/echo", 20 * MIB, length(20 * MIB)),
  "20 MB down": get("/large/20"),
  "many headers": get("/echo", ...many),
  "a header many times": get("/echo", ["X-A", "1"], ["x-a", "2"], ["X-A", "3"]),
  "an odd case of names": get("/echo", ["x-LoWeR", "1"], ["UPPER", "2"]),
  "an empty header": get("/echo", ["X-Empty", ""]),
  "a long header": get("/echo", ["X-Long", "l".repeat(60_000)]),
  "cookies of the client": get("/echo", ["Cookie", "a=1; b=2"], ["Cookie", "c=3"]),
  "a login": get("/echo", ["Authorization", "Basic YTpi"]),
  "a range": get("/fixed", ["Range", "bytes=0-4"]),
  "60 cookies of the app": get("/cookies"),
  "a huge head": get("/huge-head"),
  "a chunked answer": get("/chunked"),
  "an answer of known length": get("/fixed"),
  "an empty answer": get("/nothing"),
  "an answer until the end": get("/old-style"),
  "an answer behind early hints": get("/hints"),
  "an answer with trailers": get("/trailers"),
  "a refusal before the body was read": post("/refuse", 100),
  ...Object.fromEntries(
    [200, 201, 204, 206, 301, 302, 304, 400, 401, 404, 405, 410, 418, 429, 500, 502, 503].map(
      (status) => [`status ${status}`, get(`/status/${status}`)],
    ),
  ),
};

describe("a request through the tunnel is answered as the app answers it:", () => {
  for (const [name, asked] of Object.entries(REQUESTS))
    test(name, async () => {
      const make = typeof asked === "function" ? asked : () => asked;
      assert.deepEqual(await through(make()), await direct(make()));
    });
});

describe("an app that does not answer well", () => {
  const failures: [string, Asked, RegExp][] = [
    ["hangs up", get("/hang-up"), /^Error: unreachable: the app closed the connection/],
    ["speaks no HTTP", get("/garbage"), /^Error: unreachable: .*does not speak HTTP$/],
    ["has an impossible status", get("/odd-status"), /^Error: unreachable: .*status 999$/],
    ["has too large a head", get("/too-huge-head"), /^Error: unreachable: .*too large$/],
    ["says two lengths", get("/two-lengths"), /^Error: unreachable: .*does not speak HTTP$/],
    ["switches protocols unasked", get("/switch-protocols"), /^Error: unreachable: /],
    ["is asked for a tunnel", { ...get("/"), method: "CONNECT" }, /^Error: unreachable: CONNECT/],
  ];
  for (const [name, asked, expected] of failures)
    test(`${name}: it is said before there is a head`, async () => {
      await assert.rejects(world.pair().ask(asked), (error) => expected.test(String(error)));
    });

  test("does not listen, or does not run", async () => {
    const server = createServer();
    const { port } = await new Promise<{ port: number }>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve(server.address() as { port: number })),
    );
    await new Promise((resolve) => server.close(resolve));
    await assert.rejects(
      world.pair({ port }).ask(get("/")),
      /unreachable: nothing listens on port/,
    );
    const gone = world.pair({ where: async () => null });
    await assert.rejects(gone.ask(get("/")), /unreachable: its container does not run/);
    const upgrade = { ...get("/socket"), upgrade: true };
    await assert.rejects(gone.ask(upgrade), /unreachable: its container does not run/);
    const broken = world.pair({ where: () => Promise.reject(new Error("the engine is away")) });
    await assert.rejects(broken.ask(get("/")), /unreachable: the engine is away/);
  });

  test("breaks off in the middle: the half is not taken for the whole", async () => {
    const answered = await world.pair().ask(get("/break-off"));
    await assert.rejects(readBody(answered), /broken: the app closed the connection/);
  });

  test("closed an idle connection: a GET is asked again", async () => {
    const agent = new Agent({ keepAlive: true });
    const tunnel = world.pair({ agent });
    await readBody(await tunnel.ask(get("/fixed")));
    app.die();
    assert.equal((await readBody(await tunnel.ask(get("/fixed")))).toString(), "hello world");
    agent.destroy();
  });
});

describe("a slow reader", () => {
  test("of 20 MB down makes the app wait, with little in memory, and gets all of it", async () => {
    const tunnel = world.pair();
    const answered = await tunnel.ask(get("/large/20"));
    let bytes = 0;
    for await (const part of answered.body) {
      bytes += part.length;
      if (bytes % (32 * part.length) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(bytes, 20 * MIB);
    assert.ok(tunnel.most <= 1.1 * MIB, `${tunnel.most} bytes were held`);
  });

  test("that is the app itself makes the client wait", async () => {
    let sent = 0;
    const counted = async function* () {
      for await (const piece of pieces(20 * MIB)) {
        yield piece;
        sent += piece.length;
      }
    };
    const asked = world.pair().ask({ ...get("/take-slowly"), method: "POST", send: counted() });
    await until("the app to take some", () => app.taken > 0);
    let before = -1;
    await until("the client to wait", () => {
      const waits = sent === before;
      before = sent;
      return waits;
    });
    assert.ok(sent < 12 * MIB, `${sent} bytes went ahead`);
    app.go();
    assert.equal((await readBody(await asked)).toString(), String(20 * MIB));
  });
});

test("Server-Sent Events come as they are sent, and the app hears when the client goes", async () => {
  const answered = await world.pair().ask(get("/events?live"));
  let text = "";
  for await (const part of answered.body) {
    text += Buffer.from(part).toString();
    if (text.endsWith("data: 2\n\n")) break;
  }
  answered.stream.reset("cancelled", "the client went away");
  await until("the app to notice", () => app.gone.includes("/events?live"));
});

test("a body that is not as long as it was said to be never reaches the app as whole", async () => {
  for (const [said, size] of [
    [10, 5],
    [5, 10],
  ] as const)
    await assert.rejects(world.pair().ask(post("/echo", size, length(said))()), /not as long as/);
});

test("what would break out of a header or a line is refused", async () => {
  for (const bad of [
    get("/echo", ["X-A", "1\r\nX-B: 2"]),
    get("/echo", ["X A", "1"]),
    { ...get("/echo"), target: "/ HTTP/1.1\r\nX: y" },
    { ...get("/echo"), method: "GE T" },
  ])
    await assert.rejects(world.pair().ask(bad), /unreachable/);
});
