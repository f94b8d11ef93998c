import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { openEdge, writeLogin } from "./settings.ts";

let folder: string;
let server: Server;
let url: string;
let token: string | undefined;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "railhead-settings-"));
  process.env.XDG_CONFIG_HOME = folder;
  server = createServer((request, response) => {
    token = request.headers["railhead-token"] as string | undefined;
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  for (const name of ["URL", "TOKEN", "GIT_TOKEN"]) delete process.env[`RAILHEAD_${name}`];
});

async function tokenSent(...args: Parameters<typeof openEdge>): Promise<string | undefined> {
  await (await openEdge(...args)).request("GET", "/");
  return token;
}

test("without a login, an option or the environment, it is said how to name the edge", async () => {
  await assert.rejects(openEdge({}), /--url .*RAILHEAD_URL.*railhead login/);
  await assert.rejects(openEdge({ url: "railhead.example" }), /is no address of an edge/);
});

test("a login is kept for its user alone, and its token is for its edge alone", async () => {
  const file = await writeLogin({ url, token: "rh_kept" });
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal(await tokenSent({}), "rh_kept");
  assert.equal(await tokenSent({ url: url.replace("127.0.0.1", "localhost") }), undefined);
});

test("the environment wins over a login, and a token file over both", async () => {
  process.env.RAILHEAD_TOKEN = "rh_environment";
  assert.equal(await tokenSent({}), "rh_environment");
  const tokenFile = join(folder, "token");
  await writeFile(tokenFile, "rh_file\n");
  assert.equal(await tokenSent({ tokenFile }), "rh_file");
  await writeFile(tokenFile, "two words\n");
  await assert.rejects(openEdge({ tokenFile }), /must hold one token/);
});

test("a URL of another edge than the one in use is refused, not guessed at", async () => {
  await assert.rejects(openEdge({ url }, "https://railhead.example"), /Give --url/);
});
