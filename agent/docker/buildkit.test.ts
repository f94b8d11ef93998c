import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { type BaseImage, makeBaseImage } from "../../test/support/base-image.ts";
import { type DockerWorld, dockerWorld } from "../../test/support/docker.ts";
import { engine } from "../../test/support/engine.ts";
import { imagesWith } from "../../test/support/image-stack.ts";
import { tarOf } from "../../test/support/image-world.ts";
import { until } from "../../test/support/until.ts";
import { type BuildKit, builtImage, type Owner } from "./contracts.ts";

const MIB = 1024 ** 2;

let world: DockerWorld;
let base: BaseImage;
let cached: number;
before(async () => {
  world = await dockerWorld();
  cached = await cacheBytes();
  base = await makeBaseImage();
});
after(async () => {
  await world.host.images.pruneCache(cached);
  await world[Symbol.asyncDispose]();
  await base.remove();
});

type Built = { stdout: string; stderr: string; failed: string | null; outgrown: string | null };

type Over = Partial<Omit<BuildKit, "kind">> & {
  signal?: AbortSignal;
  watch?: (text: string) => void;
  max_bytes?: number;
};

async function build(owner: Owner, lines: readonly string[], over: Over = {}): Promise<Built> {
  const { network = "none", secrets = [], max_bytes = 64 * MIB } = over;
  const spec = {
    owner,
    builder: { kind: "buildkit" as const, network, secrets },
    dockerfile: "Dockerfile",
    stage: null,
    args: {},
    labels: {},
    cache_from: [],
    login: null,
    limits: { cpus: 1, memory_bytes: 64 * MIB, pids: 64, disk_bytes: 64 * MIB },
    max_bytes,
  };
  const dockerfile = [`FROM ${base.name}`, ...lines, ""].join("\n");
  const context = Readable.from([await tarOf([[{ name: "Dockerfile" }, dockerfile]])]);
  const signal = over.signal ?? new AbortController().signal;
  const built: Built = { stdout: "", stderr: "", failed: null, outgrown: null };
  for await (const event of world.host.images.build(spec, context, signal)) {
    if (event.kind === "failed") built.failed = event.message;
    if (event.kind === "outgrown") built.outgrown = event.what;
    if (event.kind !== "output") continue;
    built[event.chunk.stream] += event.chunk.data;
    over.watch?.(built.stdout);
  }
  return built;
}

/** What BuildKit keeps on this engine, whoever it built for: no test takes more away than it brought. */
async function cacheBytes(): Promise<number> {
  type Kept = { Size: number; InUse: boolean };
  // Null where nothing was ever kept.
  const { BuildCache } = await engine<{ BuildCache: Kept[] | null }>("GET", "/system/df");
  return (BuildCache ?? []).reduce((bytes, { Size, InUse }) => bytes + (InUse ? 0 : Size), 0);
}

function token(): string {
  return `token-${randomBytes(12).toString("hex")}`;
}

/** Bytes of everything that the image is, as `docker save` gives it, and what the engine tells of it. */
async function allOf(owner: Owner): Promise<Buffer> {
  const { id } = (await world.host.images.inspect(builtImage(owner))) ?? assert.fail("no image");
  const saved = await buffer(await world.host.images.save(id));
  const told = [
    await engine("GET", `/images/${id}/json`),
    await engine("GET", `/images/${id}/history`),
  ];
  return Buffer.concat([saved, Buffer.from(JSON.stringify(told))]);
}

test("a step reads its secret, which is in no layer, no history and no word of the builder", async () => {
  const owner = world.owner();
  const value = token();
  const secrets = [{ id: "token", value }];
  const { stdout, stderr, failed } = await build(
    owner,
    [
      "RUN --mount=type=secret,id=token head -c 10 /run/secrets/token && echo",
      "RUN --mount=type=secret,id=token,target=/other test -s /other && echo found me >/made",
      "RUN test ! -e /run/secrets/token && test ! -s /other",
    ],
    { secrets },
  );
  assert.equal(failed, null, stderr);
  assert.match(stdout, new RegExp(`^${value.slice(0, 10)}$`, "m"));
  const image = await allOf(owner);
  assert.ok(image.includes("found me"), "the search sees what is in a layer");
  assert.ok(!image.includes(value));
  assert.ok(!stdout.includes(value) && !stderr.includes(value));
  await world.host.clean(owner);
  assert.equal(await world.host.imageId(builtImage(owner)), null);
});

