import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { disk } from "./disk.ts";
import { download, EdgeRefusal } from "./edge.ts";
import { createLogger } from "./logger.ts";
import { clock } from "./machine.ts";
import type { AgentPorts } from "./ports.ts";
import { fetchPosted } from "./posted.ts";
import { RecipeFailure } from "./recipes/contracts.ts";

const BYTES = randomBytes(300_000);
const BUILD = "0123456789abcdef0123456789abcdef";
const folder = mkdtempSync(join(tmpdir(), "railhead-posted-"));
const file = join(folder, "context");
let server: Server;
let answer: RequestListener;
const asked: string[] = [];

before(async () => {
  server = createServer((request, response) => {
    asked.push(request.headers.range ?? "whole");
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  rmSync(file, { force: true });
  asked.length = 0;
});

function fetchIt(signal = new AbortController().signal): Promise<void> {
  const ports = {
    clock,
    // Pauses of no length.
    random: { hex: () => "", fraction: () => 0 },
    disk,
    net: { download },
  } as unknown as AgentPorts;
  return fetchPosted(file, BYTES.length, {
    ports,
    edge: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    build: BUILD,
    attempt: 2,
    lease: "the lease",
    log: createLogger({ json: true, write: () => {} }),
    signal,
  });
}

/** Serves the context from where it is asked for, at most `most` bytes at a time. */
function serve(most = BYTES.length): RequestListener {
  return (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const rest = BYTES.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, { "content-length": rest.length });
    response.write(rest.subarray(0, most), () => rest.length > most && response.destroy());
    if (rest.length <= most) response.end();
  };
}

test("a context comes to the disk under the attempt's lease", async () => {
  answer = (request, response) => {
    assert.equal(request.headers.authorization, "Bearer the lease");
    assert.equal(request.url, `/agent/builds/${BUILD}/attempts/2/context`);
    serve()(request, response);
  };
  await fetchIt();
  assert.ok(readFileSync(file).equals(BYTES));
  await fetchIt();
  assert.deepEqual(asked, ["whole"]);
});

test("cut again and again it is fetched on from where it was, also by a successor", async () => {
  writeFileSync(file, BYTES.subarray(0, 1_000));
  answer = serve(40_000);
  await fetchIt();
  assert.ok(readFileSync(file).equals(BYTES));
  assert.equal(asked[0], "bytes=1000-");
  assert.ok(asked.length > 5);
});

test("a proxy's page is not taken for the context", async () => {
  let pages = 0;
  answer = (request, response) => {
    pages += 1;
    if (pages > 3) serve()(request, response);
    else if (pages === 1) response.writeHead(502, { "content-type": "text/html" }).end("<html>");
    // Status 200 to a request for a part: not what was asked for.
    else response.writeHead(pages === 2 ? 413 : 503).end("no");
  };
  await fetchIt();
  assert.ok(readFileSync(file).equals(BYTES));
});

test("an answer that is whole where a part was asked for is not appended", async () => {
  writeFileSync(file, BYTES.subarray(0, 1_000));
  let first = true;
  answer = (request, response) => {
    if (first) response.end(BYTES);
    else serve()(request, response);
    first = false;
  };
  await fetchIt();
  assert.ok(readFileSync(file).equals(BYTES));
});

test("an edge that says no, or nothing for long, ends it", async () => {
  answer = (_, response) =>
    void response
      .writeHead(409, { "content-type": "application/problem+json" })
      .end('{"code":"attempt_over","detail":"This attempt is over."}');
  await assert.rejects(fetchIt(), EdgeRefusal);
  assert.equal(asked.length, 1);
  answer = (_, response) => void response.destroy();
  await assert.rejects(
    fetchIt(),
    (error) => error instanceof RecipeFailure && error.class === "storage",
  );
  assert.ok(asked.length > 3);
});

test("an attempt that ends does not wait for its context", async () => {
  const over = new AbortController();
  answer = (_, response) => {
    response.writeHead(200, { "content-length": BYTES.length });
    response.write("x", () => over.abort(new Error("cancelled")));
  };
  await assert.rejects(fetchIt(over.signal), /cancelled/);
});
