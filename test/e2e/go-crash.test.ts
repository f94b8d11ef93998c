import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { labelled } from "../support/engine.ts";
import { hello } from "../support/fixtures.ts";
import { type Line, openStack, type TestStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

describe("crashes in mid-build", () => {
  let stack: TestStack;

  before(async () => {
    stack = await openStack({ repositories: { "ada/hello": hello } });
  });
  after(() => stack?.close());

  /** A build that has printed a few lines and goes on printing. */
  async function underWay(tag: string): Promise<{ build_id: string; path: string }> {
    const path = `/git.example/ada/hello/linux/amd64/${tag}`;
    const { build_id } = await stack.start(path);
    await printed(build_id, 3);
    return { build_id, path };
  }

  function printed(build_id: string, line: number): Promise<true> {
    return until(`line ${line} of the build`, async () => {
      const log = await stack.log(build_id).catch(() => []);
      return log.some((entry) => entry.msg === `held: line ${line}`);
    });
  }

  /** Every line the container printed, once each and in order, whatever happened meanwhile. */
  function assertWhole(log: Line[]): void {
    const numbers = log
      .map((line) => /^held: line (\d+)$/.exec(line.msg)?.[1])
      .filter((number) => number !== undefined)
      .map(Number);
    assert.ok(numbers.length >= 3);
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => i + 1),
    );
    assert.equal(log.filter((line) => line.msg === "held: released").length, 1);
    assert.equal(log.filter((line) => line.msg === "Your build is successful.").length, 1);
  }

  test("an agent killed in mid-build and started again goes on where it was", async () => {
    const { build_id, path } = await underWay("held");
    await stack.killAgent(0);
    await stack.building(build_id);
    await stack.startAgent(0);
    await until(
      "the agent to be back",
      async () => (await stack.agents())[0]?.status === "connected",
    );
    const before = (await stack.log(build_id)).length;
    await until("output after the crash", async () => (await stack.log(build_id)).length > before);
    await stack.release(build_id);

    const ended = await stack.ended(build_id);
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    assert.equal(ended.record.attempt, 1, "the same attempt was adopted");
    assertWhole(ended.log);
    assert.equal((await stack.fetch(path)).status, 303);
    assert.deepEqual(await labelled(`railhead.build=${build_id}`), []);
  });

  test("an agent that is away when its container ends finishes the build when it is back", async () => {
    const { build_id } = await underWay("held-2");
    const container = await stack.building(build_id);
    await stack.killAgent(0);
    await stack.release(build_id);
    await until("the end of the container", async () => {
      const found = await stack.containers(build_id);
      return found.find((one) => one.Id === container.Id)?.State !== "running";
    });
    await stack.startAgent(0);
    const ended = await stack.ended(build_id);
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    assert.equal(ended.record.attempt, 1);
    assertWhole(ended.log);
  });

  test("an edge killed in mid-build and started on the same state loses nothing", async () => {
    const { build_id, path } = await underWay("held-3");
    await stack.killEdge();
    await stack.building(build_id);
    await stack.startEdge();
    const before = (await stack.log(build_id)).length;
    await until("output after the crash", async () => (await stack.log(build_id)).length > before);
    await stack.release(build_id);

    const ended = await stack.ended(build_id);
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    assert.equal(ended.record.attempt, 1, "a restart of the edge costs no attempt");
    assertWhole(ended.log);
    assert.equal((await stack.fetch(path)).status, 303);
    assert.deepEqual(await labelled(`railhead.build=${build_id}`), []);
  });
});
