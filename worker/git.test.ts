import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type GitServer, startGitServer } from "../cli/dev/git-server.ts";
import { makeRepository } from "../cli/dev/repository.ts";
import { listPublicRefs, listRefs, probe } from "./git.ts";

const ADVERTISEMENT = { "content-type": "application/x-git-upload-pack-advertisement" };
const BASIC = `Basic ${btoa("ada:secret")}`;

async function serve(listener: RequestListener): Promise<{ url: string; close(): void }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe("references over smart HTTP", () => {
  let root: string;
  let git: GitServer;
  let commits: string[];

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "railhead-refs-"));
    commits = await makeRepository(join(root, "o/tool.git"), [
      { files: { n: "0" }, tag: "v1.0.0", annotated: true },
      { files: { n: "1" }, tag: "v1.1.0" },
    ]);
    await makeRepository(join(root, "o/secret.git"), [{ files: { n: "0" }, tag: "v1.0.0" }]);
    git = await startGitServer({
      root,
      credentials: { "o/secret": [{ user: "ada", password: "secret" }] },
    });
  });
  after(async () => {
    await git.close();
    await rm(root, { recursive: true });
  });

  test("tags are listed with the commits behind them", async () => {
    const answer = await listRefs(`${git.url}/o/tool.git`, "refs/tags/", null);
    assert.ok(answer.kind === "ok");
    assert.deepEqual(
      answer.refs.map(({ ref, oid, peeled }) => [ref, peeled ?? oid]),
      [
        ["refs/tags/v1.0.0", commits[0]],
        ["refs/tags/v1.1.0", commits[1]],
      ],
    );
  });

  test("absent and private look the same; the right credential opens", async () => {
    const secret = `${git.url}/o/secret.git`;
    for (const [url, credential] of [
      [secret, null],
      [secret, "Bearer wrong"],
      [`${git.url}/o/nope.git`, null],
      [`${git.url}/o/nope.git`, BASIC],
    ] as const) {
      assert.deepEqual(await listRefs(url, "refs/tags/", credential), { kind: "denied" });
      assert.deepEqual(await probe(url, credential), { kind: "denied" });
    }
    assert.equal((await listRefs(secret, "refs/tags/", BASIC)).kind, "ok");
    assert.deepEqual(await probe(secret, BASIC), { kind: "ok" });
  });

  test("those who ask at once share one listing; a later one is new", async () => {
    const url = `${git.url}/o/tool.git`;
    const count = () => git.requests.length;
    const start = count();
    await Promise.all(Array.from({ length: 20 }, () => listPublicRefs(url, "refs/heads/")));
    assert.equal(count() - start, 2);
    await listPublicRefs(url, "refs/heads/");
    assert.equal(count() - start, 2);
    await listPublicRefs(url, "refs/heads/", Number.POSITIVE_INFINITY);
    assert.equal(count() - start, 4);
  });

  test("a failure is never kept", async () => {
    const url = `${git.url}/o/later.git`;
    assert.equal((await listPublicRefs(url, "refs/tags/")).kind, "denied");
    await makeRepository(join(root, "o/later.git"), [{ files: { n: "0" }, tag: "v1" }]);
    assert.equal((await listPublicRefs(url, "refs/tags/")).kind, "ok");
  });

  test("a redirect on the same host is followed, with the credential", async () => {
    const target = `${git.url}/o/secret.git`;
    const proxy = await serve(async (request, response) => {
      const path = request.url ?? "";
      if (path.startsWith("/old")) {
        response.writeHead(301, { location: path.replace("/old", "/new") }).end();
        return;
      }
      const body = request.method === "POST" ? await new Response(request as never).text() : null;
      const answer = await fetch(path.replace("/new", target), {
        method: request.method as string,
        headers: Object.fromEntries(
          Object.entries(request.headers).filter(([name]) =>
            ["authorization", "git-protocol", "content-type"].includes(name),
          ),
        ) as Record<string, string>,
        body,
      });
      response.writeHead(answer.status, {
        "content-type": answer.headers.get("content-type") ?? "",
      });
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
    try {
      assert.equal((await listRefs(`${proxy.url}/old`, "refs/tags/", BASIC)).kind, "ok");
      assert.equal((await listRefs(`${proxy.url}/old`, "refs/tags/", null)).kind, "denied");
    } finally {
      proxy.close();
    }
  });

  test("a credential never follows a redirect to another host", async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.end();
    });
    const host = await serve((request, response) => {
      response.writeHead(302, { location: `${other.url}${request.url}` }).end();
    });
    try {
      const answer = await listRefs(`${host.url}/x.git`, "refs/tags/", BASIC);
      assert.deepEqual(answer, { kind: "unreachable", why: "it redirects to another host" });
      assert.deepEqual(seen, []);
    } finally {
      host.close();
      other.close();
    }
  });

  test("what is no git host is told from one that has nothing", async () => {
    const block = Buffer.alloc(1 << 20, "0");
    for (const [why, listener] of [
      [
        /not git's smart HTTP/,
        (_, response) =>
          response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in</html>"),
      ],
      [/not git's smart HTTP/, (_, response) => response.writeHead(200).end()],
      [
        /in circles/,
        (request, response) => response.writeHead(301, { location: request.url ?? "" }).end(),
      ],
      [/another host/, (_, response) => response.writeHead(302, { location: "http://" }).end()],
      [/protocol/, (_, response) => response.writeHead(200, ADVERTISEMENT).end("no packet")],
      [/protocol/, (_, response) => response.writeHead(200, ADVERTISEMENT).end()],
      [/status 503/, (_, response) => response.writeHead(503).end()],
      [/status 429/, (_, response) => response.writeHead(429).end()],
      [/connection failed/, (request) => request.socket.destroy()],
      [
        /references/,
        (_, response) => {
          response.writeHead(200, ADVERTISEMENT);
          const more = () => {
            while (!response.destroyed && response.write(block));
          };
          response.on("drain", more);
          more();
        },
      ],
    ] as [RegExp, RequestListener][]) {
      const host = await serve(listener);
      const answer = await listRefs(`${host.url}/o/r.git`, "refs/tags/", null);
      host.close();
      assert.ok(answer.kind === "unreachable", `${why}: ${JSON.stringify(answer)}`);
      assert.match(answer.why, why);
    }
  });
});
