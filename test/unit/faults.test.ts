/** The checker of the fault suite finds what it is there to find. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkOrder, checkSeen, checkStarts } from "../faults/check-history.ts";
import { frameEnd } from "../faults/frames.ts";
import type { Start } from "../faults/starts.ts";
import { telling } from "../faults/still.ts";
import type { Line } from "../support/test-stack.ts";
import { until } from "../support/until.ts";

const ID = "b1";

function log(...lines: (number | "gap")[]): Line[] {
  return lines.map((line, i) => ({
    build_id: ID,
    level: "info",
    time: "2026-01-01T00:00:00.000Z",
    attempt: 1,
    position: i + 1,
    ...(line === "gap"
      ? { msg: "Some output is missing.", gap: { reason: "output_lost" } }
      : { msg: `held: line ${line}`, stream: "stdout" as const }),
  }));
}

describe("the checker of the fault suite", () => {
  test("takes a log without a hole, and one that owns up to its hole", () => {
    assert.deepEqual(checkOrder(ID, log(1, 2, 3)), []);
    assert.deepEqual(checkOrder(ID, log(1, "gap", 7, 8)), []);
  });

  test("finds a line that is missing, twice there, or out of order", () => {
    for (const lines of [
      [1, 3],
      [1, 2, 2],
      [1, 3, 2],
      [1, "gap", 7, 9],
    ] as const)
      assert.notDeepEqual(checkOrder(ID, log(...lines)), [], String(lines));
  });

  test("finds a position that does not rise", () => {
    const [first, second] = log(1, 2) as [Line, Line];
    assert.notDeepEqual(checkOrder(ID, [first, { ...second, position: 1 }]), []);
  });

  test("finds a viewer who saw another log than the one that is stored", () => {
    const stored = log(1, 2, 3);
    assert.deepEqual(checkSeen(ID, stored, stored), []);
    assert.notDeepEqual(checkSeen(ID, stored.slice(0, 2), stored), []);
    assert.notDeepEqual(checkSeen(ID, [...stored, ...stored.slice(2)], stored), []);
    assert.notDeepEqual(checkSeen(ID, stored.slice(1), stored), []);
  });

  test("finds an attempt on two agents, and a container that was started twice", () => {
    const start: Start = { agent: "a", build: ID, attempt: 1, phase: "build" };
    const ids = new Set([ID]);
    const fetched = { ...start, phase: "fetch" };
    assert.deepEqual(checkStarts([fetched, fetched, start, { ...start, attempt: 2 }], ids), []);
    assert.equal(checkStarts([start, start], ids).length, 1);
    assert.equal(checkStarts([fetched, { ...start, agent: "b" }], ids).length, 1);
  });
});

test("a case that takes long says every half minute what it waits for", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const said: string[] = [];
  let over = false;
  const work = telling(
    (line) => said.push(line),
    until("the cows to come home", () => over),
  );
  t.mock.timers.tick(29_000);
  assert.deepEqual(said, []);
  t.mock.timers.tick(31_000);
  assert.equal(said.length, 2);
  assert.match(said[0] ?? "", /^ +\d+ s, waiting for the cows to come home$/);
  over = true;
  await work;
  t.mock.timers.tick(60_000);
  assert.equal(said.length, 2);
});

test("the suite's network cuts WebSocket bytes where frames end", () => {
  const masked = (length: number[], payload: number) =>
    Buffer.from([0x81, ...length, 1, 2, 3, 4, ...Array<number>(payload).fill(0)]);
  for (const frame of [
    masked([0x80], 0),
    masked([0x85], 5),
    masked([0xfe, 1, 0], 256),
    masked([0xff, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
  ]) {
    assert.equal(frameEnd(Buffer.concat([frame, Buffer.from([0x81])])), frame.length);
    assert.equal(frameEnd(frame.subarray(0, -1)), null);
    assert.equal(frameEnd(frame.subarray(0, 1)), null);
  }
});
