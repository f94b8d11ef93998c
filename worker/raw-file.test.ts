import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { FORGES, readRawFile } from "./raw-file.ts";

const COMMIT = "c".repeat(40);
const FILE = ".railhead.json";
const PATH = ["o", "tool"];

describe("a file of a commit", () => {
  let server: Server;
  let base: string;
  const asked: string[] = [];

  before(async () => {
    server = createServer((request, response) => {
      const path = request.url ?? "";
      asked.push(`${path} ${request.headers.authorization ?? ""}`.trim());
      const [, owner] = path.split("/");
      if (owner === "moved")
        response.writeHead(302, { location: path.replace("moved", "o") }).end();
      else if (owner === "away") response.writeHead(302, { location: "http://127.0.0.1:9/" }).end();
      else if (owner === "circle") response.writeHead(302, { location: path }).end();
      else if (owner === "huge") response.writeHead(200).end("x".repeat(100_000));
      else if (owner === "broken") response.writeHead(500).end("no");
      else if (owner === "cut")
        response.writeHead(200, { "content-length": "10" }).write("x", () => response.destroy());
      else if (owner === "none") response.writeHead(404).end("no");
      else response.writeHead(200).end(`of ${path}`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  test("is asked for where each kind of host has it, without a credential", async () => {
    const texts = await Promise.all(
      FORGES.map((forge) => readRawFile(forge, base, PATH, COMMIT, FILE)),
    );
    assert.deepEqual(
      texts.map((file) => file.kind === "ok" && file.text),
      [
        `of /o/tool/raw/${COMMIT}/${FILE}`,
        `of /o/tool/-/raw/${COMMIT}/${FILE}`,
        `of /o/tool/raw/commit/${COMMIT}/${FILE}`,
      ],
    );
    assert.ok(asked.every((line) => !line.includes(" ")));
  });

  test("may be absent; a host that fails, leads astray or sends too much is named for it", async () => {
    const read = (owner: string) => readRawFile("github", base, [owner, "tool"], COMMIT, FILE);
    assert.equal((await read("moved")).kind, "ok");
    assert.deepEqual(await read("none"), { kind: "absent" });
    for (const [owner, why] of [
      ["away", /another host/],
      ["circle", /circles/],
      ["huge", /more than 65536 bytes of settings/],
      ["broken", /status 500/],
      ["cut", /connection failed/],
    ] as const) {
      const file = await read(owner);
      assert.ok(file.kind === "unreachable", owner);
      assert.match(file.why, why, owner);
    }
  });

  test("of github.com comes from its host of raw files, and from no other", async (t) => {
    const read = async (location: string) => {
      const urls: string[] = [];
      t.mock.method(globalThis, "fetch", async (url: URL) => {
        urls.push(url.href);
        return urls.length === 1
          ? new Response(null, { status: 302, headers: { location } })
          : new Response("{}");
      });
      const { kind } = await readRawFile("github", "https://github.com", PATH, COMMIT, FILE);
      t.mock.restoreAll();
      return [kind, urls.length];
    };
    const path = `o/tool/${COMMIT}/${FILE}`;
    assert.deepEqual(await read(`https://raw.githubusercontent.com/${path}`), ["ok", 2]);
    for (const elsewhere of [
      `http://raw.githubusercontent.com/${path}`,
      `https://raw.githubusercontent.com.evil.example/${path}`,
      "https://127.0.0.1/",
    ])
      assert.deepEqual(await read(elsewhere), ["unreachable", 1], elsewhere);
  });
});
