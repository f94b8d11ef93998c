import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { pack } from "tar-stream";
import { collect, type DockerWorld, dockerWorld, finish } from "../../test/support/docker.ts";
import { engine } from "../../test/support/engine.ts";
import { DockerError, type DockerErrorKind } from "./contracts.ts";

const MIB = 1024 ** 2;

let world: DockerWorld;
before(async () => {
  world = await dockerWorld();
});
after(() => world[Symbol.asyncDispose]());

function kind(wanted: DockerErrorKind) {
  return (error: unknown) => error instanceof DockerError && error.kind === wanted;
}

function tarOf(name: string, content: string): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name, uid: 1000, gid: 1000 }, content);
  tar.finalize();
  return buffer(tar);
}

test("inside: no capability, no new privileges, seccomp, own user, read-only root, no network", async () => {
  const owner = world.owner();
  const script = `id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
    touch /usr/x 2>/dev/null || echo read-only; echo /sys/class/net/*; cat /proc/net/route | wc -l
    touch /tmp/x && echo tmp; printf '#!/bin/sh\\necho exec' >/tmp/x && chmod +x /tmp/x && /tmp/x
    ls -A /run/docker.sock /var/run/docker.sock 2>/dev/null | wc -l; ulimit -n; ulimit -c`;
  const { exit, stdout } = await finish(await world.host.create(world.spec(owner, script)));
  assert.deepEqual(exit, { code: 0, oom: false, killed: null });
  assert.deepEqual(stdout.replaceAll("\t", " ").trim().split("\n"), [
    "1000",
    "CapEff: 0000000000000000",
    "CapBnd: 0000000000000000",
    "NoNewPrivs: 1",
    "Seccomp: 2",
    "read-only",
    "/sys/class/net/lo",
    "1",
    "tmp",
    "exec",
    "0",
    "4096",
    "0",
  ]);
});

test("both streams arrive byte for byte, with the exit code", async () => {
  const owner = world.owner();
  const script = "printf '\\377\\000a\\n\\n\\r'; printf 'no newline' >&2; exit 7";
  const handle = await world.host.create(world.spec(owner, script));
  await handle.start();
  const { stdout, stderr } = await collect(handle.output());
  assert.deepEqual(stdout, Buffer.from([0xff, 0, 0x61, 0x0a, 0x0a, 0x0d]));
  assert.equal(stderr.toString(), "no newline");
  assert.deepEqual(await handle.wait(), { code: 7, oom: false, killed: null });
});

test("a secret reaches the container by its input, whole and alone, and docker inspect shows none of it", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "cat", { stdin: "s3cret\n" }));
  const shown = JSON.stringify(await engine("GET", `/containers/${handle.id}/json`));
  const { stdout } = await finish(handle);
  assert.equal(stdout, "s3cret\n");
  assert.doesNotMatch(shown, /s3cret/);
});

test("a container that ends without reading its input ends well", async () => {
  const owner = world.owner();
  const spec = world.spec(owner, "exec <&-; echo done", { stdin: "x".repeat(MIB) });
  const { exit, stdout } = await finish(await world.host.create(spec));
  assert.equal(stdout, "done\n");
  assert.equal(exit.code, 0);
});

test("creating a phase's container twice is a conflict: creation is a compare-and-set", async () => {
  const spec = world.spec(world.owner(), "true");
  await world.host.create(spec);
  await assert.rejects(world.host.create(spec), kind("conflict"));
});

test("an image that is not on the host, and a volume that was never made, are said so", async () => {
  const owner = world.owner();
  const spec = world.spec(owner, "true");
  const image = "railhead/none:1";
  await assert.rejects(world.host.create({ ...spec, image }), kind("not_found"));
  assert.equal(await world.host.imageId(image), null);
  assert.match((await world.host.imageId(world.image)) ?? "", /^sha256:/);
  const mounts = [{ volume: `railhead-${owner.build}-9`, target: "/work", read_only: false }];
  await assert.rejects(world.host.create({ ...spec, mounts }), kind("not_found"));
});

