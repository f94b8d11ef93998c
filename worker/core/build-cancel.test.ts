import assert from "node:assert/strict";
import { test } from "node:test";
import { CANCEL_GRACE_MS } from "../../shared/limits.ts";
import { BUILD_ID, BuildWorld, requestOf } from "../../test/support/build.ts";

test("a queued build is cancelled at once", async () => {
  const world = new BuildWorld();
  await world.open();
  assert.equal((await world.build.cancel("admin")).kind, "cancelled");
  await world.settle();
  assert.equal(await world.state(), "cancelled");
  assert.deepEqual(
    world.told.map(({ verb }) => verb),
    ["catalog", "ended", "catalog"],
  );
  assert.deepEqual(await world.build.cancel("admin"), { kind: "refused", code: "already_ended" });
});

test("a running build ends when its agent has cleaned up after a cancel", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  assert.equal((await world.build.cancel("token:t1")).kind, "cancelling");
  assert.equal((await world.build.cancel("admin")).kind, "cancelling");
  await world.settle();
  assert.equal(world.count("cancel"), 1);
  assert.equal(world.told.filter(({ verb }) => verb === "withdraw").length, 1);
  assert.equal(await world.state(), "running");
  await world.result(1, { outcome: "cancelled", class: "cancelled" });
  assert.equal(await world.state(), "cancelled");
});

test("nobody joins a build that is being cancelled: who asks then is answered when it has ended", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.build.cancel("admin");
  const asked = world.build.ensure(BUILD_ID, requestOf({ caller: "token:t2" }));
  await world.result(1, { outcome: "cancelled", class: "cancelled" });
  const answer = await asked;
  assert.ok(answer.kind === "ok");
  assert.equal(answer.build.state, "cancelled");
});

test("a cancelled attempt that says nothing is given up after its grace", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  const asked = world.ports.clock.now();
  await world.build.cancel("admin");
  await world.settle();
  await world.ring();
  assert.equal(world.ports.clock.now() - asked, CANCEL_GRACE_MS);
  assert.equal(await world.state(), "cancelled");
  await world.receive(1, { t: "start", protocol: 1, instance: "p1", workspace: "/w" });
  assert.equal(world.last("refused").code, "ended");
});

test("a cancelled build whose agent is lost is cancelled, not queued again", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.build.cancel("admin");
  assert.deepEqual(await world.build.lost(1, "gone"), { kind: "terminal" });
  assert.equal(await world.state(), "cancelled");
});

test("a caller withdraws its own interest; the last one cancels, a stranger cannot", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.build.ensure(BUILD_ID, requestOf({ caller: "token:t2" }));
  assert.deepEqual(await world.build.cancel("token:t9"), { kind: "refused", code: "forbidden" });
  assert.equal((await world.build.cancel("token:t1")).kind, "withdrawn");
  assert.equal((await world.build.cancel("token:t2")).kind, "cancelled");
});

test("a repeated cancel is answered as the first was", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.build.ensure(BUILD_ID, requestOf({ caller: "token:t2" }));
  assert.equal((await world.build.cancel("token:t1")).kind, "withdrawn");
  assert.equal((await world.build.cancel("token:t1")).kind, "withdrawn");
  assert.equal((await world.build.cancel("token:t2")).kind, "cancelling");
  for (const caller of ["token:t2", "token:t1", "admin"])
    assert.equal((await world.build.cancel(caller)).kind, "cancelling", caller);
  assert.deepEqual(await world.build.cancel("token:t9"), { kind: "refused", code: "forbidden" });
  await world.settle();
  assert.equal(world.count("cancel"), 1);
});

test("who withdrew and asks again counts again", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.build.ensure(BUILD_ID, requestOf({ caller: "token:t2" }));
  await world.build.cancel("token:t1");
  await world.build.ensure(BUILD_ID, requestOf());
  assert.equal((await world.build.cancel("token:t2")).kind, "withdrawn");
  assert.equal((await world.build.cancel("token:t1")).kind, "cancelled");
});

test("while the admin's cancel is under way, nobody is told that the build goes on", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.build.ensure(BUILD_ID, requestOf({ caller: "token:t2" }));
  await world.build.cancel("admin");
  assert.equal((await world.build.cancel("token:t1")).kind, "cancelling");
});
