import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { type BaseImage, makeBaseImage } from "../../test/support/base-image.ts";
import { type DockerWorld, dockerWorld } from "../../test/support/docker.ts";
import { engine } from "../../test/support/engine.ts";
import { imagesWith } from "../../test/support/image-stack.ts";
import { tarOf } from "../../test/support/image-world.ts";
import { until } from "../../test/support/until.ts";
import { builtImage, DockerError, type ImageSpec, type Owner } from "./contracts.ts";
import { dockerHost } from "./index.ts";

const MIB = 1024 ** 2;
/** The processes of a build are limited where no systemd makes its cgroups. */
const PIDS = 40;

let world: DockerWorld;
let base: BaseImage;
before(async () => {
  world = await dockerWorld();
  base = await makeBaseImage();
});
after(async () => {
  await world[Symbol.asyncDispose]();
  await base.remove();
});

type Built = { output: string; failed: string | null; outgrown: string | null };

/** Builds; every step's image bears the owner's mark. */
async function build(
  owner: Owner,
  lines: readonly string[],
  {
    signal = new AbortController().signal,
    ...over
  }: Partial<ImageSpec> & { signal?: AbortSignal; watch?: (text: string) => void } = {},
): Promise<Built> {
  const dockerfile = [`FROM ${base.name}`, `LABEL mark=${owner.build}`, ...lines].join("\n");
  const spec: ImageSpec = {
    owner,
    builder: { kind: "classic" },
    dockerfile: "Dockerfile",
    stage: null,
    args: {},
    labels: {},
    cache_from: [],
    login: null,
    limits: { cpus: 1, memory_bytes: 64 * MIB, pids: PIDS, disk_bytes: 64 * MIB },
    max_bytes: 64 * MIB,
    ...over,
  };
  const context = Readable.from([await tarOf([[{ name: "Dockerfile" }, dockerfile]])]);
  const built: Built = { output: "", failed: null, outgrown: null };
  for await (const event of world.host.images.build(spec, context, signal)) {
    if (event.kind === "failed") built.failed = event.message;
    if (event.kind === "outgrown") built.outgrown = event.what;
    if (event.kind === "output") {
      built.output += event.chunk.data;
      over.watch?.(built.output);
    }
  }
  return built;
}

/** Containers that this build left running, or not. */
async function containersOf(owner: Owner): Promise<string[]> {
  const all = await engine<{ Id: string }[]>("GET", "/containers/json?all=1");
  const views = await Promise.all(
    all.map(({ Id }) =>
      engine<{ HostConfig: { CgroupParent: string } }>("GET", `/containers/${Id}/json`).catch(
        () => null,
      ),
    ),
  );
  return views.flatMap((view) => {
    const parent = view?.HostConfig.CgroupParent ?? "";
    return parent.includes(owner.build) ? [parent] : [];
  });
}

async function remains(owner: Owner): Promise<string[]> {
  const groups = [
    "/sys/fs/cgroup",
    ...(await readdir("/sys/fs/cgroup")).map((name) => `/sys/fs/cgroup/${name}`),
  ]
    .map((hierarchy) => join(hierarchy, "railhead", `${owner.build}-${owner.attempt}`))
    .filter((path) => existsSync(path));
  return [...(await imagesWith(owner.build)), ...(await containersOf(owner)), ...groups];
}

test("an image is built under the attempt's own name, and cleaned away with all its steps", async () => {
  const owner = world.owner();
  const { failed, output } = await build(owner, ["RUN echo hello", "ENV A=1"]);
  assert.equal(failed, null);
  assert.match(output, /^hello$/m);
  assert.ok(
    (await world.host.images.inspect(builtImage(owner)))?.names.includes(builtImage(owner)),
  );
  assert.ok((await remains(owner)).length >= 4);
  await world.host.clean(owner);
  assert.deepEqual(await remains(owner), []);
  await world.host.clean(owner);
});

test("steps of a failed build, of several stages, are cleaned away", async () => {
  const owner = world.owner();
  const stages = [
    "RUN echo a >/a",
    `FROM ${base.name}`,
    `LABEL mark=${owner.build}`,
    "COPY --from=0 /a /a",
    "RUN exit 3",
  ];
  assert.match((await build(owner, stages)).failed ?? "", /non-zero code: 3/);
  assert.ok((await remains(owner)).length >= 3);
  await world.host.clean(owner);
  assert.deepEqual(await remains(owner), []);
});

test("what an agent that died had made is found by its successor, and what lives is spared", async () => {
  const [dead, alive] = [world.owner(), world.owner()];
  await build(dead, ["RUN exit 1"]);
  await build(alive, []);
  const successor = dockerHost({ agent: world.agent, folder: world.folder });
  assert.ok((await successor.reap(world.agent, [alive])).includes(builtImage(dead)));
  assert.deepEqual(await remains(dead), []);
  assert.notEqual(await successor.images.inspect(builtImage(alive)), null);
  await successor.clean(alive);
  assert.deepEqual(await remains(alive), []);
});

test("a cancelled build loses its container and its images", async () => {
  const owner = world.owner();
  const over = new AbortController();
  const watch = (text: string) =>
    void (/^running$/m.test(text) && over.abort(new Error("cancelled")));
  await assert.rejects(
    build(owner, ["RUN echo a >/a", "RUN echo running; sleep 300"], { signal: over.signal, watch }),
    /cancelled/,
  );
  await world.host.clean(owner);
  assert.deepEqual(await remains(owner), []);
});

