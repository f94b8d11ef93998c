import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";

const MAIN = join(import.meta.dirname, "main.ts");
const TOKEN = `rh_${"5".repeat(64)}`;

let folder: string;
let server: Server;
let url: string;
/** Tokens that were made. */
let made = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "railhead-main-"));
  server = createServer((request, response) => {
    if (request.method === "POST" && request.url === "/api/tokens") {
      made++;
      return response.end(JSON.stringify({ id: "one", scope: "agent", token: TOKEN }));
    }
    response.writeHead(404, { "content-type": "application/problem+json" });
    return response.end(JSON.stringify({ code: "not_found", detail: "There is no such thing." }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

async function railhead(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, "--url", url, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { out, err, code };
}

test("with --json every error is one JSON object, with the edge's word for it", async () => {
  const refused = await railhead("agents", "--json");
  assert.equal(refused.code, 3);
  assert.deepEqual(JSON.parse(refused.err), {
    error: "There is no such thing.",
    code: "not_found",
  });
  for (const args of [["logs", "x"], ["build"], ["nonsense"], ["token", "create", "x"], []]) {
    const { err, code } = await railhead(...args, "--json");
    assert.equal(code, 2, args.join(" "));
    const { error, ...rest } = JSON.parse(err);
    assert.match(error, /^(?!error)\S.*\S$/, args.join(" "));
    assert.deepEqual(rest, { code: null });
  }
  assert.match((await railhead("agents")).err, /^railhead: There is no such thing\.\n$/);
});

test("every command's --help says what its exit statuses mean", async () => {
  for (const command of [[], ["get"], ["token", "create"]])
    assert.match(
      (await railhead(...command, "--help")).out,
      /Exit status: 0 done; 1 .* write a file/,
    );
});

test("a token can go to a new file of its owner's, and is shown nowhere then", async () => {
  const kept = await railhead("token", "create", "agent", "--output", "token");
  assert.equal(kept.code, 0, kept.err);
  assert.equal(await readFile(join(folder, "token"), "utf8"), `${TOKEN}\n`);
  assert.equal((await stat(join(folder, "token"))).mode & 0o777, 0o600);
  assert.equal(
    kept.out,
    `railhead agent register --url ${url} --token-file token && railhead agent run\n`,
  );
  assert.doesNotMatch(kept.err, /rh_/);

  const before = made;
  const again = await railhead("token", "create", "agent", "--output", "token");
  assert.equal(again.code, 1);
  assert.match(again.err, /^railhead: cannot write .*token: it is there already\n$/);
  assert.equal(made, before, "no token is made that nobody would have");

  const json = await railhead("token", "create", "agent", "--output", "other", "--json");
  assert.deepEqual(JSON.parse(json.out), {
    id: "one",
    scope: "agent",
    file: join(folder, "other"),
  });
  assert.deepEqual((await readdir(folder)).sort(), ["other", "token"]);
});

test("without a file an agent's token comes in the line to paste", async () => {
  const { out } = await railhead("token", "create", "agent");
  assert.equal(
    out,
    `RAILHEAD_AGENT_TOKEN=${TOKEN} railhead agent register --url ${url} && railhead agent run\n`,
  );
});
