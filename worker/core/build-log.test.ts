import assert from "node:assert/strict";
import { test } from "node:test";
import { LOG_BUILD_BYTES } from "../../shared/limits.ts";
import { CLOSE } from "../../shared/protocol.ts";
import { BuildWorld } from "../../test/support/build.ts";
import { openSql } from "../../test/support/sql.ts";
import { BUILD_MIGRATIONS } from "./build-schema.ts";
import { LogStore } from "./log-store.ts";
import { migrate } from "./migrations.ts";

async function running(): Promise<BuildWorld> {
  const world = new BuildWorld();
  await world.open();
  await world.start();
  return world;
}

test("lines that are sent again after a reconnect are stored once", async () => {
  const world = await running();
  await world.say(1, [1, "a"], [2, "b"]);
  await world.say(1, [1, "a"], [2, "b"], [3, "c"]);
  assert.equal(world.last("ack").seq, 3);
  await world.receive(1, { t: "start", protocol: 1, instance: "p9", workspace: "/w" });
  assert.equal(world.last("ready").acked, 3);
  assert.deepEqual((await world.messages()).slice(1), ["a", "b", "c"]);
});

test("a line that is missing in between is never skipped: the agent has to send from there", async () => {
  const world = await running();
  await world.say(1, [1, "a"]);
  await world.say(1, [3, "c"]);
  assert.deepEqual(world.closed, [
    { attempt: 1, code: CLOSE.badFrame, reason: "entry 2 is missing" },
  ]);
  await world.say(1, [2, "b"], [4, "d"]);
  assert.equal(world.closed.length, 2);
  assert.deepEqual((await world.messages()).slice(1), ["a"]);
  assert.equal(world.count("ack"), 1);
});

test("a result takes effect when the log before it is whole", async () => {
  const world = await running();
  const upload = await world.upload(1, "a.tar.gz", Buffer.from("abc"));
  await world.result(1, { last_seq: 2, uploads: [upload] });
  assert.equal(await world.state(), "running");
  await world.say(1, [1, "a"]);
  assert.equal(await world.state(), "running");
  await world.say(1, [2, "b"]);
  assert.equal(await world.state(), "succeeded");
  assert.deepEqual(world.copiedLog().slice(1), ["a", "b", "Your build is successful."]);
});

test("a result that waits for its log survives a restart, and a second one changes nothing", async () => {
  const world = await running();
  await world.result(1, { last_seq: 1, outcome: "failed", class: "make_error", reason: "first" });
  await world.restart();
  await world.result(1, { last_seq: 1, outcome: "failed", class: "disk_full", reason: "second" });
  await world.say(1, [1, "a"]);
  assert.equal((await world.build.summary())?.reason, "first");
  await world.result(1, { last_seq: 1, outcome: "failed", class: "disk_full", reason: "second" });
  assert.equal(world.last("result_ok").state, "failed");
  assert.equal((await world.build.summary())?.reason, "first");
});

test("late lines of a lost attempt are kept and marked, until the build has ended", async () => {
  const world = await running();
  await world.say(1, [1, "a"]);
  await world.build.lost(1, "gone");
  await world.say(1, [2, "late"]);
  assert.equal(world.last("ack").seq, 2);
  await world.start(2);
  await world.say(2, [1, "second try"]);
  const page = await world.build.log(0, 100_000, 0);
  assert.deepEqual(
    page?.entries
      .filter(({ seq }) => seq)
      .map(({ attempt, seq, msg, late }) => [attempt, seq, msg, late]),
    [
      [1, 1, "a", undefined],
      [1, 2, "late", true],
      [2, 1, "second try", undefined],
    ],
  );
  await world.result(2, { last_seq: 1, outcome: "failed", class: "make_error" });
  await world.say(1, [3, "too late"]);
  assert.equal(world.last("refused").code, "ended");
  assert.equal(world.copiedLog().at(-1), "Your build failed: make error. The log has the rest.");
});

test("positions have no gap and pages meet", async () => {
  const world = await running();
  for (let seq = 1; seq <= 40; seq += 2)
    await world.say(1, [seq, "x".repeat(seq)], [seq + 1, "y".repeat(200)]);
  const seen: number[] = [];
  for (let after = 0; seen.length < 41; ) {
    const page = await world.build.log(after, 700, 0);
    assert.ok(page && page.entries.length > 0);
    seen.push(...page.entries.map(({ position }) => position));
    after = page.position;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 41 }, (_, i) => i + 1),
  );
  const beyond = await world.build.log(1_000, 700, 0);
  assert.deepEqual(beyond, { entries: [], position: 1_000, end: false, moved: false });
});

