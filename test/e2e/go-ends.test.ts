import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { labelled } from "../support/engine.ts";
import { hello } from "../support/fixtures.ts";
import { openStack, type TestStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

/** Milliseconds an attempt may take on the agent of these tests. */
const AGENT_LIMIT_MS = 15_000;

describe("the end of a build", () => {
  let stack: TestStack;

  before(async () => {
    stack = await openStack({
      repositories: { "ada/hello": hello },
      capacity: 1,
      attemptLimitMs: AGENT_LIMIT_MS,
    });
  });
  after(() => stack?.close());

  async function clean(build_id: string): Promise<void> {
    assert.deepEqual(await labelled(`railhead.build=${build_id}`), []);
  }

  test("cancelling what waits and what runs ends both, and leaves the host clean", async () => {
    const running = await stack.start("/git.example/ada/hello/linux/amd64/stubborn");
    await stack.building(running.build_id);
    const waiting = await stack.start("/git.example/ada/hello/linux/amd64/v1.0.0");
    const position = await until("a place in the queue", async () => {
      const record = await stack.record(waiting.build_id);
      return record.state === "queued" && record.position === 1 ? record : null;
    });
    assert.equal(position.attempt <= 1, true);

    const dropped = await stack.cancel(waiting.build_id);
    assert.ok(dropped.ok, String(dropped.status));
    const never = await stack.ended(waiting.build_id);
    assert.equal(never.record.state, "cancelled");
    assert.equal(never.record.class, "cancelled");
    assert.equal(never.record.agent, null);

    const stopped = await stack.cancel(running.build_id);
    assert.ok(stopped.ok, String(stopped.status));
    const ended = await stack.ended(running.build_id);
    assert.equal(ended.record.state, "cancelled");
    assert.match(ended.log.at(-1)?.msg ?? "", /^Your build failed: /);
    await clean(running.build_id);

    const late = await stack.cancel(running.build_id);
    assert.equal(late.status, 409);
    assert.equal(((await late.json()) as { code: string }).code, "already_ended");
    const gone = await stack.fetch("/git.example/ada/hello/linux/amd64/stubborn");
    assert.equal(gone.status, 404);
  });

  test("only a token that may, cancels", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/held", {
      headers: { authorization: `Bearer ${stack.token}` },
    });
    for (const headers of [{}, { authorization: "Bearer rh_wrong" }]) {
      const response = await stack.fetch(`/builds/${build_id}`, { method: "DELETE", headers });
      assert.ok([401, 403].includes(response.status), String(response.status));
    }
    await stack.cancel(build_id);
    assert.equal((await stack.ended(build_id)).record.state, "cancelled");
  });

  test("a build over its time is ended, says so, and leaves the host clean", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/stubborn-2");
    const ended = await stack.ended(build_id);
    assert.equal(ended.record.state, "timed_out");
    assert.equal(ended.record.class, "timed_out");
    assert.ok(ended.log.some((line) => line.msg === "stubborn: running"));
    assert.match(ended.log.at(-1)?.msg ?? "", /^Your build failed: /);
    await clean(build_id);
  });

  test("the slot of an ended build is free for the next", async () => {
    // It needs no compiler: the limit of these tests is too short for one on a busy machine.
    const ended = await stack.build("/git.example/ada/hello/linux/amd64/library");
    assert.equal(ended.record.class, "no_main_package");
    await clean(ended.id);
    const [agent] = await stack.agents();
    assert.deepEqual(agent?.running, []);
  });
});
