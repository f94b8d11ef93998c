import assert from "node:assert/strict";
import { test } from "node:test";
import { killedForMemory } from "./killed.ts";

test("a kill for memory is told from other ends, also when the engine lost the kernel's notice", () => {
  assert.equal(killedForMemory({ OOMKilled: true, ExitCode: 1 }), true);
  assert.equal(killedForMemory({ OOMKilled: false, ExitCode: 137 }), true);
  assert.equal(killedForMemory({ OOMKilled: false, ExitCode: 1 }), false);
  assert.equal(killedForMemory({ OOMKilled: false, ExitCode: 0 }), false);
});
