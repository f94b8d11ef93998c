import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTEMPT_DEADLINE_MS, ATTEMPT_GRACE_MS, QUEUE_DEADLINE_MS } from "../../shared/limits.ts";
import { AGENT, BUILD_ID, BuildWorld, NEXT, requestOf, TARGET } from "../../test/support/build.ts";

test("a build goes from the queue over a running attempt to its publication", async () => {
  const world = new BuildWorld();
  await world.open();
  assert.deepEqual(
    world.jobs.map(({ build_id, expected, admission }) => ({ build_id, expected, admission })),
    [{ build_id: BUILD_ID, expected: 1, admission: true }],
  );
  assert.equal((await world.build.summary())?.position, 3);
  assert.deepEqual(
    world.told.map(({ body }) => body),
    ["queued"],
  );
  await world.succeed();
  const view = await world.build.view();
  assert.equal(view?.record.state, "succeeded");
  assert.equal(view?.record.agent, "smithy");
  assert.deepEqual(view?.record.timings.phases, { build: 5 });
  assert.deepEqual(
    view?.record.artifacts.map(({ name, size, url }) => ({ name, size, url })),
    [
      {
        name: "tool_linux_amd64.tar.gz",
        size: 7,
        url: "/github.com/owner/tool/linux/amd64/v1.2.3/tool_linux_amd64.tar.gz",
      },
    ],
  );
  assert.equal(world.publication()?.build_id, BUILD_ID);
  assert.equal(world.last("result_ok").state, "succeeded");
  assert.deepEqual(
    world.told.map(({ verb }) => verb),
    ["catalog", "catalog", "ended", "catalog"],
  );
});

test("a pool whose answer got lost is told of the attempt that it began, not asked for another", async () => {
  const world = new BuildWorld();
  world.admission = () => {
    throw new Error("the answer got lost");
  };
  await world.open();
  const begun = await world.build.begin(1, AGENT);
  assert.equal(begun.kind, "ok");
  world.admission = () => ({ kind: "ok", place: NEXT });
  await world.ring();
  assert.deepEqual(
    world.jobs.map(({ expected }) => expected),
    [1, 1],
  );
});

test("a build that runs is not put into the queue again", async () => {
  const world = new BuildWorld();
  world.admission = () => {
    throw new Error("the answer got lost");
  };
  await world.open();
  await world.start();
  await world.ring();
  assert.equal(world.jobs.length, 1);
  assert.equal(await world.state(), "running");
});

test("the log of an ended build moves to the bucket as it was read", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.succeed();
  const wanted = ["Your build joined a queue.", "compiling", "Your build is successful."];
  assert.deepEqual(world.copiedLog(), wanted);
  assert.deepEqual(await world.build.log(0, 1_000, 0), {
    entries: [],
    position: 0,
    end: true,
    moved: true,
  });
});

test("the rows of a log stay until its copy is seen to be whole", async () => {
  const world = new BuildWorld();
  await world.open();
  let failures = 2;
  world.store.failAfter = (operation) => {
    if (operation === "putLog" && failures-- > 0) throw new Error("the answer got lost");
  };
  await world.succeed();
  assert.equal(await world.state(), "succeeded");
  assert.equal((await world.messages()).at(-1), "Your build is successful.");
  await world.ringOut();
  assert.equal((await world.build.log(0, 1_000, 0))?.moved, true);
  assert.equal(world.copiedLog().at(-1), "Your build is successful.");
});

test("a build that the pool refuses leaves nothing behind", async () => {
  const world = new BuildWorld();
  world.admission = () => ({ kind: "refused", code: "queue_full", retry_after_s: 7 });
  const answers = await Promise.all([
    world.build.ensure(BUILD_ID, requestOf()),
    world.build.ensure(BUILD_ID, requestOf({ caller: "token:t2" })),
  ]);
  const refused = { kind: "refused", code: "queue_full", retry_after_s: 7 };
  assert.deepEqual(answers, [refused, refused]);
  assert.equal(world.jobs.length, 1);
  assert.deepEqual(
    world.ports.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"),
    [],
  );
  assert.equal(world.ports.alarm.at, null);
  assert.equal(await world.build.summary(), null);
  await world.build.alarm();
  world.admission = () => ({ kind: "ok", place: NEXT });
  await world.open();
  assert.equal(await world.state(), "queued");
});