test("the newest entries are had without those before them", async () => {
  const world = await running();
  for (let seq = 1; seq <= 40; seq += 2)
    await world.say(1, [seq, "x".repeat(100)], [seq + 1, "é".repeat(100)]);
  const whole = await world.build.log(null, 100_000, 0);
  assert.equal(whole?.entries.length, 41);
  for (const most of [1_000, 2_000, 3_333]) {
    const page = await world.build.log(null, most, 0);
    const positions = page?.entries.map(({ position }) => position) ?? [];
    assert.ok(positions.length > 1);
    assert.deepEqual(
      positions,
      whole?.entries.slice(-positions.length).map((e) => e.position),
    );
    const bytes = (from: number) =>
      Buffer.byteLength(
        whole.entries
          .slice(from)
          .map((e) => `${JSON.stringify(e)}\n`)
          .join(""),
      );
    assert.ok(bytes(-positions.length) <= most, "no more than was asked for");
    assert.ok(bytes(-positions.length - 1) > most, "and no less");
  }
});

test("an entry larger than a page is still read", async () => {
  const world = await running();
  await world.say(1, [1, "x".repeat(10_000)]);
  const page = await world.build.log(1, 100, 0);
  assert.equal(page?.entries.length, 1);
});

test("a reader who waits is woken by the next line, and by the end", async () => {
  const world = await running();
  const next = world.build.log(1, 1_000, 20_000);
  await world.say(1, [1, "a"]);
  assert.deepEqual(
    (await next)?.entries.map(({ msg }) => msg),
    ["a"],
  );
  const ended = world.build.wait(20_000);
  const final = world.build.log(2, 1_000, 20_000);
  await world.result(1, { last_seq: 1, outcome: "failed", class: "make_error" });
  assert.equal((await ended)?.state, "failed");
  assert.equal((await final)?.end, true);
});

test("a reader who waited long enough is answered with nothing", async () => {
  const world = await running();
  const page = world.build.log(1, 1_000, 20_000);
  world.ports.clock.advance(20_000);
  world.fireTimers();
  assert.deepEqual(await page, { entries: [], position: 1, end: false, moved: false });
});

test("what goes over the cap of a build's log is one gap record", () => {
  const sql = openSql();
  migrate(sql, BUILD_MIGRATIONS);
  const log = new LogStore(sql);
  sql.exec(
    "INSERT INTO log (first, last, bytes, text) VALUES (1, 1, ?, 'x')",
    LOG_BUILD_BYTES - 10,
  );
  const entry = { attempt: 1, time: "2026-01-01T00:00:00Z", level: "info", msg: "line" } as const;
  log.appendBounded([{ ...entry, seq: 1 }]);
  log.appendBounded([{ ...entry, seq: 2 }]);
  log.append([{ ...entry, msg: "final" }]);
  const { entries } = log.page(1, 10_000);
  assert.deepEqual(
    entries.map(({ position, msg, gap }) => [position, gap ? "gap" : msg]),
    [
      [2, "line"],
      [3, "gap"],
      [4, "final"],
    ],
  );
});

test("one frame of many long lines is stored in rows that the platform takes", () => {
  const sql = openSql();
  migrate(sql, BUILD_MIGRATIONS);
  const log = new LogStore(sql);
  const entry = { attempt: 1, time: "t", level: "info" } as const;
  log.append(
    Array.from({ length: 100 }, (_, i) => ({ ...entry, seq: i + 1, msg: "é".repeat(16_000) })),
  );
  const rows = sql.exec<{ first: number; last: number; n: number }>(
    "SELECT first, last, length(CAST(text AS BLOB)) AS n FROM log ORDER BY first",
  );
  assert.ok(rows.length > 1 && rows.every(({ n }) => n < 2_000_000));
  assert.equal(rows.at(-1)?.last, 100);
  assert.equal(
    log.size().bytes,
    rows.reduce((sum, { n }) => sum + n, 0),
  );
  assert.equal(Buffer.from([...log.chunks()].join("")).length, log.size().bytes);
});