test("a registry that is out of reach, or lacks the image, fails the pull with its own words", async () => {
  await assert.rejects(world.host.pull("127.0.0.1:1/none:1"), kind("unavailable"));
});

test("the facts name the engine, its cores, and what this host can enforce", async () => {
  const facts = await world.host.facts();
  const info = await engine<{ ID: string; NCPU: number }>("GET", "/info");
  assert.equal(facts.engine_id, info.ID);
  assert.equal(facts.cpus, info.NCPU);
  assert.equal(facts.firewall, true);
  assert.equal(facts.quota, true);
  assert.ok((facts.disk_free_bytes ?? 0) < (facts.disk_total_bytes ?? 0));
});

test("a container that cannot start says why, and waiting for it does not hang", async () => {
  const owner = world.owner();
  const mount = await world.workspace(owner, 16 * MIB);
  const handle = await world.host.create(world.spec(owner, "true", { mounts: [mount] }));
  await rm(join(world.folder, "disks", `${mount.volume}.dev`));
  await assert.rejects(handle.start(), /failed to mount local volume/);
  await assert.rejects(handle.wait(), DockerError);
});

test("a container that ignores TERM is killed after the grace, with all that it started", async () => {
  const owner = world.owner();
  const script = "trap '' TERM; (trap '' TERM; sleep 300) & echo ready; wait; sleep 300";
  const handle = await world.host.create(world.spec(owner, script));
  await handle.start();
  const output = handle.output()[Symbol.asyncIterator]();
  assert.equal((await output.next()).value?.data.toString(), "ready\n");
  await Promise.all([handle.kill("cancel", 200), handle.kill("lease", 200)]);
  assert.deepEqual(await handle.wait(), { code: 137, oom: false, killed: "cancel" });
  await handle.kill("lease", 0);
});

test("a container that obeys TERM may end in its own way", async () => {
  const owner = world.owner();
  const script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
  const handle = await world.host.create(world.spec(owner, script));
  await handle.start();
  let text = "";
  for await (const { stream, data } of handle.output()) {
    if (stream === "stdout") text += data.toString();
    if (text === "ready\n") await handle.kill("cancel", 30_000);
  }
  assert.equal(text, "ready\nbye\n");
  assert.equal((await handle.wait()).killed, "cancel");
});

test("the deadline holds whoever watches", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "sleep 300", { deadline_ms: 300 }));
  const { exit } = await finish(handle);
  assert.equal(exit.killed, "deadline");
});

test("one that was killed before its start never starts", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "true"));
  await handle.kill("lease", 0);
  await assert.rejects(handle.start(), kind("conflict"));
  assert.equal((await handle.wait()).killed, "lease");
});

test("a container that somebody removes is gone, not waited for", async () => {
  const owner = world.owner();
  const handle = await world.host.create(world.spec(owner, "sleep 300"));
  await handle.start();
  const ended = assert.rejects(handle.wait(), kind("gone"));
  await engine("DELETE", `/containers/${handle.id}?force=1`);
  await ended;
  await handle.remove();
});

test("files go in before the start and come out after the end, up to a number of bytes", async () => {
  const owner = world.owner();
  const mount = await world.workspace(owner, 64 * MIB);
  const script = "cat /work/in; head -c 3000000 /dev/zero >/work/out";
  const handle = await world.host.create(world.spec(owner, script, { mounts: [mount] }));
  await handle.put("/work", await tarOf("in", "hello\n"));
  assert.equal((await finish(handle)).stdout, "hello\n");

  let bytes = 0;
  for await (const chunk of await handle.get("/work/out", 4 * MIB)) bytes += chunk.length;
  assert.ok(bytes > 3_000_000 && bytes < 4 * MIB);
  const capped = await handle.get("/work/out", MIB);
  await assert.rejects(async () => {
    for await (const _ of capped);
  }, kind("invalid"));
  await assert.rejects(handle.get("/work/none", MIB), kind("not_found"));
  await assert.rejects(handle.put("/none", await tarOf("in", "")), DockerError);
});