test("a poster who was told yes while the pool was away is never refused later", async () => {
  const world = new BuildWorld();
  world.admission = () => {
    throw new Error("the pool restarts");
  };
  await world.open();
  world.admission = () => ({ kind: "ok", place: NEXT });
  await world.ring();
  assert.deepEqual(
    world.jobs.map(({ admission }) => admission),
    [true, false],
  );
});

test("questions about a build that never was write nothing", async () => {
  const world = new BuildWorld();
  world.build.resume();
  assert.equal(await world.build.summary(), null);
  assert.equal(await world.build.view(), null);
  assert.equal(await world.build.log(0, 1_000, 1_000), null);
  assert.equal(await world.build.wait(1_000), null);
  assert.deepEqual(await world.build.cancel("admin"), { kind: "refused", code: "unknown" });
  assert.deepEqual(await world.build.lost(1, "x"), { kind: "terminal" });
  assert.equal(
    (await world.build.begin(1, { agent: "a", name: "n", instance: "i" })).kind,
    "refused",
  );
  assert.deepEqual(world.ports.sql.exec("SELECT name FROM sqlite_master"), []);
});

test("one attempt number goes to one agent, and a lost answer costs a number, not the fence", async () => {
  const world = new BuildWorld();
  await world.open();
  const [agent, other] = [
    { agent: "a", name: "a", instance: "ia" },
    { agent: "b", name: "b", instance: "ib" },
  ];
  const first = await world.build.begin(1, agent);
  const again = await world.build.begin(1, agent);
  assert.ok(first.kind === "ok" && again.kind === "ok");
  assert.equal(await world.build.admits(1, first.lease), "forbidden");
  assert.equal(await world.build.admits(1, again.lease), "yes");
  assert.deepEqual(await world.build.begin(1, other), {
    kind: "refused",
    code: "attempt",
    next: 2,
  });
  assert.equal((await world.build.begin(2, other)).kind, "ok");
  await world.receive(1, { t: "start", protocol: 1, instance: "ia", workspace: "w" });
  assert.equal(world.last("refused").code, "lost");
  assert.equal(await world.state(), "queued");
});

test("a build whose third started attempt is lost fails, and says which agents it lost", async () => {
  const world = new BuildWorld();
  await world.open();
  for (const n of [1, 2]) {
    await world.start(n);
    assert.deepEqual(await world.build.lost(n, "no ping for 120 s"), {
      kind: "requeue",
      next: n + 1,
    });
    assert.deepEqual(await world.build.lost(n, "said twice"), { kind: "requeue", next: n + 1 });
    assert.equal(await world.state(), "queued");
  }
  // Attempts that never started cost nothing.
  for (const n of [3, 4, 5]) {
    assert.equal(
      (await world.build.begin(n, { agent: "x", name: "x", instance: `i${n}` })).kind,
      "ok",
    );
    assert.deepEqual(await world.build.lost(n, "not accepted"), { kind: "requeue", next: n + 1 });
  }
  await world.start(6);
  assert.deepEqual(await world.build.lost(6, "gone"), { kind: "terminal" });
  const summary = await world.build.summary();
  assert.equal(summary?.state, "failed");
  assert.equal(summary?.class, "agent_lost");
  await world.settle();
  const lost = world.copiedLog().filter((line) => line.includes("was lost in attempt"));
  assert.equal(lost.length, 2);
  assert.match(lost[0] ?? "", /smithy/);
  assert.deepEqual(await world.build.begin(7, { agent: "x", name: "x", instance: "x" }), {
    kind: "refused",
    code: "terminal",
    next: 6,
  });
});

