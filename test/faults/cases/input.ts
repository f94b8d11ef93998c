/** Area "input": whatever is sent, nothing breaks, and the sender is told what is wrong with it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type WebSocket from "ws";
import { type AttemptUp, CLOSE, PING, PONG, PROTOCOL_VERSION } from "../../../shared/protocol.ts";
import {
  hostileRequests,
  type OpenApi,
  parseOpenApi,
  samplePaths,
  spoiled,
} from "../../support/hostile-values.ts";
import { cordoned, withLiar } from "../../support/liar.ts";
import { GARBAGE, REFUSED } from "../../support/malformed-requests.ts";
import { type RawAnswer, rawHead, rawRequest } from "../../support/raw-http.ts";
import { faultsOf } from "../../support/refusals.ts";
import type { TestStack } from "../../support/stack.ts";
import { fileOf } from "../../worker/agent.ts";
import type { FaultCase } from "../case.ts";

/** Requests under way at once. */
const ABREAST = 8;
/** Those that the runtime itself knows; it refuses others with 501. */
const METHODS = [
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
  ...["PROPFIND", "MKCOL", "LOCK", "SEARCH"],
];
/** Bytes of a body that is larger than anything a route takes. */
const HUGE_BYTES = 32 * 2 ** 20;
/** POSTs at once, and the versions that some of them ask for. */
const FLOOD = 1_000;
const NEW_BUILDS = 40;
/** Close codes that an agent may get: a bad frame, an attempt that is over, a newer socket, a process that took over. */
const FINE_CODES = new Set<number>([
  CLOSE.badFrame,
  CLOSE.attemptOver,
  CLOSE.replaced,
  CLOSE.superseded,
]);

export const cases: FaultCase[] = [
  {
    area: "input",
    name: "malformed paths, queries, headers, tokens and methods",
    quick: true,
    async run({ stack }) {
      const wrong: string[] = [];
      await abreast(REFUSED, async ([method, path, headers]) => {
        const lines = ["Accept: application/json", ...(headers ?? [])];
        const answer = await rawRequest(stack.url, rawHead(method, path, lines));
        wrong.push(...faultsOf(`${method} ${path.slice(0, 100)} ${headers?.join() ?? ""}`, answer));
      });
      assert.deepEqual(wrong, []);
    },
  },
  {
    area: "input",
    name: "every parameter and body of every route missing, of a wrong kind, too long, hostile",
    quick: true,
    async run({ stack }) {
      const authorization = `Bearer ${stack.token}`;
      const wrong: string[] = [];
      const document = await openApi(stack);
      await restoring(stack, () =>
        abreast(hostileRequests(document), async ({ method, path, headers, body }) => {
          const what = `${method} ${path.slice(0, 120)} ${String(body ?? "").slice(0, 120)}`;
          const answer = await send(stack, method, path, { ...headers, authorization }, body);
          // Some values are good ones for where they stand, and then the answer is no refusal.
          if (answer !== null && answer.status < 400) return;
          if (method === "HEAD" && answer !== null && answer.status < 500) return;
          wrong.push(...faultsOf(what, answer));
        }),
      );
      assert.deepEqual(wrong, []);
    },
  },
  {
    area: "input",
    name: "every method on every route",
    quick: true,
    async run({ stack }) {
      const document = await openApi(stack);
      const wrong: string[] = [];
      const paths = samplePaths(document);
      const pairs = paths.flatMap((path) => METHODS.map((method) => [method, path] as const));
      await abreast(pairs, async ([method, path]) => {
        const answer = await send(stack, method, path, {}, null);
        if (answer !== null && answer.status < 400) return;
        if (method === "HEAD" && answer !== null && answer.status < 500) return;
        wrong.push(...faultsOf(`${method} ${path}`, answer));
        if (answer?.status === 405 && !/^allow: [A-Z, ]+$/im.test(answer.head))
          wrong.push(`${method} ${path}: no Allow`);
      });
      assert.deepEqual(wrong, []);
    },
  },
  {
    area: "input",
    name: "garbage instead of HTTP, and bodies without an end",
    quick: true,
    async run({ stack }) {
      for (const garbage of GARBAGE) {
        const answer = await rawRequest(stack.url, garbage);
        if (answer !== null) assert.ok(answer.status < 500, `${answer.status} ${answer.head}`);
      }
      const huge = Buffer.alloc(HUGE_BYTES, "x");
      const authorization = `Bearer ${stack.token}`;
      for (const path of [
        "/agent/register",
        "/api/tokens",
        "/git.example/eve/x/linux/amd64/v1.0.0",
      ])
        for (const type of ["application/json", "application/octet-stream"]) {
          const headers = { authorization, "content-type": type };
          // A server may cut off who goes on sending what it has refused.
          const answer = await stack.post(path, { headers, body: huge }).catch(() => null);
          await answer?.body?.cancel();
          if (answer !== null) assert.ok([404, 413].includes(answer.status), `${answer.status}`);
        }
      assert.equal((await stack.fetch("/healthz")).status, 200);
    },
  },
  {
    area: "input",
    name: "every frame of an agent's sockets with a member missing, of a wrong kind, too long",
    quick: true,
    async run({ stack }) {
      await withLiar(stack, async (liar) => {
        const { id, attempt } = await liar.attempt();
        for (const frame of FRAMES) await spoil(attempt.dial, frame);
        for (const frame of CONTROL_FRAMES) await spoil(liar.agent.dial, frame);
        const socket = await attempt.dial();
        await socket.next("ready");
        await stack.cancel(id);
        await socket.next("cancel");
        socket.send({ ...RESULT, outcome: "cancelled", class: "cancelled", last_seq: 0 });
        await socket.next("result_ok");
        assert.equal((await stack.ended(id)).record.state, "cancelled");
      });
    },
  },
  {
    area: "input",
    name: "a flood of POSTs: new builds, joins, unknown versions, malformed paths",
    quick: true,
    async run({ stack }) {
      await cordoned(stack, async () => {
        const repository = `eve/${randomBytes(4).toString("hex")}`;
        const history = Array.from({ length: NEW_BUILDS }, (_, i) => ({
          files: { n: `${i}` },
          tag: `v1.${i}.0`,
        }));
        await stack.commit(repository, history);
        const base = `/git.example/${repository}/linux/amd64`;
        const posts = Array.from({ length: FLOOD }, (_, i) => {
          if (i % 4 === 0) return `${base}/v9.${i}.0`;
          if (i % 4 === 1) return `${base}/%2e%2e%2f${i}`;
          return `${base}/v1.${i % NEW_BUILDS}.0`;
        });
        const builds = new Set<string>();
        const statuses = new Set<number>();
        const answers = posts.map(async (path) => {
          const answer = await stack.post(path, { headers: { accept: "application/json" } });
          statuses.add(answer.status);
          const body = (await answer.json()) as { build_id?: string };
          if (answer.status === 202) builds.add(body.build_id ?? "");
        });
        assert.equal((await stack.fetch("/healthz")).status, 200);
        await Promise.all(answers);
        try {
          for (const status of statuses)
            assert.ok([202, 400, 404, 429].includes(status), `${status}`);
          assert.ok(builds.size > 0 && builds.size <= NEW_BUILDS, `${builds.size} builds`);
        } finally {
          for (const id of builds) await stack.cancel(id);
        }
      });
    },
  },
];

