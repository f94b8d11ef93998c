import assert from "node:assert/strict";
import { test } from "node:test";
import { closing } from "./closing.ts";

test("a close that may be sent is sent as it was heard", () => {
  for (const code of [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4001, 4999])
    assert.deepEqual(closing(code, "bye"), { code, reason: "bye" });
});

test("a code that is only ever reported becomes a normal close, one that is none a protocol error", () => {
  for (const code of [1005, 1006, 1015]) assert.equal(closing(code, "").code, 1000);
  for (const code of [0, 999, 1004, 1016, 2999, 5000, 65_535])
    assert.equal(closing(code, "").code, 1002);
});

test("a reason is cut to 123 bytes, never within a character", () => {
  assert.equal(closing(1000, "r".repeat(300)).reason, "r".repeat(123));
  assert.equal(closing(1000, "ü".repeat(300)).reason, "ü".repeat(61));
  assert.equal(closing(1000, "🙂".repeat(300)).reason, "🙂".repeat(30));
});
