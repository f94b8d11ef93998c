import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ErlangTarget,
  FOLLOW_DEPTH,
  type Follow,
  type PackageAsked,
} from "../../shared/recipes/erlang.ts";
import { targetKey } from "../../shared/recipes/index.ts";
import { BuildWorld, PACKAGE, requestOf } from "../../test/support/build.ts";
import { packageRecord } from "../../test/support/catalog.ts";
import type { Manifest } from "./manifest.ts";

const ASKED = PACKAGE.asked as PackageAsked;
const FACTS = { version: "1.0.0", commit: "c".repeat(40), erl_version: "27", app: "web" };

const OTHER_VERSION: Follow = {
  remote: "github.com",
  path: ["acme", "web"],
  namespace: "acme",
  name: "web",
  ref: "1.0.0",
  erl: "25",
  why: "version",
};
const DEPENDENCY: Follow = {
  remote: "github.com",
  path: ["other", "db"],
  namespace: "other",
  name: "db",
  ref: "2.0.0",
  erl: "27",
  why: "dependency",
};

/** A package whose attempt runs. */
async function running(target: ErlangTarget = PACKAGE): Promise<BuildWorld> {
  const world = new BuildWorld();
  await world.open(requestOf({}, target));
  await world.start();
  return world;
}

async function succeed(world: BuildWorld, follow: Follow[]): Promise<void> {
  const upload = await world.upload(1, "web.cp", Buffer.from("package"));
  await world.result(1, { uploads: [upload], package: FACTS, follow });
}

async function fail(world: BuildWorld, follow: Follow[]): Promise<void> {
  const outcome = "failed";
  await world.result(1, { outcome, class: "compile_error", reason: "x", package: FACTS, follow });
}

async function follows(world: BuildWorld) {
  const { follows = [] } = (await world.build.view())?.record ?? {};
  return follows.map(({ name, erl, build_id }) => ({ name, erl, build_id }));
}

test("further Erlang versions and dependencies are asked for in the caller's name, a step deeper", async () => {
  const world = await running();
  await succeed(world, [OTHER_VERSION, DEPENDENCY]);
  assert.deepEqual(
    world.requests.map(({ target, caller, pool, credential }) => ({
      target,
      caller,
      pool,
      credential,
    })),
    [OTHER_VERSION, DEPENDENCY].map(({ why: _, erl, ...asked }) => ({
      target: {
        recipe: "erlang",
        asked: { kind: "package", ...asked, notify: false, depth: 1 },
        erl,
        visibility: "public",
      },
      caller: "token:t1",
      pool: "pool of erlang",
      credential: null,
    })),
  );
  const ids = world.requests.map(({ id }) => id);
  assert.equal(new Set(ids).size, 2);
  assert.deepEqual(await follows(world), [
    { name: "web", erl: "25", build_id: ids[0] },
    { name: "db", erl: "27", build_id: ids[1] },
  ]);
});

test("a failed build leads to others too, a cancelled one does not", async () => {
  const failed = await running();
  await fail(failed, [DEPENDENCY]);
  assert.equal(failed.requests.length, 1);
  const cancelled = await running();
  await cancelled.build.cancel("admin");
  await succeed(cancelled, [DEPENDENCY]);
  assert.equal(await cancelled.state(), "cancelled");
  const stopped = await running();
  await stopped.result(1, { outcome: "cancelled", follow: [DEPENDENCY] });
  for (const world of [cancelled, stopped]) {
    assert.deepEqual(world.requests, []);
    assert.deepEqual(await follows(world), []);
  }
});

test("a dependency that was built before is not built again, whoever asked for it then", async () => {
  const world = await running();
  const { catalog } = world;
  const repository = "github.com/other/db";
  catalog.packages.claim({ full_name: "other/db", repository, url: "x", verified: false });
  catalog.builds.put(packageRecord(7, { repository, name: "other/db", version: "2.0.0" }));
  await succeed(world, [DEPENDENCY]);
  assert.deepEqual(world.requests, []);
  const build_id = "7".padStart(32, "0");
  assert.deepEqual(await follows(world), [{ name: "db", erl: "27", build_id }]);
});

test("a dependency that failed before is tried again, a further version is always built", async () => {
  const world = await running();
  const repository = "github.com/acme/web";
  const { catalog } = world;
  catalog.packages.claim({ full_name: "acme/web", repository, url: "x", verified: false });
  catalog.builds.put(packageRecord(7, { version: "1.0.0", erl: "25" }));
  const failed = { repository: "github.com/other/db", name: "other/db", version: "2.0.0" };
  catalog.builds.put(packageRecord(8, failed, { state: "failed" }));
  await succeed(world, [OTHER_VERSION, DEPENDENCY]);
  assert.equal(world.requests.length, 2);
});

