import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { makeCertificate } from "../test/support/certificate.ts";
import { run } from "../test/support/process.ts";

const PEROK = join(import.meta.dirname, "perok.ts");

describe("perok and certificates", () => {
  let folder: string;
  let server: Server;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-perok-"));
    await makeCertificate(folder, "127.0.0.1");
    const [key, cert] = await Promise.all(
      ["tls.key", "tls.crt"].map((name) => readFile(join(folder, name))),
    );
    server = createServer({ key, cert }, (_, response) => {
      const rows = [
        {
          project: "shop",
          rule: "Host:a",
          state: "live",
          url: null,
          agent: null,
          agents: [],
          since: null,
        },
      ];
      response.setHeader("content-type", "application/json").end(JSON.stringify(rows));
    });
    const sockets = new WebSocketServer({ server });
    // It is down the second time, so that what follows it ends.
    let times = 0;
    sockets.on("connection", (socket) => {
      if (++times === 1) socket.send(JSON.stringify({ stream: "stdout", data: "hello\n" }));
      if (times === 1) socket.close(1000);
      else socket.close(4001, "invalid token");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const peroku = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const file = { token: "t", peroku, project: "shop", rule: "Host:a" };
    await writeFile(join(folder, ".peroku.json"), JSON.stringify(file));
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  });

  const perok = (...args: string[]) =>
    run(process.execPath, [PEROK, ...args], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder },
    });

  test("one that nobody vouches for is refused in a clear line, with exit status 1", async () => {
    for (const command of ["list", "down", "logs"]) {
      const { code, stderr } = await perok(command);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^Cannot reach https:.*: its certificate is self-signed\.\n$/);
    }
  });

  test("noverify takes any", async () => {
    const list = await perok("noverify", "list");
    assert.equal(list.code, 0, list.stderr);
    assert.equal(list.stdout.toString(), "shop                Host:a\n");
    const logs = await perok("noverify", "logs");
    assert.equal(logs.stdout.toString(), "hello\n");
    assert.deepEqual(logs.code, 1);
    assert.match(logs.stderr, /refuses the token/);
  });

  test("without a command, or with one that there is not, it shows how it is used", async () => {
    const none = await perok();
    assert.equal(none.code, 2);
    assert.match(none.stderr, /Usage: perok \[noverify\] up\|down\|list\|logs/);
    assert.equal((await perok("noverify", "sideways")).code, 2);
    assert.equal((await perok("--help")).code, 0);
  });
});
