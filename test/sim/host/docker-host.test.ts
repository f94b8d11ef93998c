import assert from "node:assert/strict";
import { test } from "node:test";
import type { Chunk, RunHandle, RunSpec } from "../../../agent/docker/contracts.ts";
import { ownerLabels } from "../../../agent/docker/labels.ts";
import { Kernel, Life } from "../kernel.ts";
import { SeededRandom } from "../random.ts";
import { SimDockerHost } from "./docker-host.ts";
import { IMAGE, SimEngine } from "./engine.ts";

const AGENT = "default.0000000000000000";
const OWNER = { agent: AGENT, build: "b".repeat(32), attempt: 1 };
const VOLUME = "work";
const SPEC: RunSpec = {
  owner: OWNER,
  phase: "build",
  image: IMAGE,
  command: [],
  env: {},
  working_dir: "/",
  mounts: [{ volume: VOLUME, target: "/build", read_only: false }],
  network: { kind: "none" },
  limits: { cpus: 1, memory_bytes: 1, pids: 1, disk_bytes: 1 },
  deadline_ms: 300_000,
  stdin: null,
};

class World {
  readonly kernel = new Kernel(0);
  readonly engine: SimEngine;
  life = new Life(this.kernel, "process");
  docker: SimDockerHost;

  constructor(seed: number) {
    this.engine = new SimEngine({
      id: "engine",
      kernel: this.kernel,
      random: new SeededRandom(seed),
      wallClock: () => this.kernel.now,
    });
    this.docker = new SimDockerHost(this.engine, this.life, AGENT);
  }

  /** Lets time pass until the work is done. */
  async settle<T>(work: Promise<T>, ms = 400_000): Promise<T> {
    let settled = false;
    const note = () => {
      settled = true;
    };
    work.then(note, note);
    const end = this.kernel.now + ms;
    await new Promise(setImmediate);
    while (!settled && (await this.kernel.step(end)));
    assert.ok(settled, "it never settles");
    return work;
  }

  async created(): Promise<RunHandle> {
    await this.settle(
      this.docker.createVolume({ name: VOLUME, labels: ownerLabels(OWNER), bytes: null }),
    );
    return this.settle(this.docker.create(SPEC));
  }

  /** The process dies, another one takes its place. */
  succeed(): void {
    this.life.end();
    this.life = new Life(this.kernel, "successor");
    this.docker = new SimDockerHost(this.engine, this.life, AGENT);
  }

  async pass(ms: number): Promise<void> {
    const end = this.kernel.now + ms;
    while (await this.kernel.step(end));
  }
}

async function all(chunks: AsyncIterable<Chunk>): Promise<Record<string, string>> {
  const text: Record<string, string> = { stdout: "", stderr: "" };
  for await (const { stream, data } of chunks) text[stream] += data.toString();
  return text;
}

test("of two creations of one phase one is refused", async () => {
  const world = new World(1);
  await world.created();
  await assert.rejects(world.settle(world.docker.create(SPEC)), { kind: "conflict" });
});

test("a container runs on without its agent, and its successor reads all of it from the first byte", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const whole = new World(seed);
    const handle = await whole.created();
    await whole.settle(handle.start());
    const expected = await whole.settle(all(handle.output()));
    const exit = await whole.settle(handle.wait());

    const cut = new World(seed);
    await cut.settle((await cut.created()).start());
    await cut.pass(1_500);
    cut.succeed();
    await cut.pass(1_500);
    const adopted = await cut.settle(cut.docker.adopt(OWNER, "build"));
    assert.ok(adopted);
    assert.equal(await cut.settle(adopted.complete()), true);
    assert.deepEqual(await cut.settle(all(adopted.output())), expected);
    assert.equal((await cut.settle(adopted.wait())).code, exit.code);
  }
});

test("a consumer that waits makes the container wait, also one that was adopted", async () => {
  let paused = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const world = new World(seed);
    const handle = await world.created();
    await world.settle(handle.start());
    await world.pass(200_000);
    if (world.engine.counts.paused === 0) continue;
    paused += 1;
    const [container] = world.engine.containers.values();
    assert.equal(container?.status, "running");
    world.succeed();
    const adopted = await world.settle(world.docker.adopt(OWNER, "build"));
    assert.ok(adopted);
    await world.settle(all(adopted.output()));
    await world.settle(adopted.wait());
  }
  assert.ok(paused > 0, "no program printed enough");
});

test("output whose beginning was dropped is never called complete", async () => {
  const world = new World(3);
  await world.settle((await world.created()).start());
  await world.pass(30_000);
  world.engine.cutsKept = true;
  world.succeed();
  const adopted = await world.settle(world.docker.adopt(OWNER, "build"));
  assert.ok(adopted);
  assert.equal(await world.settle(adopted.complete()), world.engine.counts.cut === 0);
  assert.equal(world.engine.counts.cut, 1);
});

test("a killed container ends, says why, and is gone after the host was cleaned", async () => {
  const world = new World(1);
  const handle = await world.created();
  await world.settle(handle.start());
  await world.settle(handle.kill("cancel", 3_000));
  assert.deepEqual(await world.settle(handle.wait()), { code: 137, oom: false, killed: "cancel" });
  await world.settle(world.docker.clean(OWNER));
  assert.equal(await world.settle(world.docker.adopt(OWNER, "build")), null);
  assert.deepEqual([...world.engine.volumes], []);
});

test("who waits for a container that others remove is told that it is gone", async () => {
  const world = new World(1);
  const handle = await world.created();
  await world.settle(handle.start());
  const end = handle.wait();
  end.catch(() => {});
  await world.settle(world.docker.reap(AGENT, []));
  await assert.rejects(world.settle(end), { kind: "gone" });
});

test("the reaper spares live attempts", async () => {
  const world = new World(1);
  await world.created();
  assert.deepEqual(await world.settle(world.docker.reap(AGENT, [OWNER])), []);
  assert.equal((await world.settle(world.docker.reap(AGENT, []))).length, 2);
});

test("an engine that is away refuses, one that hangs times out, and both come back", async () => {
  const world = new World(1);
  const handle = await world.created();
  await world.settle(handle.start());
  world.engine.stop(true);
  await assert.rejects(world.settle(world.docker.facts()), { kind: "unavailable" });
  world.engine.restart();
  world.engine.hang(true);
  await assert.rejects(world.settle(world.docker.facts()), { kind: "timeout" });
  world.engine.hang(false);
  await world.settle(all(handle.output()));
  assert.equal((await world.settle(handle.wait())).killed, null);
});

test("an engine that crashes ends its containers", async () => {
  const world = new World(1);
  const handle = await world.created();
  await world.settle(handle.start());
  world.engine.stop(false);
  world.engine.restart();
  assert.equal((await world.settle(handle.wait())).code, 137);
});
