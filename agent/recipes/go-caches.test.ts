import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type GoTarget, goTargetSchema } from "../../shared/recipes/go.ts";
import { type FileServer, serveFolder } from "../../test/support/file-server.ts";
import { type Ended, type GoWorld, goWorld } from "../../test/support/go-world.ts";
import { zip } from "../../test/support/zip.ts";
import type { IdleContext } from "./contracts.ts";
import { goRecipe } from "./go.ts";
import { CACHE_LABEL, GoCaches } from "./go-caches.ts";

const DAY_MS = 24 * 60 * 60_000;

function target(over: Partial<GoTarget> = {}): GoTarget {
  return goTargetSchema.parse({
    recipe: "go",
    remote: "git.example",
    path: ["ada", "tool"],
    goos: "linux",
    goarch: "amd64",
    version: "v1",
    make: null,
    commit: "a".repeat(40),
    visibility: "public",
    advertised: true,
    ...over,
  });
}

describe("what is kept between Go builds", { concurrency: false }, () => {
  let world: GoWorld;
  let root: string;
  let proxy: FileServer;
  let image: string;
  let now = 1_000 * DAY_MS;

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "railhead-caches-"));
    proxy = await serveFolder(join(root, "proxy"));
    world = await goWorld({ settings: { goproxy: proxy.url } });
    image = (await world.docker.host.imageId(world.docker.image)) ?? "";
  });
  after(async () => {
    await proxy.close();
    await world[Symbol.asyncDispose]();
    await rm(root, { recursive: true, force: true });
  });

  function newCaches(name: string, total_bytes = 2 ** 40): GoCaches {
    return new GoCaches(
      { cache: { repository_bytes: 2 ** 26, total_bytes }, folder: join(root, name) },
      { now: () => now, quiet_ms: 0, standard: ["errors"] },
    );
  }

  function idle(signal = new AbortController().signal): IdleContext {
    return {
      owner: world.docker.owner(),
      docker: world.docker.host,
      limits: { cpus: 2, memory_bytes: 2 ** 30, pids: 256, disk_bytes: 2 ** 28 },
      signal,
    };
  }

  async function present(): Promise<string[]> {
    return (await world.docker.host.volumes(CACHE_LABEL)).map(({ name }) => name).sort();
  }

  async function open(caches: GoCaches, over: Partial<GoTarget>) {
    return caches.open(world.docker.host, world.docker.agent, target(over), image);
  }

  test("is apart for each repository and visibility; modules are shared by platforms", async () => {
    const caches = newCaches("apart");
    const volumes = async (over: Partial<GoTarget>) =>
      (await open(caches, over)).build.map(({ volume }) => volume);
    const base = await volumes({});
    assert.deepEqual(await volumes({ version: "v2", commit: "b".repeat(40) }), base);
    const other = await volumes({ goarch: "arm64" });
    assert.equal(other[0], base[0]);
    assert.notEqual(other[1], base[1]);
    const all = [
      ...base,
      ...(await volumes({ visibility: "private" })),
      ...(await volumes({ path: ["ada", "tool2"] })),
      ...(await volumes({ path: ["ada", "tool", "x"] })),
      ...(await volumes({ remote: "other.example" })),
    ];
    assert.equal(new Set(all).size, all.length);
    assert.deepEqual((await open(caches, { advertised: false })).build, []);
  });

  test("lets only the fetch write modules", async () => {
    const { fetch, build } = await open(newCaches("writable"), {});
    const modules = build.find(({ target }) => target === "/modcache");
    assert.equal(modules?.read_only, true);
    assert.equal(fetch.find(({ volume }) => volume === modules?.volume)?.read_only, false);
  });

  test("goes in the order of its last use when there is too much of it", async () => {
    const roomy = newCaches("order");
    await roomy.idle(idle(), "none");
    for (const path of ["old", "older", "new"]) await open(roomy, { path: ["lru", path] });
    now += DAY_MS;
    const old = (await open(roomy, { path: ["lru", "old"] })).build.map(({ volume }) => volume);
    now += DAY_MS;
    const fresh = (await open(roomy, { path: ["lru", "new"] })).build.map(({ volume }) => volume);
    await roomy.idle(idle(), "none");
    const sizes = await world.docker.host.volumes(CACHE_LABEL);
    const bytes = (names: string[]) =>
      sizes.filter(({ name }) => names.includes(name)).reduce((sum, v) => sum + (v.bytes ?? 0), 0);
    assert.ok(bytes([...old, ...fresh]) > 0);

    const tight = newCaches("order", bytes([...old, ...fresh]));
    await tight.idle(idle(), "none");
    assert.deepEqual(await present(), [...old, ...fresh].sort());
    const tighter = newCaches("order", 0);
    await tighter.idle(idle(), "none");
    assert.deepEqual(await present(), [...fresh].sort(), "what was used just now may be in use");
  });

  test("is not trimmed once work has arrived", async () => {
    const caches = newCaches("aborted", 0);
    await open(caches, {});
    now += DAY_MS;
    const before = await present();
    await caches.idle(idle(AbortSignal.abort()), "none");
    assert.deepEqual(await present(), before);
  });

  test("holds a standard library once two repositories wanted it, and new ones start with it", async () => {
    const caches = newCaches("standard");
    const recipe = goRecipe({ ...world.settings, folder: join(root, "standard") }, caches);
    const listing = "all:\n\tls $$GOCACHE >listing 2>/dev/null; echo . >>listing\n";
    const build = async (path: string): Promise<Ended> => {
      const [commit = ""] = await world.repository(path, [
        { files: { Makefile: listing }, tag: "v1" },
      ]);
      const ended = await world.build({ path, version: "v1", commit, recipe });
      assert.equal(ended.failure, null);
      await world.clean(ended);
      return ended;
    };
    const size = (ended: Ended) => ended.made[0]?.size ?? 0;
    const cold = await build("std/one");
    await recipe.idle?.(idle());
    assert.equal(size(await build("std/two")), size(cold), "one repository alone does not pay");
    await recipe.idle?.(idle());
    assert.ok(size(await build("std/three")) > size(cold), "the third finds compiled packages");
    const again = new GoCaches({ cache: world.settings.cache, folder: join(root, "standard") });
    const opened = await open(again, { path: ["std", "four"] });
    assert.ok(
      opened.fetch.some(({ target, read_only }) => target === "/gostd/plain" && read_only),
      "a restarted agent knows it still",
    );
    assert.ok(!opened.build.some(({ target }) => target.startsWith("/gostd")));
  });

  test("brings modules through the operator's proxy once, go.sum or not", async () => {
    const folder = join(root, "proxy/example.com/lib/@v");
    await mkdir(folder, { recursive: true });
    await writeFile(
      join(folder, "v1.0.0.info"),
      '{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}',
    );
    await writeFile(join(folder, "v1.0.0.mod"), "module example.com/lib\n");
    const prefix = "example.com/lib@v1.0.0/";
    await writeFile(
      join(folder, "v1.0.0.zip"),
      zip([
        [`${prefix}go.mod`, Buffer.from("module example.com/lib\n")],
        [`${prefix}lib.go`, Buffer.from("package lib\n\nconst Word = 1\n")],
      ]),
    );
    const files = (version: string) => ({
      "go.mod": `module git.example/mod/user\n\ngo 1.21\n\nrequire example.com/lib ${version}\n`,
      "main.go": 'package main\n\nimport "example.com/lib"\n\nfunc main() { println(lib.Word) }\n',
    });
    const commits = await world.repository("mod/user", [
      { files: files("v1.0.0"), tag: "v1" },
      { files: files("v1.0.0"), tag: "v2" },
      { files: files("v1.9.9"), tag: "v3" },
    ]);
    const build = async (n: number) => {
      const ended = await world.build({
        path: "mod/user",
        version: `v${n}`,
        commit: commits[n - 1] ?? "",
      });
      await world.clean(ended);
      return ended.failure;
    };
    assert.equal(await build(1), null);
    await rm(folder, { recursive: true });
    assert.equal(await build(2), null, "from the cache");
    const failure = await build(3);
    assert.equal(failure?.class, "module_error");
    assert.match(failure?.message ?? "", /example\.com\/lib@v1\.9\.9/);
  });
});
