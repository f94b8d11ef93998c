import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LOG_FRAME_BYTES } from "../shared/limits.ts";
import { MESSAGES } from "../shared/log.ts";
import type { GoTarget } from "../shared/recipes/go.ts";
import { DockerError, workspaceVolume } from "./docker/contracts.ts";
import { AgentExit } from "./errors.ts";
import { type Made, type RecipeContext, RecipeFailure } from "./recipes/contracts.ts";
import type { Service } from "./service.ts";
import { emptyEngine, made, registerAt, serviceOf, testHome } from "./testing/agent.ts";
import type { BuildSide } from "./testing/build-side.ts";
import { TARGET, TestEdge } from "./testing/edge.ts";

type Make = (context: RecipeContext) => Promise<Made[]>;
type Bench = { edge: TestEdge; home: string; service: Service; running: Promise<unknown> };

/** Runs `body` with an edge and a connected agent whose recipe is `make`; leaves nothing behind. */
async function withAgent(
  make: Make,
  body: (bench: Bench) => Promise<void>,
  options: Parameters<typeof serviceOf>[2] = {},
): Promise<void> {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  await registerAt(edge, home);
  const { service } = await serviceOf(home, make, options);
  const running = service.run().catch((error: unknown) => error);
  try {
    await edge.until("the agent says hello", () => edge.control !== null);
    await body({ edge, home, service, running });
  } finally {
    service.interrupt();
    service.interrupt();
    await running;
    await edge.stop();
    remove();
  }
}

const FILE = randomBytes(35_000);

/** Says a hundred lines as fast as it may, and makes a file. */
const chatty: Make = async (context) => {
  for (let line = 0; line < 100; line++) {
    await context.say(`line ${line} ${"x".repeat(1_500)}`);
    if (line % 25 === 0) await sleep(1);
  }
  return [await made(context.folder, "tool.tar.gz", FILE)];
};

const isOver = (build: BuildSide) => build.done;

test("why an attempt is stopped is on the disk before anything is stopped for it", async () => {
  let journaled = "";
  const stubborn: Make = async ({ folder, signal }) => {
    const notes = join(folder, "../phases.jsonl");
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => {
        journaled = readFileSync(notes, "utf8");
        resolve();
      });
    });
    // As a successor would find the container that was killed.
    throw new RecipeFailure("make_error", "make ended with status 143");
  };
  await withAgent(stubborn, async ({ edge, service }) => {
    const build = edge.assign();
    await edge.until("the build runs", () => build.log.length > 0);
    service.interrupt();
    service.interrupt();
    await edge.until("its end", () => build.results > 0);
    assert.match(journaled, /"t":"verdict".*"outcome":"cancelled".*stopped by its owner/);
    assert.equal(build.result?.outcome, "cancelled");
  });
});

test("a build is told to the edge from its start to its stored result, and leaves nothing", async () => {
  await withAgent(chatty, async ({ edge, home }) => {
    const build = edge.assign();
    await edge.until("the build is done", () => isOver(build));
    assert.equal(build.log[0]?.msg, MESSAGES.started);
    const owner = { agent: "default.0123456789abcdef", ...build.held };
    assert.deepEqual(build.log[0]?.fields, { workspace: workspaceVolume(owner) });
    assert.equal(build.log.at(-1)?.msg, MESSAGES.saving);
    assert.equal(build.log.length, 102);
    assert.equal(build.result?.outcome, "succeeded");
    assert.deepEqual(build.file("tool.tar.gz"), FILE);
    assert.deepEqual(build.result?.uploads, [...build.uploads.keys()]);
    assert.deepEqual(readdirSync(join(home, "attempts")), []);
  });
});

