import assert from "node:assert/strict";
import { test } from "node:test";
import { madeAnew, World } from "../../test/support/app-core.ts";

test("a lost replica says why it could not be made anew, until it is there again", async () => {
  const reasons = async () => (await world.app.view())?.replicas.map(({ reason }) => reason);
  const world = new World();
  const first = await world.deploy();
  await world.goLive(first);
  assert.deepEqual(await reasons(), [undefined]);
  const fail = async (build: string, reason: string) =>
    world.app.built({ build, outcome: "failed", class: "build_error", reason });
  await fail(await madeAnew(world, first), "There is no disk left.");
  assert.deepEqual(await reasons(), ["There is no disk left."]);
  await fail(await madeAnew(world, first), "RUN failed");
  assert.deepEqual(await reasons(), ["RUN failed"]);
  await world.connect(first);
  assert.deepEqual(await reasons(), [undefined]);
  await fail(await madeAnew(world, first), "RUN failed");
  await world.goLive(await madeAnew(world, first));
  assert.deepEqual(await reasons(), [undefined]);
});
