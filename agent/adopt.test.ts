import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SUSPECT_AFTER_MS } from "../shared/limits.ts";
import type { DockerHost, RunHandle } from "./docker/contracts.ts";
import { dockerHost } from "./docker/index.ts";
import { loadIdentity } from "./identity.ts";
import { registerAt, testHome } from "./testing/agent.ts";
import type { BuildSide } from "./testing/build-side.ts";
import { TestEdge } from "./testing/edge.ts";

const IMAGE = "railhead/go:1";
const PROGRAM = fileURLToPath(new URL("testing/shell-agent.ts", import.meta.url));
const NUMBERS = Array.from({ length: 100 }, (_, index) => index);

const reachable = await dockerHost({ agent: "default.0000000000000000", folder: "/nonexistent" })
  .imageId(IMAGE)
  .catch(() => null);
const skip = reachable === null && `${IMAGE} is not on a Docker engine here`;

class AgentProcess {
  readonly #home: string;
  readonly #env: Record<string, string>;
  #child: ChildProcess;
  #exited: Promise<unknown> = Promise.resolve();
  log = "";

  constructor(home: string, env: Record<string, string> = {}) {
    this.#home = home;
    this.#env = env;
    this.#child = this.#spawn();
  }

  /** Starts another one, as a supervisor would. */
  restart(): void {
    this.#child = this.#spawn();
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill(signal);
    if (signal === "SIGKILL") await this.#exited;
  }

  /** Restarts it whenever it is killed, until `over`. */
  async supervise(over: () => boolean): Promise<number> {
    let restarts = 0;
    while (!over()) {
      await Promise.race([this.#exited, sleep(100)]);
      if (this.#child.signalCode === null || over()) continue;
      restarts += 1;
      this.restart();
    }
    return restarts;
  }

  #spawn(): ChildProcess {
    const child = spawn(process.execPath, [PROGRAM, this.#home, IMAGE], {
      env: { ...process.env, ...this.#env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#exited = once(child, "exit");
    child.stderr?.on("data", (text) => {
      this.log += text;
    });
    return child;
  }
}

async function withProcess(
  env: Record<string, string>,
  body: (edge: TestEdge, agent: AgentProcess, home: string) => Promise<void>,
): Promise<void> {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  await registerAt(edge, home);
  const agent = new AgentProcess(home, env);
  try {
    await edge.until("the agent says hello", () => edge.control !== null);
    await body(edge, agent, home);
  } catch (error) {
    process.stderr.write(agent.log);
    throw error;
  } finally {
    await agent.kill("SIGKILL");
    await (await engineOf(home)).docker.retire();
    await edge.stop();
    remove();
  }
}

/** Every line of the build container once, in order, on its own stream, and no message of ours twice. */
function assertWhole(build: BuildSide): void {
  const messages = build.lines().filter((line) => !line.startsWith("built"));
  assert.deepEqual(messages, ["Your build started.", "fetching", "building", "saving binary..."]);
  const fetched = build.lines("stdout").filter((line) => line.startsWith("fetched"));
  assert.deepEqual([...new Set(fetched)], ["fetched with 7 characters"]);
  const out = build.lines("stdout").filter((line) => line.startsWith("out"));
  assert.deepEqual(
    out,
    NUMBERS.map((n) => `out ${n}`),
  );
  assert.deepEqual(
    build.lines("stderr"),
    NUMBERS.map((n) => `err ${n}`),
  );
  assert.equal(build.log.filter((entry) => entry.gap).length, 0);
  assert.equal(build.result?.outcome, "succeeded");
  assert.equal(build.file("file")?.length, 25_000);
}

/** The engine, as the agent of a home sees it. */
async function engineOf(home: string): Promise<{ docker: DockerHost; agent: string }> {
  const { agent } = await loadIdentity(home);
  return { docker: dockerHost({ agent, folder: home }), agent };
}

/** The build container of an attempt. */
async function containerOf(build: BuildSide, home: string): Promise<RunHandle | null> {
  const { docker, agent } = await engineOf(home);
  return docker.adopt({ agent, ...build.held }, "build");
}

/** Whether nothing of an attempt is on the host: a reaper that knows of no attempt finds nothing to remove. */
async function assertClean(home: string): Promise<void> {
  const { docker, agent } = await engineOf(home);
  assert.deepEqual(await docker.reap(agent, []), []);
}

test("an agent killed in mid-build adopts its container: no line lost, none twice", {
  skip,
}, async () => {
  await withProcess({}, async (edge, agent, home) => {
    const build = edge.assign();
    for (const line of [10, 40, 80]) {
      await edge.until(`line ${line} is here`, () => build.lines("stderr").length >= line);
      await agent.kill("SIGKILL");
      await sleep(200);
      agent.restart();
    }
    await edge.until("the build is done", () => build.done);
    assertWhole(build);
    await assertClean(home);
  });
});

test("an agent killed before and after every step it takes ends the build all the same", {
  skip,
}, async () => {
  await withProcess({ RAILHEAD_TEST_DIE: "1" }, async (edge, agent, home) => {
    const build = edge.assign();
    const restarts = await agent.supervise(
      () => build.result !== null && edge.answersOf("hello").at(-1)?.held.length === 0,
    );
    assertWhole(build);
    await assertClean(home);
    const died = readFileSync(join(home, "died"), "utf8").trim().split("\n");
    assert.equal(died.length, restarts);
    assert.ok(restarts >= 20, died.join(", "));
  });
});

test("output of the time in which no agent was there is in the log, once", { skip }, async () => {
  await withProcess({}, async (edge, agent, home) => {
    const build = edge.assign();
    await edge.until("the build runs", () => build.lines("stdout").length >= 10);
    await agent.kill("SIGKILL");
    await (await containerOf(build, home))?.wait();
    agent.restart();
    await edge.until("the build is done", () => build.done);
    assertWhole(build);
  });
});

test("a container that vanished while the agent was away is given up, not reported as failed", {
  skip,
}, async () => {
  await withProcess({}, async (edge, agent, home) => {
    const build = edge.assign();
    await edge.until("the build runs", () => build.lines("stdout").length >= 10);
    await agent.kill("SIGKILL");
    await (await containerOf(build, home))?.remove();
    agent.restart();
    await edge.until("the slot is free", () => build.done);
    assert.equal(build.result, null);
  });
});

test("a suspended agent asks what is still its own before it goes on", { skip }, async () => {
  await withProcess({}, async (edge, agent) => {
    const build = edge.assign();
    const before: string[] = [];
    build.fate = (frame) => {
      if (edge.answersOf("hello").length === 1) before.push(frame.t);
      return "take";
    };
    await edge.until("the build runs", () => build.lines("stdout").length >= 10);
    await agent.kill("SIGSTOP");
    await sleep(SUSPECT_AFTER_MS + 2_000);
    await agent.kill("SIGCONT");
    await edge.until("the build is done", () => build.done);
    assertWhole(build);
    assert.ok(before.every((frame) => ["start", "phase", "log"].includes(frame)));
    assert.equal(edge.answersOf("hello").length, 2);
  });
});