test("with the connection cut at any frame, the log arrives once, in order, and one result", async () => {
  await withAgent(
    chatty,
    async ({ edge }) => {
      const whole = edge.assign();
      await edge.until("an uncut build is done", () => isOver(whole));
      const frames = whole.frames.length;
      assert.ok(frames >= 10);
      for (const how of ["lose", "take, then cut"] as const) {
        const builds: BuildSide[] = [];
        for (let at = 1; at <= frames; at++) {
          const build = edge.assign();
          build.fate = (_frame, count) => (count === at ? how : "take");
          builds.push(build);
        }
        await edge.until("all cut builds are done", () => builds.every(isOver));
        for (const build of builds) {
          assert.deepEqual(
            build.log.map((entry) => entry.msg.slice(0, 20)),
            whole.log.map((entry) => entry.msg.slice(0, 20)),
          );
          assert.equal(build.result?.outcome, "succeeded");
          assert.deepEqual(build.file("tool.tar.gz"), FILE);
        }
      }
    },
    { capacity: 100 },
  );
});

test("frames keep to the window and the size, whatever a build says at once", async () => {
  await withAgent(chatty, async ({ edge }) => {
    const build = edge.assign();
    build.acks = false;
    const logs = () => build.frames.filter((frame) => frame.t === "log");
    await edge.until("the window is full", () => logs().length === 4);
    await sleep(100);
    assert.equal(logs().length, 4, "nothing more without an acknowledgement");
    for (const frame of logs()) assert.ok(JSON.stringify(frame).length <= LOG_FRAME_BYTES + 100);
    build.acks = true;
    build.socket?.send(JSON.stringify({ t: "ack", seq: build.acked }));
    await edge.until("the build is done", () => isOver(build));
  });
});

test("what a proxy answers in the edge's place costs a try, not the build", async () => {
  let pages = 0;
  await withAgent(chatty, async ({ edge }) => {
    edge.proxy = (request) => {
      if (request.method !== "PUT" || pages >= 3) return null;
      pages += 1;
      return { status: [200, 413, 502][pages - 1] ?? 502, html: "<html>hello</html>" };
    };
    const build = edge.assign();
    await edge.until("the build is done", () => isOver(build));
    assert.equal(pages, 3);
    assert.equal(build.result?.outcome, "succeeded");
    assert.deepEqual(build.file("tool.tar.gz"), FILE);
  });
});

test("an upload that the edge cannot use begins anew twice, then the build ends as storage", async () => {
  await withAgent(chatty, async ({ edge }) => {
    edge.judge = () => ({ code: "retry", message: "parts make no object" });
    const build = edge.assign();
    await edge.until("the build is done", () => isOver(build));
    assert.equal(build.uploads.size, 3);
    assert.equal(build.result?.class, "storage");
    assert.match(build.result?.reason ?? "", /parts make no object/);
    assert.deepEqual(build.result?.uploads, []);
  });
});

test("a cancelled build stops at once, cleans its host, then says cancelled", async () => {
  const docker = emptyEngine();
  const endless: Make = (context) =>
    new Promise((_, reject) => {
      context.signal.addEventListener("abort", () => reject(context.signal.reason));
    });
  await withAgent(
    endless,
    async ({ edge }) => {
      const byPool = edge.assign();
      const byBuild = edge.assign();
      await edge.until("both run", () => byPool.acked > 0 && byBuild.acked > 0);
      edge.send({ t: "cancel", ...byPool.held, reason: "asked for by its caller" });
      byBuild.socket?.send(
        JSON.stringify({ t: "cancel", outcome: "timed_out", reason: "the edge's clock" }),
      );
      await edge.until("both are done", () => isOver(byPool) && isOver(byBuild));
      assert.equal(byPool.result?.outcome, "cancelled");
      assert.equal(byPool.result?.reason, "asked for by its caller");
      assert.equal(byBuild.result?.outcome, "timed_out");
      assert.deepEqual(
        docker.cleaned.map((owner) => owner.build).toSorted(),
        [byPool.held.build, byBuild.held.build].toSorted(),
      );
    },
    { docker },
  );
});

