import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type DockerWorld, dockerWorld, finish } from "../../test/support/docker.ts";
import { workspaceVolume } from "./contracts.ts";
import { Disks } from "./disks.ts";
import { Engine } from "./engine.ts";
import { DEFAULT_SOCKET } from "./index.ts";
import { ownerLabels } from "./labels.ts";
import type { Sight } from "./sight.ts";
import { Volumes } from "./volumes.ts";

const MIB = 1024 ** 2;

let world: DockerWorld;
before(async () => {
  world = await dockerWorld();
});
after(() => world[Symbol.asyncDispose]());

/** Volumes as an agent makes them that sees less of its host than this one. */
function volumes(sight: Sight): Volumes {
  const disks = new Disks(join(world.folder, "disks"));
  return new Volumes(new Engine(DEFAULT_SOCKET), disks, world.agent, async () => sight);
}

test("a fork bomb meets the limit of processes, and ends with its container", async () => {
  const owner = world.owner();
  // The container's own process forks once, before the limit is met: it must outlive the bomb.
  const script = "bomb() { bomb | bomb & }; bomb & exec sleep 300";
  const spec = world.spec(owner, script, { deadline_ms: 1_000 });
  const handle = await world.host.create(spec);
  await handle.start();
  let text = "";
  for await (const { data } of handle.output()) text += data.toString();
  assert.match(text, /Cannot fork/);
  assert.equal((await handle.wait()).killed, "deadline");
});

test("a program that takes too much memory is killed, and the end says so", async () => {
  const owner = world.owner();
  const spec = world.spec(owner, "exec perl -e '$x = \"x\" x (1 << 30)'");
  const { exit } = await finish(await world.host.create(spec));
  assert.deepEqual(exit, { code: 137, oom: true, killed: null });
});

test("a child killed for memory shows, even when the container ends well", async () => {
  const owner = world.owner();
  const spec = world.spec(owner, "perl -e '$x = \"x\" x (1 << 30)'; echo went on");
  const { exit, stdout } = await finish(await world.host.create(spec));
  assert.match(stdout, /went on/);
  assert.deepEqual(exit, { code: 0, oom: true, killed: null });
});

test("a disk filler gets an error at the workspace's size, not the host's disk", async () => {
  const owner = world.owner();
  const mount = await world.workspace(owner, 64 * MIB);
  const script =
    "head -c 500000000 /dev/zero >/work/x; stat -c %s /work/x; rm /work/x; ls -A /work";
  const spec = world.spec(owner, script, { mounts: [mount] });
  const { stdout, stderr } = await finish(await world.host.create(spec));
  assert.match(stderr, /No space left on device/);
  assert.ok(Number(stdout) < 64 * MIB, stdout);
});

test("one file cannot be larger than the workspace, holes or not", async () => {
  const owner = world.owner();
  const mount = await world.workspace(owner, 64 * MIB);
  const limits = { cpus: 1, memory_bytes: 128 * MIB, pids: 64, disk_bytes: 64 * MIB };
  const spec = world.spec(owner, "truncate -s 20G /work/x", { mounts: [mount], limits });
  const { exit } = await finish(await world.host.create(spec));
  assert.notEqual(exit.code, 0);
});

test("the workspace is the builder's, empty, and knows neither devices nor set-uid programs", async () => {
  const owner = world.owner();
  const mount = await world.workspace(owner, 64 * MIB);
  const script = "ls -A /work; stat -c '%u:%g' /work; grep ' /work ' /proc/mounts | cut -d' ' -f4";
  const { stdout } = await finish(
    await world.host.create(world.spec(owner, script, { mounts: [mount] })),
  );
  assert.match(stdout, /^1000:1000\nrw,nosuid,nodev,/);
});

test("where there are no loop devices, a watcher kills what outgrows its volume", async () => {
  const owner = world.owner();
  const name = workspaceVolume(owner);
  const spec = { name, labels: ownerLabels(owner), bytes: 16 * MIB };
  await volumes({ volumes: true, quota: false }).create(spec);
  const mounts = [{ volume: name, target: "/work", read_only: false }];
  const script = "head -c 50000000 /dev/zero >/work/x; sleep 300";
  const { exit } = await finish(await world.host.create(world.spec(owner, script, { mounts })));
  assert.equal(exit.killed, "disk");
  const [volume] = await world.host.volumes(`railhead.build=${owner.build}`);
  assert.ok((volume?.bytes ?? 0) >= 50_000_000);
});

test("where the agent cannot reach into the engine's volumes, the workspace is the builder's all the same", async () => {
  const owner = world.owner();
  const name = workspaceVolume(owner);
  const blind = volumes({ volumes: false, quota: false });
  await blind.create({ name, labels: ownerLabels(owner), bytes: 16 * MIB });
  const mounts = [{ volume: name, target: "/work", read_only: false }];
  await blind.ready(owner, "build", world.image, mounts);
  const script = "stat -c '%u:%g' /work; echo hello >/work/x && cat /work/x";
  const { stdout } = await finish(await world.host.create(world.spec(owner, script, { mounts })));
  assert.equal(stdout, "1000:1000\nhello\n");
  assert.equal(await blind.size(name), 6);
});
