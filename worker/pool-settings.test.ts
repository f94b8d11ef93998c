import assert from "node:assert/strict";
import { test } from "node:test";
import { admissionLimits, expectedAgents } from "./pool-settings.ts";

test("settings that are absent or empty have their documented defaults", () => {
  assert.deepEqual(admissionLimits({}), { ratePerMinute: 60, queueLimit: 1_000 });
  assert.equal(expectedAgents({ RAILHEAD_EXPECT_AGENTS: " " }), 0);
});

test("settings are taken as they are written", () => {
  const limits = admissionLimits({ RAILHEAD_RATE_PER_MINUTE: "5", RAILHEAD_QUEUE_LIMIT: "7" });
  assert.deepEqual(limits, { ratePerMinute: 5, queueLimit: 7 });
  assert.equal(expectedAgents({ RAILHEAD_EXPECT_AGENTS: "2" }), 2);
});

test("a setting that cannot be read is named, never guessed", () => {
  for (const text of ["0", "-1", "1.5", "many", "1e3", "99999999"])
    assert.throws(
      () => admissionLimits({ RAILHEAD_RATE_PER_MINUTE: text }),
      /RAILHEAD_RATE_PER_MINUTE must be a whole number, 1 or more/,
    );
});