test("a build over its time ends as timed out, also when its recipe does not notice", async () => {
  await withAgent(
    () => new Promise(() => {}),
    async ({ edge }) => {
      const build = edge.assign({ deadline_ms: 200 });
      await edge.until("the build is done", () => isOver(build));
      assert.equal(build.result?.class, "timed_out");
    },
  );
});

test("failures become a class and a sentence without secrets", async () => {
  const thrown: Record<string, () => unknown> = {
    compile_error: () => new RecipeFailure("compile_error", "main.go:1 ghp_secret_token is odd"),
    out_of_memory: () => new RecipeFailure("out_of_memory", "too much"),
    agent_error: () => new Error("ENOENT /secret/path"),
    docker: () => new DockerError("unavailable", "cannot start the container"),
  };
  await withAgent(
    async (context) => {
      throw thrown[(context.target as GoTarget).version]?.();
    },
    async ({ edge }) => {
      for (const version of Object.keys(thrown)) {
        const build = edge.assign({ target: { ...TARGET, version } });
        build.credentials = ["Bearer ghp_secret_token"];
        await edge.until("the build is done", () => isOver(build));
        assert.equal(build.result?.outcome, "failed");
        assert.equal(build.result?.class, version === "docker" ? "agent_error" : version);
        assert.doesNotMatch(build.result?.reason ?? "", /ghp_secret_token|\/secret\/path/);
      }
    },
  );
});

test("an attempt that is another's by now is cleaned away without a result", async () => {
  const docker = emptyEngine();
  await withAgent(
    chatty,
    async ({ edge, home }) => {
      const build = edge.assign();
      build.refused = true;
      await edge.until("the slot is free", () => isOver(build));
      assert.equal(build.result, null);
      assert.equal(docker.cleaned.length, 1);
      assert.deepEqual(readdirSync(join(home, "attempts")), []);
    },
    { docker },
  );
});

test("what hello's answer drops is stopped and cleaned, the rest goes on", async () => {
  const go = Promise.withResolvers<void>();
  await withAgent(
    async (context) => {
      await Promise.race([
        go.promise,
        new Promise((_, reject) =>
          context.signal.addEventListener("abort", () => reject(context.signal.reason)),
        ),
      ]);
      return [];
    },
    async ({ edge }) => {
      const dropped = edge.assign();
      const kept = edge.assign();
      await edge.until("both run", () => dropped.acked > 0 && kept.acked > 0);
      edge.drop = [dropped.held];
      edge.control?.terminate();
      await edge.until("the dropped one is gone", () => isOver(dropped));
      assert.equal(edge.answersOf("hello").at(-1)?.held.length, 2);
      go.resolve();
      await edge.until("the other is done", () => isOver(kept));
      assert.equal(dropped.result, null);
      assert.equal(kept.result?.outcome, "succeeded");
    },
  );
});

test("an agent takes no more than it may: busy, policy, unwell and draining are said at once", async () => {
  const docker = emptyEngine();
  docker.facts_now = { ...docker.facts_now, disk_free_bytes: 1_000 };
  const stuck: Make = (context) =>
    new Promise((_, reject) =>
      context.signal.addEventListener("abort", () => reject(context.signal.reason)),
    );
  const codes = (edge: TestEdge) => edge.answersOf("reject").map((frame) => frame.code);
  await withAgent(
    stuck,
    async ({ edge }) => {
      assert.match(edge.answersOf("hello")[0]?.unwell ?? "", /free of the 2.0 GiB wanted/);
      edge.assign();
      await edge.until("it is rejected", () => codes(edge).length === 1);
      assert.deepEqual(codes(edge), ["unwell"]);
    },
    { docker },
  );
  await withAgent(
    stuck,
    async ({ edge, service }) => {
      edge.assign({ target: { ...TARGET, remote: "refused.example" } });
      const first = edge.assign();
      await edge.until("the first is accepted", () => edge.answersOf("accept").length === 1);
      edge.assign();
      await edge.until("two are rejected", () => codes(edge).length === 2);
      service.drain("test");
      edge.assign();
      await edge.until("three are rejected", () => codes(edge).length === 3);
      assert.deepEqual(codes(edge), ["policy", "busy", "draining"]);
      edge.send({ t: "cancel", ...first.held, reason: "enough" });
      await edge.until("the first is done", () => isOver(first));
    },
    { capacity: 1 },
  );
});

