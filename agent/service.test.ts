import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { arch } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { IdleContext } from "./recipes/contracts.ts";
import { emptyEngine, recipe, registerAt, serviceOf, testHome } from "./testing/agent.ts";
import { TestEdge } from "./testing/edge.ts";

const make = async () => [];

/** Runs an agent with this housekeeping; `body` tells it to drain. Settles when it ended. */
async function drained(
  idle: ((context: IdleContext) => Promise<void>) | undefined,
  body: (edge: TestEdge, home: string) => Promise<void>,
) {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  const docker = emptyEngine();
  try {
    await registerAt(edge, home);
    const own = { ...recipe(make), ...(idle && { idle }) };
    const { service, lines } = await serviceOf(home, make, { docker, recipe: own });
    const running = service.run();
    await edge.until("it is connected", () => edge.control !== null);
    await body(edge, home);
    await running;
    return {
      cleaned: docker.cleaned,
      labels: edge.answersOf("hello")[0]?.labels,
      last: JSON.parse(lines.at(-1) ?? "").event,
    };
  } finally {
    await edge.stop();
    remove();
  }
}

test("an agent that is told to drain while it works on its caches stops that, cleans up and ends", async () => {
  const began = Promise.withResolvers<void>();
  const idle = async ({ signal }: IdleContext) => {
    began.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    // As an engine that takes its time to remove a container.
    await new Promise(setImmediate);
  };
  const { cleaned, last } = await drained(idle, async (edge) => {
    await began.promise;
    edge.send({ t: "drain" });
  });
  assert.equal(cleaned.length, 1);
  assert.equal(last, "stopped");
});

test("an agent that is told to drain ends even when the work on its caches never does", async () => {
  const began = Promise.withResolvers<void>();
  const idle = () => {
    began.resolve();
    return new Promise<void>(() => {});
  };
  const { last } = await drained(idle, async (edge) => {
    await began.promise;
    edge.send({ t: "drain" });
  });
  assert.equal(last, "stopped");
});

test("an agent that is told to drain while it fails to take a build ends", async () => {
  const { last } = await drained(undefined, async (edge, home) => {
    rmSync(join(home, "attempts"), { recursive: true });
    writeFileSync(join(home, "attempts"), "");
    edge.assign();
    edge.send({ t: "drain" });
  });
  assert.equal(last, "stopped");
});

test("an agent that was removed says once, in one sentence, how to come back", async () => {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  await registerAt(edge, home);
  const { service } = await serviceOf(home, make);
  const running = service.run();
  const told = assert.rejects(running, {
    message: `${edge.url} refuses this agent (removed): to come back, run \`railhead agent register --force --url ${edge.url} --token-file …\`.`,
  });
  await edge.until("it is connected", () => edge.control !== null);
  edge.removeAgent();
  await told;
  const { service: later } = await serviceOf(home, make);
  await assert.rejects(later.run(), {
    message: `${edge.url} refuses this agent (not registered, or removed): to come back, run \`railhead agent register --force --url ${edge.url} --token-file …\`.`,
  });
  await edge.stop();
  remove();
});

test("an agent tells its processor in the word that paths have for it", async () => {
  const word: string = { x64: "amd64", ia32: "386" }[arch() as string] ?? arch();
  const { labels } = await drained(undefined, async (edge) => edge.send({ t: "drain" }));
  assert.equal(labels?.arch, word);
});
