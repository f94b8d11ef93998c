import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { isTerminal } from "../../shared/builds.ts";
import { engine } from "../support/engine.ts";
import { type ImageStack, imagesWith, openImageStack } from "../support/image-stack.ts";
import { filesWith, processes } from "../support/secrets.ts";
import { until } from "../support/until.ts";

/** Bytes that no compression makes less: long enough to be pushed that a test can step in. */
const LAYER_BYTES = 200_000_000;

describe("an image whose build is disturbed", () => {
  let world: ImageStack;

  before(async () => {
    world = await openImageStack();
  });
  after(() => world?.close());

  async function post(more: Record<string, unknown> = {}) {
    const marker = `marker-${randomBytes(8).toString("hex")}`;
    const image_name = world.freshName();
    const run = `head -c ${LAYER_BYTES} /dev/urandom > /big; echo "built ${marker}"`;
    const dockerfile = `FROM ${world.base}\nENV MARKER=${marker}\nRUN ${run}\n`;
    const job = await world.post({ image_name, ...world.login, dockerfile, ...more });
    return { job, marker, image_name };
  }

  /** Waits until the build is in the middle of its push. */
  async function pushing(job: string): Promise<void> {
    await until(
      "the push",
      async () => {
        const { state, phase, reason } = await world.stack.record(job);
        assert.ok(!isTerminal(state), `it ended before: ${reason}`);
        return phase === "push";
      },
      180_000,
    );
    await world.says(job, /push/i);
  }

  test("cancelled in its push it ends cancelled: no tag, nothing left", async () => {
    const { job, marker, image_name } = await post();
    await pushing(job);
    assert.equal(await world.status(job), "Pushing");
    await world.stack.cancel(job);
    const { record } = await world.stack.ended(job);
    assert.equal(record.state, "cancelled");
    assert.equal(record.digest, null);
    assert.deepEqual(await imagesWith(marker), []);
    assert.equal(await world.pushed(image_name), null);
  });

  test("cancelled while it is built it ends cancelled, and its container is gone", async () => {
    const marker = `marker-${randomBytes(8).toString("hex")}`;
    const dockerfile = `FROM ${world.base}\nENV MARKER=${marker}\nRUN echo begun; sleep 3600\n`;
    const { job } = await post({ dockerfile });
    await world.says(job, /^begun$/);
    await world.stack.cancel(job);
    const { record } = await world.stack.ended(job);
    assert.equal(record.state, "cancelled");
    assert.deepEqual(await imagesWith(marker), []);
  });

  test("the password is on no disk and in no command line, environment, container or log", async () => {
    const { password } = world.registry;
    const dockerfile = `FROM ${world.base}\nRUN echo begun; sleep 3600\n`;
    const { job } = await post({ dockerfile });
    await world.says(job, /^begun$/);
    const inspected = JSON.stringify(await allContainers());
    const commands = await processes();
    const sealed = await filesWith(world.stack.folder, password);
    await world.stack.cancel(job);
    const ended = JSON.stringify(await world.stack.ended(job));
    const pair = Buffer.from(`${world.registry.username}:${password}`).toString("base64");
    assert.deepEqual(sealed, []);
    for (const secret of [password, Buffer.from(password).toString("base64"), pair]) {
      assert.ok(!inspected.includes(secret), "docker inspect of a container");
      assert.ok(!commands.includes(secret), "a command line or environment");
      assert.ok(!ended.includes(secret), "the record or the log");
      assert.deepEqual(await filesWith(world.stack.folder, secret), []);
    }
  });

  test("a registry that dies in mid-push and comes back has the image; it is not built again", async () => {
    const { job, marker, image_name } = await post();
    await pushing(job);
    await world.registry.kill();
    await world.registry.start();
    assert.equal(await world.pushed(image_name), null, "the registry died in mid-push");
    const { record, log } = await world.stack.ended(job);
    assert.equal(record.state, "succeeded", record.reason ?? "");
    assert.equal(record.digest, await world.pushed(image_name));
    assert.equal(log.filter(({ msg }) => msg === `built ${marker}`).length, 1);
    assert.deepEqual(await imagesWith(marker), []);
  });

  test("a registry that dies in mid-push and stays away fails the push", async () => {
    const { job, marker } = await post();
    await pushing(job);
    await world.registry.kill();
    const { record } = await world.stack.ended(job);
    await world.registry.start();
    assert.equal(record.state, "failed");
    assert.equal(record.class, "push_error", record.reason ?? "");
    assert.deepEqual(await imagesWith(marker), []);
  });

  for (const phase of ["build", "push"] as const)
    test(`an agent that is killed in its ${phase} and comes back finishes it`, async () => {
      const { job, marker, image_name } = await post();
      if (phase === "push") await pushing(job);
      else await world.says(job, /Step 3/);
      await world.stack.killAgent(0);
      world.stack.startAgent(0);
      const { record } = await world.stack.ended(job);
      assert.equal(record.state, "succeeded", record.reason ?? "");
      assert.equal(record.attempt, 1);
      assert.equal(record.digest, await world.pushed(image_name));
      assert.deepEqual(await imagesWith(marker), []);
    });
});

/** What `docker inspect` tells of every running container: those of a build have no label. */
async function allContainers(): Promise<unknown[]> {
  const running = await engine<{ Id: string }[]>("GET", "/containers/json");
  return Promise.all(
    running.map(({ Id }) => engine("GET", `/containers/${Id}/json`).catch(() => "gone meanwhile")),
  );
}
