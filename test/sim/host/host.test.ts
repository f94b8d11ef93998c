import assert from "node:assert/strict";
import { test } from "node:test";
import { Kernel } from "../kernel.ts";
import { SeededRandom } from "../random.ts";
import { ENGINE_FAULTS, SimHost } from "./host.ts";
import { ScriptedEdge } from "./scripted-edge.ts";

const EPOCH = Date.UTC(2026, 0, 1);
const SECRET = "hunter2-is-no-password";
const MINUTE_MS = 60_000;

type World = { kernel: Kernel; edge: ScriptedEdge; host: SimHost; trace: string[] };

function world(seed: number): World {
  const trace: string[] = [];
  const kernel = new Kernel(EPOCH, (line) => trace.push(`${kernel.now - EPOCH} ${line}`));
  const random = new SeededRandom(seed);
  const edge = new ScriptedEdge(random.hex(16), [`Bearer ${SECRET}`]);
  const host = new SimHost({
    kernel,
    network: edge,
    random,
    name: "a",
    agent: "default.0000000000000000",
    pool: "default",
    edge: "http://edge.example",
  });
  host.onDeath = () => void kernel.after(500, "a supervisor", () => host.start());
  host.start();
  return { kernel, edge, host, trace };
}

async function run({ kernel }: World, until: () => boolean, minutes = 10): Promise<void> {
  const end = kernel.now + minutes * MINUTE_MS;
  while (!until()) if (!(await kernel.step(end))) return;
}

function assertEnded({ edge, host, trace }: World, seed: number): void {
  const about = () => `seed ${seed}\n${trace.slice(-40).join("\n")}`;
  assert.notEqual(edge.result, null, about());
  assert.deepEqual(
    host.leftovers(() => false),
    [],
    about(),
  );
  assert.deepEqual(host.bugs, [], about());
  assert.deepEqual(host.engine.broken, [], about());
  assert.ok(!JSON.stringify([edge.entries, edge.result]).includes(SECRET), about());
}

/** Numbers of the lines of the build's container, by stream: none twice, all in order; gaps only where it says so. */
function assertLines({ edge }: World, seed: number): void {
  const last = { stdout: 0, stderr: 0 };
  const gap = { stdout: false, stderr: false };
  for (const entry of edge.entries) {
    if (entry.gap) gap.stdout = gap.stderr = true;
    const found = /^[0-9a-f]{32}\/1\/build\/(stdout|stderr)\/(\d+)/.exec(entry.msg);
    if (!found) continue;
    const stream = found[1] as keyof typeof last;
    const k = Number(found[2]);
    assert.ok(
      gap[stream] ? k > last[stream] : k === last[stream] + 1,
      `seed ${seed}: ${entry.msg}`,
    );
    last[stream] = k;
    gap[stream] = false;
  }
}

test("a build runs from its assignment to a clean host in virtual time", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const one = world(seed);
    await run(one, () => one.edge.done);
    assertEnded(one, seed);
    assertLines(one, seed);
    if (one.edge.result?.outcome === "succeeded")
      for (const file of one.edge.files) assert.match(file, new RegExp(one.edge.build));
  }
});

test("the same seed gives the same run", async () => {
  for (const seed of [3, 4]) {
    const [one, two] = [world(seed), world(seed)];
    for (const each of [one, two]) {
      each.kernel.after(3_000, "kill", () => each.host.kill());
      await run(each, () => each.edge.done);
    }
    assert.deepEqual(one.trace, two.trace);
  }
});

test("an agent that is killed at any write goes on with its build", async () => {
  let adopted = 0;
  let found = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const one = world(seed);
    one.host.killAtWrite(seed);
    await run(one, () => one.edge.done);
    assertEnded(one, seed);
    assertLines(one, seed);
    adopted += one.host.engine.counts.adopted;
    found += one.host.engine.counts.found_ended;
  }
  assert.ok(adopted > 5 && found > 5, `${adopted} adopted, ${found} found ended`);
});

test("a build ends whatever its engine does", async () => {
  for (const fault of ENGINE_FAULTS)
    for (let seed = 1; seed <= 8; seed++) {
      const one = world(seed);
      one.kernel.after(seed * 1_000, "break", () => one.host.breakDocker(fault, 20_000));
      one.kernel.after(seed * 1_500, "kill", () => seed % 2 && one.host.kill());
      await run(one, () => one.edge.done);
      await run(one, () => one.host.leftovers(() => false).length === 0);
      assertEnded(one, seed);
    }
});

test("after a reboot nothing of the old attempt is left", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const one = world(seed);
    one.kernel.after(seed * 700, "reboot", () => one.host.reboot(5_000));
    await run(one, () => one.edge.done);
    assert.deepEqual(
      one.host.leftovers(() => false),
      [],
      one.trace.slice(-30).join("\n"),
    );
  }
});

test("an agent whose own disk was full for a while says so, and gets work again", async () => {
  for (const seconds of [5, 200]) {
    const one = world(1);
    // Not the engine's disk, which the engine's facts tell of.
    one.host.disk.full = true;
    one.kernel.after(seconds * 1_000, "room", () => {
      one.host.disk.full = false;
    });
    await run(one, () => one.edge.done);
    assertEnded(one, 1);
  }
});

test("an agent whose clock was wrong for a while says so, and gets work again", async () => {
  const one = world(1);
  one.edge.beforeAssign = () => {
    one.edge.beforeAssign = () => {};
    one.host.skewClock(60 * MINUTE_MS);
  };
  one.kernel.after(30_000, "the clock is set right", () => one.host.skewClock(0));
  await run(one, () => one.edge.done);
  assertEnded(one, 1);
});