test("an attempt that only waits for others leaves its slot to them, and says so again on a new line", async () => {
  const waiting: Make = (context) => {
    context.yieldSlot();
    return new Promise((_, reject) =>
      context.signal.addEventListener("abort", () => reject(context.signal.reason)),
    );
  };
  await withAgent(
    waiting,
    async ({ edge }) => {
      const builds = [edge.assign()];
      await edge.until("one yields", () => edge.answersOf("yield").length === 1);
      builds.push(edge.assign());
      await edge.until("both yield", () => edge.answersOf("yield").length === 2);
      edge.control?.terminate();
      await edge.until("both yield again", () => edge.answersOf("yield").length === 4);
      for (const { held } of builds) edge.send({ t: "cancel", ...held, reason: "enough" });
      await edge.until("both are done", () => builds.every(isOver));
    },
    { capacity: 1 },
  );
});

test("the same assignment twice is one attempt", async () => {
  await withAgent(chatty, async ({ edge }) => {
    const build = edge.assign();
    edge.send({
      t: "assign",
      ...build.held,
      target: TARGET,
      lease: build.lease,
      deadline_ms: 60_000,
    });
    await edge.until("the build is done", () => isOver(build));
    assert.equal(build.starts, 1);
  });
});

test("a removed agent ends with status 3, a superseded one with 4, and a page does not stop it", async () => {
  await withAgent(chatty, async ({ edge, running, home }) => {
    edge.removeAgent();
    const error = await running;
    assert.ok(error instanceof AgentExit && error.status === 3);
    assert.ok(existsSync(join(home, "identity.json")));
  });
  await withAgent(chatty, async ({ edge, running }) => {
    edge.control?.close(4001, "another process");
    const error = await running;
    assert.ok(error instanceof AgentExit && error.status === 4);
  });
  await withAgent(chatty, async ({ edge }) => {
    let pages = 0;
    edge.proxy = () => (pages++ < 3 ? { status: 403, html: "<html>blocked</html>" } : null);
    edge.control?.terminate();
    await edge.until("it is back", () => edge.answersOf("hello").length === 2);
  });
});

test("--once ends after one build; draining finishes what runs", async () => {
  await withAgent(
    chatty,
    async ({ edge, running }) => {
      const build = edge.assign();
      await running;
      assert.equal(build.result?.outcome, "succeeded");
    },
    { once: true },
  );
  await withAgent(chatty, async ({ edge, running, service }) => {
    const build = edge.assign();
    await edge.until("it runs", () => build.starts === 1);
    service.interrupt();
    await running;
    assert.equal(build.result?.outcome, "succeeded");
    assert.equal(edge.answersOf("status").at(-1)?.draining, true);
  });
});

test("a host that cannot be cleaned takes no new work and says why, but the build ends", async () => {
  const docker = emptyEngine();
  let stuck = true;
  docker.clean = async () => {
    if (stuck) throw new DockerError("timeout", "the container does not end");
  };
  docker.reap = async () => {
    if (stuck) throw new DockerError("timeout", "the container does not end");
    return [];
  };
  await withAgent(
    chatty,
    async ({ edge }) => {
      const build = edge.assign();
      await edge.until("the build is done", () => isOver(build));
      assert.equal(build.result?.outcome, "succeeded");
      assert.match(edge.answersOf("status").at(-1)?.unwell ?? "", /could not be cleaned away/);
      stuck = false;
    },
    { docker },
  );
});
