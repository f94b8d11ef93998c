/** A web app behind the edge against the same app asked directly. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { CASE } from "../apps/app.ts";
import { TunnelWorld } from "../apps/world.ts";
import { memoryOf } from "../support/memory.ts";
import { fact, type Measure, median, percentile, promise, type Row, timed } from "./measure.ts";

const HOST = "bench.test";
const MB = 1_000_000;
const CHUNK = Buffer.alloc(64 * 1024, "x");
const DEPLOYS = 10;
/** Requests a second while versions change, as long as no more than UNDER_WAY wait for their answers. */
const RATE = 500;
const UNDER_WAY = 50;

type Way = { name: string; port: number; agent: Agent };

export const apps: Measure = {
  name: "apps",
  how: "An app (a server of Node) is asked directly and through edge, tunnel and agent, in turns; client, app and agent are one process. Redeploys change the version under up to 500 requests a second, at most 50 of them under way.",
  async run({ quick }) {
    const world = await TunnelWorld.open();
    const agents = [0, 1].map(() => new Agent({ keepAlive: true }));
    try {
      await world.deploy("bench", HOST);
      prepare(world);
      const [direct, edge] = [world.app.port, world.port].map((port, i) => ({
        name: i === 0 ? "direct" : "edge",
        port,
        agent: agents[i],
      })) as [Way, Way];
      return [
        ...(await small(direct, edge, quick ? 200 : 2_000)),
        ...(await bodies(direct, edge, (quick ? 20 : 100) * MB)),
        ...(await beside(edge, (quick ? 20 : 100) * MB)),
        ...(await redeploys(world, edge)),
        ...(await sockets(edge, quick ? 100 : 1_000)),
      ];
    } finally {
      for (const agent of agents) agent.destroy();
      await world.close();
    }
  },
};

function prepare({ app }: TunnelWorld): void {
  app.answers.set("down", ({ headers }, response) => {
    Readable.from(chunks(Number(headers["x-bytes"]))).pipe(response);
  });
  app.answers.set("up", async (incoming, response) => {
    response.end(String(await bytesOf(incoming)));
  });
  app.sockets.set("/", (socket) => socket.on("message", (data) => socket.send(data)));
}

async function small(direct: Way, edge: Way, count: number): Promise<Row[]> {
  const took = new Map<Way, number[]>([
    [direct, []],
    [edge, []],
  ]);
  for (let i = 0; i < count; i++)
    for (const [way, samples] of took) samples.push((await timed(() => ask(way))).ms);
  const [bare, ours] = [...took.values()].map(median) as [number, number];
  return [
    fact("small GET, direct, p50", bare, " ms"),
    fact("small GET, through the edge, p50", ours, " ms"),
    fact("small GET: added, p50", ours - bare, " ms"),
  ];
}

async function bodies(direct: Way, edge: Way, bytes: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const kind of ["down", "up"] as const) {
    const rates: number[] = [];
    for (const way of [direct, edge]) {
      const { ms } = await timed(() => transfer(way, kind, bytes));
      rates.push(bytes / MB / (ms / 1_000));
    }
    const [bare, ours] = rates as [number, number];
    rows.push(
      fact(`${kind}, direct`, bare, " MB/s"),
      fact(`${kind}, through the edge`, ours, " MB/s"),
      fact(`${kind} ÷ direct`, ours / bare, ""),
    );
  }
  return rows;
}

/** Small requests alone, and beside a large upload to the same app. */
async function beside(edge: Way, bytes: number): Promise<Row[]> {
  const p95 = async (enough: () => boolean): Promise<number> => {
    const samples: number[] = [];
    while (!enough() || samples.length < 50) samples.push((await timed(() => ask(edge))).ms);
    return percentile(samples, 0.95);
  };
  const alone = await p95(() => true);
  let sent = false;
  const upload = transfer(edge, "up", bytes).finally(() => {
    sent = true;
  });
  const busy = await p95(() => sent);
  await upload;
  return [
    fact("small GET alone, p95", alone, " ms"),
    fact(`small GET beside an upload of ${bytes / MB} MB, p95`, busy, " ms"),
  ];
}

async function redeploys(world: TunnelWorld, edge: Way): Promise<Row[]> {
  let over = false;
  let failed = 0;
  let asked = 0;
  const underWay = new Set<Promise<void>>();
  const begin = performance.now();
  const asking = (async () => {
    for (; !over; await sleep(2)) {
      const due = ((performance.now() - begin) / 1_000) * RATE;
      for (; asked < due && underWay.size < UNDER_WAY; asked++) {
        const one: Promise<void> = ask(edge)
          .then(
            (status) => status === 200,
            () => false,
          )
          .then((fine) => {
            if (!fine) failed++;
            underWay.delete(one);
          });
        underWay.add(one);
      }
    }
    await Promise.all(underWay);
  })();
  for (let i = 0; i < DEPLOYS; i++) await world.deploy("bench", HOST);
  over = true;
  await asking;
  const seconds = (performance.now() - begin) / 1_000;
  return [
    fact(`requests during ${DEPLOYS} redeploys`, asked, ""),
    fact("of them answered a second", asked / seconds, ""),
    promise("of them failed", { below: 1 }, failed, ""),
  ];
}

async function sockets(edge: Way, count: number): Promise<Row[]> {
  const before = (await memoryOf(process.pid)).now;
  const opened: WebSocket[] = [];
  const { ms } = await timed(async () => {
    while (opened.length < count) {
      const some = Array.from({ length: 50 }, () => dial(edge));
      opened.push(...some);
      await Promise.all(some.map((socket) => once(socket, "open")));
    }
  });
  const echo = await timed(() =>
    Promise.all(
      opened.map((socket) => {
        const come = once(socket, "message");
        socket.send("echo");
        return come;
      }),
    ),
  );
  const more = (await memoryOf(process.pid)).now - before;
  for (const socket of opened) socket.close();
  await Promise.all(opened.map((socket) => once(socket, "close")));
  return [
    fact(`${count} WebSockets opened`, ms, " ms"),
    fact("one echo on each", echo.ms, " ms"),
    fact("memory for each, of client, agent and app", more / count / 1024, " KiB"),
  ];
}

function dial({ port }: Way): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${port}/`, {
    headers: { host: HOST },
    perMessageDeflate: false,
  });
}

/** A small request; its status. */
async function ask(way: Way): Promise<number> {
  const sent = request({ port: way.port, agent: way.agent, headers: { host: HOST } });
  sent.end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  await bytesOf(answer);
  return answer.statusCode ?? 0;
}

async function transfer(way: Way, kind: "down" | "up", bytes: number): Promise<void> {
  const sent = request({
    port: way.port,
    agent: way.agent,
    method: kind === "up" ? "POST" : "GET",
    headers: { host: HOST, [CASE]: kind, "x-bytes": bytes },
  });
  const answered = once(sent, "response") as Promise<[IncomingMessage]>;
  if (kind === "up") Readable.from(chunks(bytes)).pipe(sent);
  else sent.end();
  const [answer] = await answered;
  const got = await bytesOf(answer);
  if (answer.statusCode !== 200 || (kind === "down" && got !== bytes))
    throw new Error(`${way.name} ${kind}: ${answer.statusCode}, ${got} bytes`);
}

function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.length)
    yield left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left);
}

async function bytesOf(body: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const chunk of body) bytes += chunk.length;
  return bytes;
}