test("a name that another repository has is left alone, and the log says so while it goes on", async () => {
  const world = await running();
  const claim = { repository: "github.com/first/db", url: "x", verified: false };
  world.catalog.packages.claim({ full_name: "other/db", ...claim });
  const upload = await world.upload(1, "web.cp", Buffer.from("package"));
  world.store.fail = () => {
    throw new Error("R2 does not answer");
  };
  await world.result(1, { uploads: [upload], package: FACTS, follow: [DEPENDENCY] });
  assert.equal(
    (await world.messages()).at(-1),
    "other/db 2.0.0 of github.com/other/db, which this leads to, is not built: the name belongs to another repository.",
  );
  world.store.fail = () => {};
  await world.ring();
  assert.equal(await world.state(), "succeeded");
  assert.deepEqual([world.requests, await follows(world)], [[], []]);
  const ended = await running();
  ended.catalog.packages.claim({ full_name: "other/db", ...claim });
  await fail(ended, [DEPENDENCY]);
  assert.deepEqual([ended.requests, await follows(ended)], [[], []]);
});

test("a dependency on a git host that nothing is built from is left alone, and claims no name", async () => {
  const world = await running();
  await succeed(world, [{ ...DEPENDENCY, remote: "git.evil.example" }]);
  assert.deepEqual([world.requests, await follows(world)], [[], []]);
  const claim = { full_name: "other/db", repository: "x", url: "x", verified: false };
  assert.deepEqual(world.catalog.packages.claim(claim), { kind: "ok" });
  assert.equal((await world.build.settled(0))?.settled, true);
});

test("what a full pool refuses is asked for again until it is taken, under the same id", async () => {
  const world = await running();
  const { answer } = world;
  world.answer = () => ({ kind: "refused", code: "rate_limited", retry_after_s: 60 });
  await fail(world, [DEPENDENCY]);
  assert.deepEqual(await follows(world), [{ name: "db", erl: "27", build_id: null }]);
  await world.restart();
  await world.ring();
  world.answer = answer;
  await world.ringOut();
  const ids = new Set(world.requests.map(({ id }) => id));
  assert.ok(world.requests.length >= 3 && ids.size === 1);
  assert.deepEqual(await follows(world), [{ name: "db", erl: "27", build_id: [...ids][0] }]);
});

test("a build leads neither back to itself, nor twice to the same, nor for ever on", async () => {
  const world = await running({ ...PACKAGE, asked: { ...ASKED, ref: "1.0.0" }, erl: "25" });
  await succeed(world, [OTHER_VERSION, DEPENDENCY, { ...DEPENDENCY }]);
  assert.equal(world.requests.length, 1);
  const deep = await running({ ...PACKAGE, asked: { ...ASKED, depth: FOLLOW_DEPTH } });
  await succeed(deep, [DEPENDENCY]);
  assert.deepEqual(deep.requests, []);
});

test("whoever waits for all of it hears when the Catalog holds the end and what follows is known", async () => {
  const world = await running();
  assert.equal((await world.build.settled(0))?.settled, false);
  let open = false;
  const { answer } = world;
  world.answer = (request) => {
    if (!open) throw new Error("the Target does not answer");
    return answer(request);
  };
  await fail(world, [DEPENDENCY]);
  const early = await world.build.settled(0);
  assert.deepEqual([early?.settled, early?.record.state], [false, "failed"]);
  const waiting = world.build.settled(60_000);
  open = true;
  await world.ring();
  const late = await waiting;
  assert.equal(late?.settled, true);
  assert.deepEqual(world.catalog.builds.list({ limit: 1 })?.builds[0], late?.record);
  assert.notEqual(late?.record.follows[0]?.build_id, null);
  assert.equal(await new BuildWorld().build.settled(0), null);
});

test("whoever waits for all of it hears nothing while the Catalog does not answer", async () => {
  const world = await running();
  world.catalogIsDown = true;
  await succeed(world, []);
  const early = await world.build.settled(0);
  assert.deepEqual([early?.settled, early?.record.state], [false, "succeeded"]);
  world.catalogIsDown = false;
  await world.ringOut();
  assert.equal((await world.build.settled(0))?.settled, true);
});

test("a package is published under its build, so that another build of it leaves it alone", async () => {
  const world = await running();
  await succeed(world, []);
  const { record } = (await world.build.view()) ?? {};
  const id = record?.build_id as string;
  assert.equal(world.publication(targetKey(PACKAGE)), null);
  const published = world.publication(`erlang/build/${id}`) as Manifest | null;
  assert.equal(published?.build_id, id);
  assert.equal(published?.commit, FACTS.commit);
  assert.deepEqual(record?.package, {
    namespace: "acme",
    name: "web",
    version: "1.0.0",
    erl_version: "27",
    app: "web",
  });
  assert.equal(record?.commit, FACTS.commit);
  assert.equal(record?.artifact, `/download/${id}`);
});

test("what an attempt found out is shown of a failed build too", async () => {
  const world = await running();
  const before = (await world.build.view())?.record.package;
  assert.deepEqual([before?.version, before?.erl_version], [null, null]);
  await fail(world, []);
  const { record } = (await world.build.view()) ?? {};
  assert.deepEqual([record?.package?.version, record?.package?.erl_version], ["1.0.0", "27"]);
  assert.equal(record?.commit, FACTS.commit);
});
