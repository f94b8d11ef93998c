import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RecipeFailure } from "./contracts.ts";
import { allowList, type DownloadLimits, downloadTar, mayReach } from "./image-download.ts";

const folder = mkdtempSync(join(tmpdir(), "railhead-download-"));
const to = join(folder, "raw");
let server: Server;
let port: number;
let answer: RequestListener;
before(async () => {
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

function download(url: string, limits: Partial<DownloadLimits> = {}): Promise<void> {
  return downloadTar(url, to, {
    max_bytes: 100_000,
    allow_addresses: ["127.0.0.1/32"],
    signal: new AbortController().signal,
    ...limits,
  });
}

async function assertRefused(url: string, why: RegExp, limits: Partial<DownloadLimits> = {}) {
  await assert.rejects(download(url, limits), (error: unknown) => {
    assert.ok(error instanceof RecipeFailure, String(error));
    assert.equal(error.class, "context_error");
    assert.match(error.message, why);
    return true;
  });
}

const PUBLIC = [
  "1.1.1.1",
  "93.184.216.34",
  "172.32.0.1",
  "2606:4700::1111",
  "2a00:1450::1",
  "::ffff:1.1.1.1",
];
const OTHERS = [
  ...["0.0.0.0", "10.1.2.3", "100.64.1.1", "127.0.0.1", "127.255.0.1", "169.254.169.254"],
  ...["172.16.0.1", "172.31.255.255", "192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"],
  ...["::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::"],
  ...["::ffff:127.0.0.1", "::ffff:7f00:1", "2001:db8::1", "2001::1", "localhost", ""],
];
test("only public addresses are reached, and what the operator allows", () => {
  const none = allowList([]);
  for (const address of PUBLIC) assert.ok(mayReach(address, none), address);
  for (const address of OTHERS) assert.ok(!mayReach(address, none), address);
  const some = allowList(["10.1.0.0/16", "127.0.0.1"]);
  assert.ok(mayReach("10.1.2.3", some) && mayReach("127.0.0.1", some));
  assert.ok(!mayReach("10.2.0.1", some) && !mayReach("127.0.0.2", some));
});

test("a tar is fetched as it is, by way of redirects", async () => {
  answer = (request, response) => {
    if (request.url === "/a") response.writeHead(302, { location: "b?x=1" }).end();
    else if (request.url === "/b?x=1") response.end("the bytes");
    else response.writeHead(404).end();
  };
  await download(`http://127.0.0.1:${port}/a`);
  assert.equal(await readFile(to, "utf8"), "the bytes");
  // A name that is looked up: its addresses are judged, and connected to as they were judged.
  await download(`http://localhost:${port}/b?x=1`);
});

test("a private address is not reached: literal, by name, or at the end of a redirect", async () => {
  let asked = 0;
  answer = (_, response) => {
    asked += 1;
    response.writeHead(307, { location: `http://127.0.0.2:${port}/secret` }).end();
  };
  const strict = { allow_addresses: [] };
  for (const host of [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "2130706433",
    "0x7f.1",
    "[::ffff:127.0.0.1]",
  ])
    await assertRefused(`http://${host}:${port}/`, /no public address/, strict);
  assert.equal(asked, 0);
  await assertRefused(`http://127.0.0.1:${port}/`, /127.0.0.2 is no public address/);
  assert.equal(asked, 1);
});

test("a redirect to another scheme, or without an end, is refused", async () => {
  answer = (_, response) => void response.writeHead(302, { location: "file:///etc/passwd" }).end();
  await assertRefused(`http://127.0.0.1:${port}/`, /only http and https/);
  answer = (_, response) => void response.writeHead(302, { location: "/again" }).end();
  await assertRefused(`http://127.0.0.1:${port}/`, /redirects more than 5 times/);
});

test("what is not there, too large or cut is told with the address, but no secret of it", async () => {
  answer = (_, response) => void response.writeHead(404).end();
  const url = `http://user:secret-word@127.0.0.1:${port}/x.tar?token=secret-word`;
  await assertRefused(url, /x\.tar could not be fetched: the server answered 404/);
  await assert.rejects(download(url), (error: Error) => !error.message.includes("secret"));
  answer = (_, response) => void response.end(Buffer.alloc(200_000));
  await assertRefused(url, /more than/);
  answer = (_, response) => {
    response.writeHead(200, { "content-length": "50" });
    response.write("half", () => response.destroy());
  };
  await assertRefused(url, /aborted|hang up/);
  await assertRefused("http://127.0.0.1:1/", /ECONNREFUSED/);
  await assertRefused("http://nowhere.invalid/", /nowhere\.invalid/);
});

test("a cancelled build does not wait for its tar", async () => {
  const over = new AbortController();
  answer = (_, response) => {
    response.write("slow");
    over.abort(new Error("cancelled"));
  };
  await assert.rejects(download(`http://127.0.0.1:${port}/`, { signal: over.signal }), /cancelled/);
});