test("a step has its memory, cores and processes, and no way to the host", async () => {
  const owner = world.owner();
  const server = createServer((_, response) => void response.end("the host"));
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  const { port } = server.address() as { port: number };
  const { IPAM } = await engine<{ IPAM: { Config: { Gateway: string }[] } }>(
    "GET",
    "/networks/bridge",
  );
  const gateway = IPAM.Config[0]?.Gateway ?? "172.17.0.1";
  try {
    const { output, failed } = await build(owner, [
      "RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
      "RUN cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max",
      `RUN wget -T 3 -q -O - http://${gateway}:${port}/ || echo unreachable`,
      `RUN wget -T 3 -q -O - http://127.0.0.1:${port}/ || echo unreachable`,
    ]);
    assert.equal(failed, null, output);
    // Root in a container may forge packets that the rules, which are IPv4's, do not see.
    const { Options } = await engine<{ Options: Record<string, string> }>(
      "GET",
      `/networks/railhead-outbound-${world.agent}`,
    );
    const bridge = Options["com.docker.network.bridge.name"];
    assert.ok(
      !(await readFile("/proc/net/if_inet6", "utf8").catch(() => "")).includes(`${bridge}`),
    );
    assert.match(output, new RegExp(`^${64 * MIB}$`, "m"));
    assert.match(output, /^100000(?: 100000)?$/m);
    assert.equal(output.match(/^unreachable$/gm)?.length, 2, output);
    const bomb = `i=0; while [ $i -lt ${2 * PIDS} ]; do sleep 20 & i=$((i+1)); done`;
    const info = await engine<{ CgroupDriver: string }>("GET", "/info");
    if (info.CgroupDriver === "cgroupfs")
      assert.match((await build(owner, [`RUN ${bomb}`])).failed ?? "", /non-zero code/);
  } finally {
    server.close();
    await world.host.clean(owner);
  }
  assert.deepEqual(await remains(owner), []);
});

test("a step that fills the disk is ended, and so is an image that grows over its limit step by step", async () => {
  const [step, image] = [world.owner(), world.owner()];
  // It pretends that another container is the one to watch.
  const forge = "echo ' ---> Running in 0123456789ab'; sleep 1";
  const fill = `RUN ${forge}; i=0; while true; do head -c 8000000 /dev/zero >/f$i; i=$((i+1)); done`;
  assert.equal((await build(step, [fill])).outgrown, "step");
  const grow = Array.from({ length: 4 }, (_, i) => `RUN head -c 20000000 /dev/urandom >/f${i}`);
  const more = Array.from({ length: 5 }, (_, i) => `ENV MORE=${i}`);
  assert.equal((await build(image, [...grow, ...more])).outgrown, "image");
  for (const owner of [step, image]) {
    await world.host.clean(owner);
    assert.deepEqual(await remains(owner), []);
  }
});

test("a Dockerfile that the engine refuses fails the build with its words", async () => {
  const owner = world.owner();
  assert.match((await build(owner, ["NONSENSE x"])).failed ?? "", /unknown instruction: NONSENSE/i);
  assert.match((await build(owner, [], { stage: "nowhere" })).failed ?? "", /nowhere/);
  await world.host.clean(owner);
  assert.deepEqual(await remains(owner), []);
});

test("an image of the host's owner keeps its name, whatever a build is called", async () => {
  const owner = world.owner();
  await build(owner, []);
  const before = await world.host.imageId(base.name);
  const naming = world.host.images.naming(owner, base.name, async () =>
    assert.fail("it was named"),
  );
  await assert.rejects(
    naming,
    (error: unknown) => error instanceof DockerError && error.kind === "conflict",
  );
  assert.equal(await world.host.imageId(base.name), before);
  await world.host.clean(owner);
});

test("a name is lent while the work runs, to one build after the other, and taken back also when it fails", async () => {
  const owners = [world.owner(), world.owner()];
  for (const owner of owners) await build(owner, []);
  const name = `railhead-test/lent:${owners[0]?.build}`;
  let inside = 0;
  const lend = (owner: Owner) =>
    world.host.images.naming(owner, name, async () => {
      assert.equal(++inside, 1);
      const built = await world.host.images.inspect(builtImage(owner));
      assert.equal(await world.host.imageId(name), built?.id);
      inside -= 1;
      throw new Error("the push failed");
    });
  for (const end of await Promise.allSettled(owners.map(lend)))
    assert.match(String(end.status === "rejected" && end.reason), /the push failed/);
  assert.equal(await world.host.imageId(name), null);
  for (const owner of owners) await world.host.clean(owner);
});

test("a name that an agent died with is taken back, unless it is another image's by then", async () => {
  const [dead, other] = [world.owner(), world.owner()];
  for (const owner of [dead, other]) await build(owner, []);
  const [kept, stale] = ["kept", "stale"].map((tag) => `railhead-test/${dead.build}:${tag}`) as [
    string,
    string,
  ];
  const never = new Promise<never>(() => {});
  for (const name of [kept, stale]) {
    void world.host.images.naming(dead, name, () => never);
    await until("the name is lent", async () => (await world.host.imageId(name)) !== null);
  }
  await engine(
    "POST",
    `/images/${builtImage(other)}/tag?repo=railhead-test/${dead.build}&tag=kept`,
  );
  const successor = dockerHost({ agent: world.agent, folder: world.folder });
  await successor.reap(world.agent, [other]);
  assert.equal(await successor.imageId(stale), null);
  assert.equal(await successor.imageId(kept), await successor.imageId(builtImage(other)));
  await engine("DELETE", `/images/${kept}`);
  await successor.clean(other);
});
