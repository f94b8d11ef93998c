import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { ADDRESS, freePort } from "./port.ts";

test("a port that nobody asked for by number is none that another program is given meanwhile", async () => {
  const range = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
  const [first] = range.trim().split(/\s+/).map(Number) as [number, number];
  for (let i = 0; i < 20; i++) {
    const port = await freePort(0);
    assert.ok(port >= 1_024 && port < first, `${port}`);
  }
});

test("a port that is taken is said with what to do", async () => {
  const server = createServer().listen(0, ADDRESS);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await assert.rejects(freePort(port), new RegExp(`Port ${port} is taken: .* --port `));
  server.close();
  await once(server, "close");
  assert.equal(await freePort(port), port);
});
