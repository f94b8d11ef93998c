import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeClock } from "./edge-clock.ts";

const EPOCH = 1_800_000_000_000;

/** A host whose wall clock is `off` ms ahead of the truth, and an answer of the edge that took `way` ms. */
function host({ off = 0, way = 0 } = {}) {
  let now = 5_000;
  let wall = off;
  const clock = {
    now: () => now,
    date: () => new Date(EPOCH + now + wall),
    after: () => () => {},
  };
  const edge = new EdgeClock(clock);
  return {
    edge,
    /** The edge takes its time at `share` of the way. */
    ask(share: number): void {
      const asked = now;
      const time = EPOCH + asked + way * share;
      now += way;
      edge.heard(time, asked);
    },
    pass: (ms: number) => {
      now += ms;
    },
    set: (to: number) => {
      wall = to;
    },
  };
}

test("nothing is known of the clocks before the edge said its time", () => {
  assert.equal(host({ off: 3_600_000 }).edge.ahead_ms, null);
});

test("a clock is off by what no way of the answer explains", () => {
  for (const share of [0, 0.5, 1]) {
    const right = host({ way: 60_000 });
    right.ask(share);
    assert.equal(right.edge.ahead_ms, 0);
    for (const off of [3_600_000, -3_600_000]) {
      const wrong = host({ off, way: 60_000 });
      wrong.ask(share);
      const found = wrong.edge.ahead_ms ?? 0;
      assert.equal(Math.sign(found), Math.sign(off));
      assert.ok(Math.abs(found) <= 3_600_000 && Math.abs(found) >= 3_540_000, `${found}`);
    }
  }
});

test("a clock that is set wrong, and right again, shows without another answer", () => {
  const { edge, ask, pass, set } = host();
  ask(0);
  pass(86_400_000);
  assert.equal(edge.ahead_ms, 0);
  set(-7_200_000);
  assert.equal(edge.ahead_ms, -7_200_000);
  set(0);
  assert.equal(edge.ahead_ms, 0);
});