test("no build sees what another's secret made, at the same time or later", async () => {
  const seen = async () => {
    const owner = world.owner();
    const value = token();
    const lines = [
      "RUN --mount=type=secret,id=token cat /run/secrets/token >/seen; sleep 1",
      "RUN cat /seen; echo",
    ];
    const { stdout, failed } = await build(owner, lines, { secrets: [{ id: "token", value }] });
    assert.equal(failed, null);
    await world.host.clean(owner);
    assert.match(stdout, new RegExp(`^${value}$`, "m"));
  };
  await Promise.all([seen(), seen()]);
  await seen();
});

test("a cache mount is the build's own: nothing that another build left is in it", async () => {
  const lines = ["RUN --mount=type=cache,target=/cache ls /cache; echo mine >/cache/file"];
  for (const _ of [1, 2]) {
    const owner = world.owner();
    const { stdout, failed } = await build(owner, lines);
    assert.equal(failed, null);
    assert.doesNotMatch(stdout, /^file$/m);
    await world.host.clean(owner);
  }
});

test("a secret that was not given fails the step that wants it, with the builder's words", async () => {
  const owner = world.owner();
  const line = "RUN --mount=type=secret,id=missing,required=true true";
  assert.match((await build(owner, [line])).failed ?? "", /secret missing.* not found/);
  // Without what the engine says of its own insides.
  assert.match((await build(owner, ["RUNN true"])).failed ?? "", /^dockerfile parse error/);
  await world.host.clean(owner);
});

test("steps are lines of the log, their output stays in its stream, and a failure is the builder's own", async () => {
  const owner = world.owner();
  const { stdout, stderr, failed } = await build(owner, [
    "RUN echo out; echo -n err >&2",
    "RUN exit 42",
  ]);
  assert.match(stdout, /^#\d+ \[2\/3\] RUN echo out; echo -n err >&2$/m);
  assert.match(stdout, /^out$/m);
  assert.match(stdout, /^#\d+ DONE$/m);
  assert.match(stderr, /^err$/m);
  assert.match(stderr, /^#\d+ ERROR: .*exit code: 42/m);
  assert.match(failed ?? "", /exit code: 42/);
  const wrong = await build(world.owner(), ["NONSENSE x"]);
  assert.match(wrong.failed ?? "", /unknown instruction: NONSENSE/i);
});

test("a cancelled build ends its step and leaves no image", async () => {
  const owner = world.owner();
  const over = new AbortController();
  const seconds = `${100_000 + Number.parseInt(owner.build.slice(0, 5), 16)}`;
  const runs = async () => {
    const lines = await Promise.all(
      (await readdir("/proc")).map((pid) =>
        readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      ),
    );
    return lines.some((line) => line.endsWith(`sleep\0${seconds}\0`));
  };
  const building = build(owner, [`RUN sleep ${seconds}`], { signal: over.signal });
  const ended = assert.rejects(building, /cancelled/);
  await until("the step runs", runs);
  over.abort(new Error("cancelled"));
  await ended;
  await world.host.clean(owner);
  await until("the step is gone", async () => !(await runs()));
  assert.equal(await world.host.imageId(builtImage(owner)), null);
});

test("steps have no network unless the agent's owner gives them the engine's", async () => {
  const networks = async (network: BuildKit["network"]) => {
    const owner = world.owner();
    const { stdout, failed } = await build(owner, ["RUN ls /sys/class/net"], { network });
    assert.equal(failed, null);
    await world.host.clean(owner);
    return stdout.match(/^(?:lo|eth\d+)$/gm);
  };
  assert.deepEqual(await networks("none"), ["lo"]);
  assert.deepEqual(await networks("bridge"), ["eth0", "lo"]);
});

test("the host has the same images after a build as before it, and BuildKit's cache within its cap", async () => {
  const owner = world.owner();
  const lines = [`LABEL mark=${owner.build}`, "RUN head -c 3000000 /dev/urandom >/a", "RUN exit 1"];
  await build(owner, lines);
  const good = world.owner();
  await build(good, lines.slice(0, 2));
  assert.equal((await imagesWith(owner.build)).length, 1);
  for (const each of [owner, good]) await world.host.clean(each);
  assert.deepEqual(await imagesWith(owner.build), []);
  const full = await cacheBytes();
  assert.ok(full >= 3_000_000);
  await world.host.images.pruneCache(full - 1_000_000);
  assert.ok((await cacheBytes()) <= full - 1_000_000);
});

test("an image that is larger than it may be is told", async () => {
  const owner = world.owner();
  const { outgrown } = await build(owner, ["RUN head -c 9000000 /dev/zero >/a"], {
    max_bytes: 8 * MIB,
  });
  assert.equal(outgrown, "image");
  await world.host.clean(owner);
});
