import assert from "node:assert/strict";
import { test } from "node:test";
import { describeWait, type Queue } from "./queue.ts";

const queue = (expected_wait_ms: number | null, why: string | null): Queue => ({
  expected_wait_ms,
  why,
});

test("a wait is said as place, rough time and reason, each where it is known", () => {
  const busy = "all 2 slots are busy";
  const cases: [number | null, Queue | null, string][] = [
    [2, queue(38_400, busy), `position 2, about 39 s, ${busy}`],
    [2, queue(200, busy), `position 2, about 1 s, ${busy}`],
    [40, queue(1_234_567, busy), `position 40, about 21 min, ${busy}`],
    [900, queue(9_000_000, busy), `position 900, about 3 h, ${busy}`],
    [1, queue(null, "no agent serves go"), "position 1, no agent serves go"],
    [1, queue(0, null), "position 1"],
    [3, null, "position 3"],
    [null, null, ""],
  ];
  for (const [position, known, text] of cases) assert.equal(describeWait(position, known), text);
});
