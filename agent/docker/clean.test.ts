import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { type DockerWorld, dockerWorld, finish } from "../../test/support/docker.ts";
import { engine, labelled } from "../../test/support/engine.ts";
import { until } from "../../test/support/until.ts";
import { DockerError, type Owner } from "./contracts.ts";
import { Disks } from "./disks.ts";

const MIB = 1024 ** 2;
const run = promisify(execFile);

let world: DockerWorld;
before(async () => {
  world = await dockerWorld();
});
after(() => world[Symbol.asyncDispose]());

/** Everything on the host that belongs to the attempt: by label, and the disks behind its volumes. */
async function remains(owner: Owner): Promise<string[]> {
  const { stdout } = await run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]);
  const disks = await readdir(join(world.folder, "disks")).catch(() => []);
  const mine = [...stdout.split("\n"), ...disks].filter((name) => name.includes(owner.build));
  return [...(await labelled(`railhead.build=${owner.build}`)), ...mine];
}

async function busy(owner: Owner): Promise<void> {
  const mounts = [await world.workspace(owner, 64 * MIB)];
  await finish(await world.host.create(world.spec(owner, "true", { phase: "fetch", mounts })));
  const spec = world.spec(owner, "yes", { mounts, network: { kind: "outbound" } });
  const handle = await world.host.create(spec);
  await handle.start();
}

test("nothing of an attempt stays after clean: containers, volume, loop device, disk", async () => {
  const owner = world.owner();
  await busy(owner);
  assert.ok((await remains(owner)).length >= 5);
  await world.host.clean(owner);
  assert.deepEqual(await remains(owner), []);
  await world.host.clean(owner);
});

test("a paused container is cleaned like any other", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "sleep 300"));
  await handle.start();
  await engine("POST", `/containers/${handle.id}/pause`);
  await world.host.clean(owner);
  assert.deepEqual(await remains(owner), []);
});

test("attempts of one build are told apart", async () => {
  const first = world.owner(1);
  const second = { ...first, attempt: 2 };
  await world.host.create(world.spec(first, "true"));
  await world.host.create(world.spec(second, "true"));
  await world.host.clean(first);
  assert.deepEqual(await remains(first), [`container /railhead-${first.build}-2-build`]);
});

test("reap removes what no live attempt claims, and neither caches nor what is another agent's", async () => {
  await using other = await dockerWorld();
  const theirs = other.owner();
  await other.host.create(other.spec(theirs, "true"));
  const [live, dead] = [world.owner(), world.owner()];
  await busy(live);
  await busy(dead);
  const cache = `${world.agent}-cache`;
  await world.host.createVolume({
    name: cache,
    labels: { "railhead.cache": "1" },
    bytes: 16 * MIB,
  });

  const removed = await world.host.reap(world.agent, [live]);
  assert.ok(removed.includes(`railhead-${dead.build}-1-build`), removed.join());
  assert.ok(removed.includes(`railhead-${dead.build}-1`), removed.join());
  assert.deepEqual(await remains(dead), []);
  assert.ok((await remains(live)).length >= 5);
  assert.deepEqual(
    (await world.host.volumes("railhead.cache")).map(({ name }) => name),
    [cache],
  );
  assert.equal((await labelled(`railhead.build=${theirs.build}`)).length, 1);
  assert.deepEqual(await world.host.reap(world.agent, [live]), []);
});

test("a disk that lost its volume in a crash is found and removed", async () => {
  const owner = world.owner();
  const name = `railhead-${owner.build}-1`;
  await new Disks(join(world.folder, "disks")).attach(name, 64 * MIB);
  assert.ok((await remains(owner)).length > 0);
  assert.ok((await world.host.reap(world.agent, [])).includes(name));
  assert.deepEqual(await remains(owner), []);
});

test("a disk whose folder was deleted under it holds no loop device after the next reap", async () => {
  const owner = world.owner();
  const name = `railhead-${owner.build}-1`;
  const folder = join(world.folder, "lost", "disks");
  await new Disks(folder).attach(name, 64 * MIB);
  await rm(folder, { recursive: true });
  assert.equal((await remains(owner)).length, 1);
  await world.host.reap(world.agent, []);
  assert.deepEqual(await remains(owner), []);
});

test("a cache outlives the boot of its host: its disk finds a loop device again", async () => {
  const name = `${world.agent}-boot`;
  const labels = { "railhead.cache": "2" };
  const mounts = [{ volume: name, target: "/cache", read_only: false }];
  await world.host.createVolume({ name, labels, bytes: 16 * MIB });
  const write = world.spec(world.owner(), "echo kept >/cache/x", { mounts });
  assert.equal((await finish(await world.host.create(write))).exit.code, 0);

  const { stdout } = await run("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
  const device =
    stdout
      .split("\n")
      .find((line) => line.includes(name))
      ?.split(/\s+/)[0] ?? "";
  await run("losetup", ["--detach", device]);
  const read = world.spec(world.owner(), "cat /cache/x", { mounts });
  assert.equal((await finish(await world.host.create(read))).stdout, "kept\n");
});

test("builds that ask for the same cache at once share one", async () => {
  const spec = {
    name: `${world.agent}-shared`,
    labels: { "railhead.cache": "3" },
    bytes: 16 * MIB,
  };
  await Promise.all([1, 2, 3].map(() => world.host.createVolume(spec)));
  const mounts = [{ volume: spec.name, target: "/cache", read_only: false }];
  const runs = ["a", "b", "c"].map(async (name) => {
    const script = `echo ${name} >/cache/${name}; ls -A /cache`;
    return finish(await world.host.create(world.spec(world.owner(), script, { mounts })));
  });
  const seen = (await Promise.all(runs)).map(({ stdout }) => stdout.length);
  assert.equal(Math.max(...seen), "a\nb\nc\n".length);
  const { stdout } = await run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]);
  assert.equal(stdout.split("\n").filter((line) => line.includes(spec.name)).length, 1);
});

test("a volume in use is not removed, and says so", async () => {
  const owner = world.owner();
  const mounts = [await world.workspace(owner, 16 * MIB)];
  await world.host.create(world.spec(owner, "true", { mounts }));
  await assert.rejects(
    world.host.removeVolume(`railhead-${owner.build}-1`),
    (error) => error instanceof DockerError && error.kind === "conflict",
  );
});

test("two agents that clean at once do not disturb each other", async () => {
  const owner = world.owner();
  await busy(owner);
  await Promise.all([world.host.clean(owner), world.host.reap(world.agent, [])]);
  await until("a clean host", async () => (await remains(owner)).length === 0);
});
