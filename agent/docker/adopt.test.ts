import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, unlink } from "node:fs/promises";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { collect, type DockerWorld, dockerWorld } from "../../test/support/docker.ts";
import { engine } from "../../test/support/engine.ts";
import { until } from "../../test/support/until.ts";
import type { Chunk, RunSpec } from "./contracts.ts";
import { DEFAULT_SOCKET, dockerHost } from "./index.ts";

const CHILD = join(import.meta.dirname, "../../test/support/docker-child.ts");
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

/** Has another agent process start the container, which is killed once it read `bytes` of its output. */
async function crash(spec: RunSpec, bytes: number, when: (id: string) => Promise<boolean>) {
  const { agent, folder } = world;
  const order = JSON.stringify({ agent, folder, spec, bytes });
  const child = spawn(process.execPath, [CHILD, order], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = await once(child.stdout, "data");
    const name = `railhead-${spec.owner.build}-${spec.owner.attempt}-${spec.phase}`;
    await until("the moment to crash", () => when(name));
    return JSON.parse(String(line)) as Record<Chunk["stream"], number>;
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}

/** Lines of both streams with numbers, and one that is longer than the engine's buffer. */
function numbered(lines: number, extra = ""): string {
  return `perl -e '$| = 1; for (1..${lines}) { print "out $_\\n"; print STDERR "err $_\\n";
    print "x" x 50000, "\\n" if $_ == 100; ${extra} }'`;
}

function expected(stream: "out" | "err", lines: number): string {
  let text = "";
  for (let i = 1; i <= lines; i++) {
    text += `${stream} ${i}\n`;
    if (i === 100 && stream === "out") text += `${"x".repeat(50_000)}\n`;
  }
  return text;
}

test("an agent that was killed is followed by one that reads every byte of the output, once", async () => {
  const owner = world.owner();
  const pause = "select(undef, undef, undef, 0.001) if $_ % 10 == 0;";
  const spec = world.spec(owner, numbered(10_000, pause));
  await crash(spec, 5_000, async (id) => (await status(id)) === "running");
  const handle = await world.host.adopt(owner, "build");
  assert.ok(handle);
  assert.equal(await handle.complete(), true);
  const { stdout, stderr } = await collect(handle.output());
  assert.equal(stdout.toString(), expected("out", 10_000));
  assert.equal(stderr.toString(), expected("err", 10_000));
  assert.deepEqual(await handle.wait(), { code: 0, oom: false, killed: null });
});

test("a container that ended while no agent was there is adopted with its output and its end", async () => {
  const owner = world.owner();
  const spec = world.spec(owner, `${numbered(1_000)}; exit 4`);
  await crash(spec, 1, async (id) => (await status(id)) === "exited");
  const handle = await world.host.adopt(owner, "build");
  assert.ok(handle);
  const { stdout, stderr } = await collect(handle.output());
  assert.equal(stdout.toString(), expected("out", 1_000));
  assert.equal(stderr.toString(), expected("err", 1_000));
  assert.equal((await handle.wait()).code, 4);
  assert.equal((await handle.wait()).killed, null);
});

test("a container that was paused when its agent died goes on", async () => {
  const owner = world.owner();
  const lines = 400_000;
  const spec = world.spec(owner, numbered(lines));
  const seen = await crash(spec, 1, async (id) => (await status(id)) === "paused");
  assert.ok(seen.stdout + seen.stderr > 0);
  const handle = await world.host.adopt(owner, "build");
  assert.ok(handle);
  const { stdout, stderr } = await collect(handle.output());
  assert.ok(stdout.equals(Buffer.from(expected("out", lines))));
  assert.ok(stderr.equals(Buffer.from(expected("err", lines))));
  assert.equal((await handle.wait()).code, 0);
});

test("an adopted container keeps its deadline", async () => {
  const owner = world.owner();
  const spec = world.spec(owner, "echo ready; sleep 300", { deadline_ms: 3_000 });
  await crash(spec, 1, async () => true);
  const handle = await world.host.adopt(owner, "build");
  assert.ok(handle);
  assert.equal((await handle.wait()).killed, "deadline");
});

test("an adopted container is not ended by a wall clock that was set meanwhile", async (t) => {
  const owner = world.owner();
  await crash(world.spec(owner, "echo ready; sleep 2"), 1, async () => true);
  const real = Date.now;
  t.mock.method(Date, "now", () => real() + 3_600_000);
  const handle = await world.host.adopt(owner, "build");
  assert.ok(handle);
  const { code, killed } = await handle.wait();
  assert.deepEqual({ code, killed }, { code: 0, killed: null });
});

test("output of which the engine dropped the beginning is not taken for complete", async () => {
  const owner = world.owner();
  const script = `yes 'a line of output, as long as such lines tend to be' | head -c ${150 * MIB}`;
  // Its reader takes all there is.
  await crash(world.spec(owner, script), 150 * MIB, async (id) => (await status(id)) === "exited");
  const handle = await world.host.adopt(owner, "build");
  assert.ok(handle);
  assert.equal(await handle.complete(), false);
  const { stdout } = await collect(handle.output());
  assert.ok(stdout.length > 40 * MIB && stdout.length < 150 * MIB, `${stdout.length}`);
  assert.equal((await handle.wait()).code, 0);
});

test("what is not there, or another agent's, is not adopted", async () => {
  const owner = world.owner();
  assert.equal(await world.host.adopt(owner, "build"), null);
  await world.host.create(world.spec(owner, "true"));
  const agent = `${world.agent}.other`;
  const other = dockerHost({ agent, folder: world.folder });
  assert.equal(await other.adopt({ ...owner, agent }, "build"), null);
});

/** A way to the engine that can be cut, as a restart of the engine cuts it. */
class Way implements AsyncDisposable {
  readonly folder: string;
  readonly socket: string;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(folder: string) {
    this.folder = folder;
    this.socket = join(folder, "docker.sock");
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      const far = createConnection({ path: DEFAULT_SOCKET, allowHalfOpen: true });
      for (const socket of [near, far]) {
        this.#open.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => this.#open.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
  }

  static async make(): Promise<Way> {
    const way = new Way(await mkdtemp(join(tmpdir(), "railhead-way-")));
    await way.open();
    return way;
  }

  async open(): Promise<void> {
    this.#server.listen(this.socket);
    await once(this.#server, "listening");
  }

  async cut(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
    await unlink(this.socket).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
    await rm(this.folder, { recursive: true, force: true });
  }
}

test("a broken connection costs no byte of the output, and not the end", async () => {
  await using way = await Way.make();
  const { agent, folder } = world;
  const host = dockerHost({ agent, folder, socket: way.socket });
  const owner = world.owner();
  const pause = "select(undef, undef, undef, 0.001) if $_ % 10 == 0;";
  const handle = await host.create(world.spec(owner, numbered(10_000, pause)));
  await handle.start();
  const seen = { stdout: "", stderr: "" };
  let cuts = 0;
  for await (const { stream, data } of handle.output()) {
    seen[stream] += data.toString();
    if (cuts === 3 || seen.stdout.length < (cuts + 1) * 30_000) continue;
    cuts += 1;
    await way.cut();
    await way.open();
  }
  assert.equal(cuts, 3);
  assert.equal(seen.stdout, expected("out", 10_000));
  assert.equal(seen.stderr, expected("err", 10_000));
  assert.deepEqual(await handle.wait(), { code: 0, oom: false, killed: null });
});

test("a container that ends while the engine is away is told when it is back", async () => {
  await using way = await Way.make();
  const { agent, folder } = world;
  const host = dockerHost({ agent, folder, socket: way.socket });
  const owner = world.owner();
  const handle = await host.create(
    world.spec(owner, "read x; echo $x; exit 9", { stdin: "end\n" }),
  );
  await handle.start();
  await way.cut();
  await until("the end", async () => (await status(handle.id)) === "exited");
  await way.open();
  const { stdout } = await collect(handle.output());
  assert.equal(stdout.toString(), "end\n");
  assert.equal((await handle.wait()).code, 9);
});

test("a kill reaches its container although the engine is away when it is asked", async () => {
  await using way = await Way.make();
  const { agent, folder } = world;
  const host = dockerHost({ agent, folder, socket: way.socket });
  const handle = await host.create(world.spec(world.owner(), "sleep 300"));
  await handle.start();
  await way.cut();
  const killed = handle.kill("cancel", 0);
  await way.open();
  await killed;
  assert.equal((await handle.wait()).killed, "cancel");
  await handle.remove();
});
