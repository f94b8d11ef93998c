import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Pace } from "./pace.ts";

const MIB = 1024 * 1024;

test("a burst passes, then 4 MiB a second, and an idle time brings the next burst", async () => {
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: 1_000 });
  try {
    const pace = new Pace();
    await pace.sent(MIB);
    let passed = false;
    const second = pace.sent(MIB).then(() => {
      passed = true;
    });
    mock.timers.tick(249);
    await Promise.resolve();
    assert.equal(passed, false);
    mock.timers.tick(1);
    await second;
    mock.timers.tick(10_000);
    await pace.sent(MIB);
  } finally {
    mock.timers.reset();
  }
});
