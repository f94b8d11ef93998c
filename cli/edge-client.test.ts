import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, test } from "node:test";
import { EdgeClient } from "./edge-client.ts";
import { CliError, EdgeRefusal, EXIT } from "./errors.ts";
import { readLog } from "./log-reader.ts";

const ID = "0123456789abcdef0123456789abcdef";
let server: Server | null = null;

/** Something that answers as an edge would, or as a broken one. */
async function edge(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  tokens: { token?: string; gitToken?: string } = {},
): Promise<EdgeClient> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { token = null, gitToken = null } = tokens;
  return new EdgeClient({ url: `http://127.0.0.1:${port}`, token, gitToken });
}

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve) ?? resolve(null));
  server = null;
});

/** Where something listened a moment ago. */
async function freedAddress(): Promise<string> {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  await new Promise((resolve) => other.close(resolve));
  return `http://127.0.0.1:${port}`;
}

function record(state: string): string {
  return JSON.stringify({
    build_id: ID,
    recipe: "go",
    target: {
      recipe: "go",
      remote: "git.example",
      path: ["ada", "hello"],
      goos: "linux",
      goarch: "amd64",
      version: "v1.0.0",
      make: null,
      commit: "0".repeat(40),
      visibility: "public",
      advertised: true,
    },
    state,
    class: null,
    reason: null,
    position: null,
    attempt: 1,
    agent: "box",
    commit: "0".repeat(40),
    visibility: "public",
    queued_at: "2026-01-01T00:00:00Z",
    started_at: null,
    ended_at: null,
    timings: { queued_ms: null, running_ms: null, phases: {} },
    artifact: "/x",
    artifacts: [],
    log: "/y",
  });
}

function line(position: number): string {
  const entry = { build_id: ID, level: "info", msg: `line ${position}`, time: "t", attempt: 1 };
  return `${JSON.stringify({ ...entry, position })}\n`;
}

test("a problem becomes its sentence, with the status that scripts switch on", async () => {
  const client = await edge((_request, response) => {
    response.writeHead(404, { "content-type": "application/problem+json" });
    response.end(
      JSON.stringify({ code: "not_built", title: "Not built", detail: "Build it.", url: "u" }),
    );
  });
  await assert.rejects(client.request("GET", "/x"), (error: unknown) => {
    assert.ok(error instanceof EdgeRefusal);
    assert.equal(error.message, "Build it.");
    assert.equal(error.code, "not_built");
    assert.equal(error.status, EXIT.refused);
    assert.deepEqual(error.members, { url: "u" });
    return true;
  });
});

test("an edge that is away, broken or something else is told apart from one that refuses", async () => {
  const client = await edge((request, response) => {
    response.writeHead(request.url === "/broken" ? 500 : 200).end("<html>");
  });
  for (const call of [() => client.request("GET", "/broken"), () => client.agents()])
    await assert.rejects(call, (error: unknown) => {
      assert.ok(error instanceof CliError);
      return error.status === EXIT.unreachable;
    });
  const gone = new EdgeClient({ url: await freedAddress(), token: null, gitToken: null });
  await assert.rejects(gone.request("GET", "/"), /Cannot reach .*: nothing listens there/);
});

test("a git host that does not answer the edge is named, and is not taken for the edge", async () => {
  const client = await edge((_request, response) => {
    response.writeHead(502, { "content-type": "application/problem+json" });
    response.end(
      JSON.stringify({ code: "remote_unreachable", detail: "git.example did not answer." }),
    );
  });
  await assert.rejects(client.request("POST", "/x"), (error: unknown) => {
    assert.ok(error instanceof EdgeRefusal);
    assert.match(error.message, /^git\.example /);
    return error.status === EXIT.remoteUnreachable;
  });
});

test("our token and the git host's travel in headers of their own, to no other host", async () => {
  let seen: IncomingMessage["headers"] = {};
  const client = await edge(
    (request, response) => {
      seen = request.headers;
      response.end("{}");
    },
    { token: "rh_ours", gitToken: "theirs" },
  );
  await client.request("GET", "/x");
  assert.equal(seen["railhead-token"], "rh_ours");
  assert.equal(seen.authorization, "token theirs");
  await assert.rejects(client.request("GET", "http://127.0.0.1:9/x"), /is not the edge/);
});

test("a log is whole, every entry once, across cuts in the middle of a line", async () => {
  const asked: string[] = [];
  const client = await edge((request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    if (!url.pathname.endsWith("/logs")) return response.end(record("succeeded"));
    asked.push(url.search);
    const after = Number(url.searchParams.get("after"));
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    for (let i = after + 1; i <= Math.min(after + 3, 7); i++) response.write(line(i));
    // The first two connections are cut within a line.
    if (asked.length <= 2) response.write(line(after + 4).slice(0, 20), () => response.destroy());
    else response.end();
  });
  const seen: number[] = [];
  let cuts = 0;
  for await (const entry of readLog(client, ID, { follow: true, onCut: () => cuts++ }))
    seen.push(entry.position);
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(cuts, 2);
  assert.deepEqual(asked, [
    "?after=0&follow=1",
    "?after=3&follow=1",
    "?after=6&follow=1",
    // What came between the end of a stream and the end of the build.
    "?after=7",
  ]);
});

test("following goes on when a stream ends before its build", async () => {
  let streams = 0;
  const client = await edge((request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    if (!url.pathname.endsWith("/logs"))
      return response.end(record(streams < 2 ? "running" : "failed"));
    streams++;
    response.end(streams <= 3 ? line(streams) : "");
  });
  const seen: number[] = [];
  for await (const entry of readLog(client, ID, { follow: true })) seen.push(entry.position);
  assert.deepEqual(seen, [1, 2, 3]);
});
