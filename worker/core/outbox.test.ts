import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualPorts } from "../../test/support/ports.ts";
import { DEADLINES_TABLE, Deadlines } from "./deadlines.ts";
import { isMigrated, migrate } from "./migrations.ts";
import { type Deliver, type Message, OUTBOX_TABLE, Outbox } from "./outbox.ts";

function object(deliver: Deliver) {
  const ports = virtualPorts();
  migrate(ports.sql, [[OUTBOX_TABLE, DEADLINES_TABLE]]);
  const outbox = new Outbox(ports, deliver);
  return { ...ports, outbox, deadlines: new Deadlines(ports, outbox) };
}

test("a message is repeated with growing pauses until it is confirmed", async () => {
  let failures = 5;
  const sent: Message[] = [];
  const { outbox, deadlines, alarm, clock } = object(async (message) => {
    sent.push(message);
    if (failures-- > 0) throw new Error("the other side is away");
  });
  outbox.put("ended", "b1", { outcome: "failed" });
  const pauses: number[] = [];
  await outbox.send();
  for (deadlines.rearm(); alarm.at !== null; ) {
    const pause = alarm.at - clock.now();
    pauses.push(pause);
    clock.advance(pause);
    await outbox.send();
    deadlines.rearm();
  }
  assert.equal(sent.length, 6);
  assert.deepEqual(sent.at(-1), { verb: "ended", key: "b1", body: { outcome: "failed" } });
  assert.ok(pauses.every((pause) => pause >= 1_000 && pause <= 60_000));
  assert.ok((pauses.at(-1) ?? 0) > (pauses[0] ?? 0));
});

test("a message under way is not sent a second time by a second event", async () => {
  const gate = Promise.withResolvers<void>();
  let sent = 0;
  const { outbox } = object(() => {
    sent++;
    return gate.promise;
  });
  outbox.put("enqueue", "b1", null);
  const first = outbox.send();
  await outbox.send();
  gate.resolve();
  await first;
  assert.equal(sent, 1);
  assert.equal(outbox.nextAt(), null);
});

test("a confirmation does not swallow a newer message of the same key", async () => {
  const gate = Promise.withResolvers<void>();
  const bodies: unknown[] = [];
  const { outbox } = object(({ body }) => {
    bodies.push(body);
    return gate.promise;
  });
  outbox.put("put", "b1", 1);
  const first = outbox.send();
  outbox.put("put", "b1", 2);
  gate.resolve();
  await first;
  await outbox.send();
  assert.deepEqual(bodies, [1, 2]);
  assert.equal(outbox.nextAt(), null);
});

test("a deadline whose handling fails comes back, and the others are handled all the same", async () => {
  const { deadlines, alarm, clock } = object(async () => {});
  deadlines.set("bad", clock.now());
  deadlines.set("good", clock.now());
  deadlines.set("later", clock.now() + 60_000);
  const expired: string[] = [];
  await deadlines.run((name) => {
    expired.push(name);
    if (name === "bad") throw new Error("storage is away");
    deadlines.clear(name);
  });
  deadlines.rearm();
  assert.deepEqual(expired, ["bad", "good"]);
  assert.equal(deadlines.at("good"), null);
  assert.equal(alarm.at, clock.now() + 5_000);
});

test("migrations run once each, in order, and an untouched object stays without tables", () => {
  const { sql } = virtualPorts();
  assert.equal(isMigrated(sql), false);
  const first = ["CREATE TABLE a (x INTEGER)"];
  migrate(sql, [first]);
  migrate(sql, [
    first,
    ["ALTER TABLE a ADD COLUMN y TEXT", "INSERT INTO a (x, y) VALUES (1, 'z')"],
  ]);
  migrate(sql, [first, ["never run again"]]);
  assert.deepEqual(sql.exec("SELECT x, y FROM a"), [{ x: 1, y: "z" }]);
  assert.equal(isMigrated(sql), true);
});

test("a migration that fails leaves the version before it", () => {
  const { sql } = virtualPorts();
  const first = ["CREATE TABLE a (x INTEGER)"];
  assert.throws(() => migrate(sql, [first, ["INSERT INTO a (x) VALUES (1)", "nonsense"]]));
  assert.deepEqual(sql.exec("SELECT x FROM a"), []);
  assert.deepEqual(sql.exec("SELECT version FROM schema_version"), [{ version: 1 }]);
});
