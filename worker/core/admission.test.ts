import assert from "node:assert/strict";
import { test } from "node:test";
import { openSql } from "../../test/support/sql.ts";
import { AdmissionControl } from "./admission.ts";
import { migrate } from "./migrations.ts";
import { SCHEDULER_MIGRATIONS } from "./scheduler-schema.ts";

function admission(ratePerMinute: number, queueLimit: number) {
  const sql = openSql();
  migrate(sql, SCHEDULER_MIGRATIONS);
  const time = { now: 1_000_000 };
  const control = new AdmissionControl(sql, { now: () => time.now }, { ratePerMinute, queueLimit });
  const admit = (caller: string, waiting: number) => {
    const answer = control.check(caller, waiting);
    if (answer.kind === "ok") control.count(caller);
    return answer;
  };
  return { admit, time };
}

test("a caller may send a minute's builds at once, and then as many as the minute refills", () => {
  const { admit, time } = admission(60, 1_000);
  for (let i = 0; i < 60; i++) assert.equal(admit("token:a", 0).kind, "ok");
  assert.deepEqual(admit("token:a", 0), {
    kind: "refused",
    code: "rate_limited",
    retry_after_s: 1,
  });
  time.now += 1_000;
  assert.equal(admit("token:a", 0).kind, "ok");
  assert.equal(admit("token:a", 0).kind, "refused");
});

test("one caller's flood takes nothing from another", () => {
  const { admit } = admission(1, 1_000);
  assert.equal(admit("ip:192.0.2.1", 0).kind, "ok");
  assert.equal(admit("ip:192.0.2.1", 0).kind, "refused");
  assert.equal(admit("ip:192.0.2.2", 0).kind, "ok");
});

test("a caller who waits as long as told is let in", () => {
  const { admit, time } = admission(7, 1_000);
  for (let i = 0; i < 7; i++) admit("admin", 0);
  const refused = admit("admin", 0);
  assert.equal(refused.kind, "refused");
  if (refused.kind === "refused") time.now += refused.retry_after_s * 1_000;
  assert.equal(admit("admin", 0).kind, "ok");
});

test("a full queue refuses without counting against the caller", () => {
  const { admit } = admission(1, 5);
  const refused = admit("admin", 5);
  assert.equal(refused.kind === "refused" && refused.code, "queue_full");
  assert.equal(admit("admin", 4).kind, "ok");
});

test("a clock that steps back neither locks a caller out nor lets it flood", () => {
  const { admit, time } = admission(2, 1_000);
  admit("admin", 0);
  time.now -= 3_600_000;
  assert.equal(admit("admin", 0).kind, "ok");
  assert.equal(admit("admin", 0).kind, "refused");
  time.now += 60_000;
  assert.equal(admit("admin", 0).kind, "ok");
});