const HELD = { build: "0".repeat(32), attempt: 1 };
const RESULT: Extract<AttemptUp, { t: "result" }> = {
  t: "result",
  outcome: "failed",
  class: "make_error",
  reason: "no.",
  last_seq: 1_000_000,
  uploads: [],
  repositories: [],
  phases: {},
};
/** One of each kind, that changes nothing. */
const FRAMES: readonly Record<string, unknown>[] = [
  { t: "start", protocol: PROTOCOL_VERSION, instance: "liar", workspace: "w" },
  { t: "log", entries: [{ seq: 1, time: "", level: "info", msg: "x", stream: "stdout" }] },
  { t: "phase", phase: "fetch" },
  { t: "upload", upload: "0".repeat(32), ...fileOf("x.tar.gz", Buffer.from("x")) },
  { t: "ticket", upload: "0".repeat(32), part: 1 },
  { t: "uploaded", upload: "0".repeat(32), parts: [{ part: 1, etag: "x" }] },
  RESULT,
];
const CONTROL_FRAMES: readonly Record<string, unknown>[] = [
  { t: "accept", ...HELD },
  { t: "reject", ...HELD, code: "busy", reason: "x" },
  { t: "done", ...HELD },
  { t: "status", capacity: 1, unwell: null, draining: false },
];

type Line = { socket: WebSocket; closed: Promise<number> };

/** Sends each spoiled frame on a socket of its own; it is taken, passed over, or closes the socket as a bad frame. */
async function spoil(dial: () => Promise<Line>, frame: Record<string, unknown>): Promise<void> {
  for (const text of spoiled(frame)) {
    const { socket, closed } = await dial();
    const answered = new Promise<null>((resolve) =>
      socket.on("message", (data) => String(data) === PONG && resolve(null)),
    );
    socket.send(text);
    // Answered by the platform, behind whatever the frame did.
    socket.send(PING);
    const code = await Promise.race([closed, answered]);
    socket.close();
    assert.ok(code === null || FINE_CODES.has(code), `${code} after ${text.slice(0, 200)}`);
  }
}

async function openApi(stack: TestStack): Promise<OpenApi> {
  return parseOpenApi(await (await stack.fetch("/openapi.json")).json());
}

/** Removes the agents and tokens that `act` happened to make. */
async function restoring(stack: TestStack, act: () => Promise<void>): Promise<void> {
  const headers = { authorization: `Bearer ${stack.token}` };
  const listed = async (kind: "agents" | "tokens") => {
    const answer = await stack.fetch(`/api/${kind}`, { headers });
    const things = (await answer.json()) as { id?: string; agent?: string }[];
    return things.map(({ id, agent }) => `/api/${kind}/${agent ?? id}`);
  };
  const all = async () => [...(await listed("agents")), ...(await listed("tokens"))];
  const before = new Set(await all());
  await act();
  for (const path of await all())
    if (!before.has(path)) await stack.fetch(path, { method: "DELETE", headers });
}

async function abreast<T>(items: Iterable<T>, act: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const lane = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await act(next.value);
  };
  await Promise.all(Array.from({ length: ABREAST }, lane));
}

function send(
  stack: TestStack,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: string | Buffer | null,
): Promise<RawAnswer | null> {
  const bytes = Buffer.from(body ?? "");
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  if (body !== null) lines.push(`content-length: ${bytes.length}`);
  const head = rawHead(method, path, ["Accept: application/json", ...lines]);
  return rawRequest(stack.url, Buffer.concat([Buffer.from(head), bytes]));
}
