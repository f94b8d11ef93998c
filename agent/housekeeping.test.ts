import assert from "node:assert/strict";
import { test } from "node:test";
import type { Owner } from "./docker/contracts.ts";
import type { IdleContext } from "./recipes/contracts.ts";
import { emptyEngine, recipe, registerAt, serviceOf, testHome } from "./testing/agent.ts";
import { TestEdge } from "./testing/edge.ts";

test("housekeeping runs while nothing is built, stops for a build, and cleans up after itself", async () => {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  const docker = emptyEngine();
  const began: Owner[] = [];
  let stopped = 0;
  const idle = async ({ owner, signal }: IdleContext) => {
    began.push(owner);
    if (began.length > 1) return;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    stopped += 1;
  };
  const make = async () => [];
  await registerAt(edge, home);
  const { service } = await serviceOf(home, make, { docker, recipe: { ...recipe(make), idle } });
  const running = service.run();
  await edge.until("it works while idle", () => began.length === 1 && edge.control !== null);
  const build = edge.assign();
  await edge.until("it stopped, and began again after the build", () => began.length === 2);
  assert.equal(stopped, 1);
  assert.equal(build.result?.outcome, "succeeded");
  await edge.until("both are cleaned", () =>
    began.every(({ build }) => docker.cleaned.some((owner) => owner.build === build)),
  );
  service.interrupt();
  await running;
  await edge.stop();
  remove();
});