test("a loss reported for a begin that never arrived queues the same number again", async () => {
  const world = new BuildWorld();
  await world.open();
  assert.deepEqual(await world.build.lost(1, "its start got no answer"), {
    kind: "requeue",
    next: 1,
  });
});

test("a build that no agent takes ends by its queue deadline", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.ring();
  const view = await world.build.view();
  assert.equal(view?.record.state, "timed_out");
  assert.equal(view?.record.class, "queue_timeout");
  assert.equal(view?.record.timings.queued_ms, QUEUE_DEADLINE_MS);
  assert.deepEqual(world.told.at(-2)?.verb, "ended");
});

test("an attempt that runs too long is told so, and ended when it says nothing", async () => {
  const world = new BuildWorld();
  await world.open();
  const begun = world.ports.clock.now();
  await world.start();
  await world.ring();
  assert.equal(world.ports.clock.now() - begun, ATTEMPT_DEADLINE_MS);
  assert.equal(world.last("cancel").outcome, "timed_out");
  assert.equal(await world.state(), "running");
  await world.receive(1, { t: "start", protocol: 1, instance: "p1", workspace: "/w" });
  assert.equal(world.count("cancel"), 2);
  await world.ring();
  assert.equal(world.ports.clock.now() - begun, ATTEMPT_DEADLINE_MS + ATTEMPT_GRACE_MS);
  assert.equal(await world.state(), "timed_out");
});

test("a result that comes in the grace after the deadline counts", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.ring();
  await world.result(1, {
    outcome: "timed_out",
    class: "timed_out",
    reason: "it ran for 30 minutes.",
  });
  assert.equal((await world.build.summary())?.reason, "it ran for 30 minutes.");
});

test("what an agent says about a failure is the build's last word", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  await world.result(1, {
    outcome: "failed",
    class: "compile_error",
    reason: "main.go:3: undefined: x",
  });
  const summary = await world.build.summary();
  assert.deepEqual([summary?.state, summary?.class], ["failed", "compile_error"]);
  assert.equal(world.copiedLog().at(-1), "Your build failed: main.go:3: undefined: x");
});

test("a build that every agent refuses ends with their reason", async () => {
  const world = new BuildWorld();
  await world.open();
  await world.build.unplaceable(1, "no agent may build from this remote");
  assert.equal((await world.build.summary())?.class, "agent_refused");
});

test("joiners' credentials reach the accepted attempt only, and are gone when the build has ended", async () => {
  const world = new BuildWorld();
  const target = { ...TARGET, visibility: "private" as const };
  for (let i = 1; i <= 7; i++) {
    world.ports.clock.advance(1);
    await world.open(
      requestOf({ caller: `token:t${i}`, credential: `sealed:secret ${i}` }, target),
    );
  }
  await world.open(requestOf({ caller: "token:t7", credential: "not ours" }, target));
  await world.start();
  assert.deepEqual(world.last("ready").credentials, [
    "secret 6",
    "secret 5",
    "secret 4",
    "secret 3",
  ]);
  await world.result(1, { outcome: "failed", class: "make_error" });
  assert.deepEqual(
    world.ports.sql.exec("SELECT credential FROM callers WHERE credential IS NOT NULL"),
    [],
  );
  assert.equal(world.copiedLog(`private/logs/${BUILD_ID}.ndjson`).length, 2);
});

test("a message to the pool is repeated after a crash until it is confirmed", async () => {
  const world = new BuildWorld();
  await world.open();
  const { told } = world;
  await world.start();
  // Dies right behind the synchronous step: nothing that it had begun arrives.
  void world.build.receive(1, {
    t: "result",
    outcome: "failed",
    class: "make_error",
    reason: null,
    last_seq: 0,
    uploads: [],
    repositories: [],
    phases: {},
  });
  told.length = 0;
  await world.restart();
  await world.ringOut();
  const ended = told.filter(({ verb }) => verb === "ended");
  assert.equal(ended.length, 1);
  assert.equal(world.ports.alarm.at, null);
});
