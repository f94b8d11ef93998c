import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { collect, type DockerWorld, dockerWorld } from "../../test/support/docker.ts";
import { engine, execIn } from "../../test/support/engine.ts";
import { EngineProxy } from "../../test/support/engine-proxy.ts";
import { until } from "../../test/support/until.ts";

const MIB = 1024 ** 2;

let world: DockerWorld;
before(async () => {
  world = await dockerWorld();
});
after(() => world[Symbol.asyncDispose]());

async function status(id: string): Promise<string> {
  const found = await engine<{ State: { Status: string } }>("GET", `/containers/${id}/json`);
  return found.State.Status;
}

test("300 MB of output before a consumer that stalls: nothing is lost, and memory stays bounded", async () => {
  const owner = world.owner();
  const total = 300 * MIB;
  const script = `yes 'a line of output, as long as such lines tend to be in practice' | head -c ${total}`;
  const handle = await world.host.create(world.spec(owner, script));
  await handle.start();
  let seen = 0;
  let stalled = false;
  let peak = 0;
  const before = process.memoryUsage().rss;
  for await (const { data } of handle.output()) {
    seen += data.length;
    peak = Math.max(peak, process.memoryUsage().rss);
    if (stalled || seen < 50 * MIB) continue;
    stalled = true;
    await until("the pause", async () => (await status(handle.id)) === "paused");
  }
  assert.equal(seen, total);
  assert.equal((await handle.wait()).code, 0);
  assert.ok(peak - before < 150 * MIB, `${Math.round((peak - before) / MIB)} MiB more`);
});

test("what a container wrote just before its end reaches a consumer that comes too late", async () => {
  const owner = world.owner();
  const total = 2 * MIB;
  const script = `head -c ${total} /dev/urandom >/tmp/x; sha256sum </tmp/x >&2; cat /tmp/x`;
  const handle = await world.host.create(world.spec(owner, script));
  await handle.start();
  const output = handle.output();
  assert.equal((await handle.wait()).code, 0);
  const { stdout, stderr } = await collect(output);
  const hash = createHash("sha256").update(stdout).digest("hex");
  assert.equal(stdout.length, total);
  assert.equal(stderr.toString(), `${hash}  -\n`);
});

test("a paused container can still be killed", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "yes"));
  await handle.start();
  const output = handle.output()[Symbol.asyncIterator]();
  await output.next();
  await until("the pause", async () => (await status(handle.id)) === "paused");
  await handle.kill("cancel", 30_000);
  assert.equal((await handle.wait()).killed, "cancel");
});

test("a flood that ignores TERM, and that nobody reads, ends by a kill within its grace", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "trap '' TERM; yes; sleep 300"));
  await handle.start();
  await until("the pause", async () => (await status(handle.id)) === "paused");
  await handle.kill("cancel", 500);
  assert.equal((await handle.wait()).killed, "cancel");
  const { stdout } = await collect(handle.output());
  assert.ok(stdout.length > 0 && stdout.length < 16 * MIB);
});

test("a consumer that stops reading does not stop the container", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "head -c 20000000 /dev/zero; exit 5"));
  await handle.start();
  for await (const _ of handle.output()) break;
  assert.equal((await handle.wait()).code, 5);
});

test("an engine that was away tells its reader where output may be missing", async () => {
  const proxy = await EngineProxy.open();
  const other = await dockerWorld({ socket: proxy.socket });
  try {
    const owner = other.owner();
    const script = "echo one; until [ -e /tmp/go ]; do sleep 0.1; done; echo two";
    const handle = await other.host.create(other.spec(owner, script));
    await handle.start();
    const output = handle.output()[Symbol.asyncIterator]();
    assert.equal((await output.next()).value?.data.toString(), "one\n");
    let asked = 0;
    proxy.hang();
    proxy.heal();
    proxy.refuses = ({ path }) => {
      if (path.endsWith("/json")) asked += 1;
      return "the engine is away";
    };
    await until("the engine to be missed", () => asked >= 2);
    await execIn(handle.id, ["touch", "/tmp/go"]);
    await until("the end", async () => (await status(handle.id)) === "exited");
    proxy.refuses = () => null;
    const rest: (string | true)[] = [];
    for (let next = await output.next(); !next.done; next = await output.next())
      rest.push(next.value.behindGap ?? next.value.data.toString());
    assert.deepEqual(rest, [true, "two\n"]);
    assert.equal((await handle.wait()).code, 0);
  } finally {
    proxy.heal();
    await other[Symbol.asyncDispose]();
    await proxy.close();
  }
});
