import assert from "node:assert/strict";
import { test } from "node:test";
import { AGENT_LEASE_MS, LEASE_EXPIRY_MS, RECONNECT_MAX_MS } from "../shared/limits.ts";
import { pauseMs } from "./backoff.ts";
import { Lease } from "./lease.ts";

function leaseAt(start: number) {
  let now = start;
  const lease = new Lease(() => now);
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= 1_000) {
      now += Math.min(1_000, left);
      lease.tick();
    }
  };
  return { lease, pass, jump: (ms: number) => (now += ms), now: () => now };
}

test("a lease runs from the sending of the answered ping, not from its answer", () => {
  const { lease, pass } = leaseAt(0);
  lease.pinged();
  pass(20_000);
  lease.answered();
  pass(AGENT_LEASE_MS - 20_000);
  assert.equal(lease.standing(), "good");
  pass(1_000);
  assert.equal(lease.standing(), "expired");
});

test("an answer renews from its own ping, not from a later one that is still under way", () => {
  const { lease, pass } = leaseAt(0);
  lease.pinged();
  pass(10_000);
  lease.pinged();
  lease.answered();
  pass(AGENT_LEASE_MS - 10_000 + 1);
  assert.equal(lease.standing(), "expired");
});

test("a host that was suspended says hello before it acts, whatever answers were waiting", () => {
  const { lease, jump, now } = leaseAt(0);
  lease.pinged();
  jump(30_000);
  lease.answered();
  assert.equal(lease.standing(), "stalled");
  lease.tick();
  assert.equal(lease.standing(), "stalled");
  lease.welcomed(now());
  assert.equal(lease.standing(), "good");
});

test("a host that slept past the lease has lost it at its first look", () => {
  const { lease, jump } = leaseAt(0);
  lease.pinged();
  jump(AGENT_LEASE_MS + 1);
  lease.answered();
  assert.equal(lease.standing(), "expired");
});

test("answers to pings of an old socket renew nothing", () => {
  const { lease, pass } = leaseAt(0);
  lease.pinged();
  pass(AGENT_LEASE_MS - 5_000);
  lease.reconnected();
  lease.answered();
  pass(5_001);
  assert.equal(lease.standing(), "expired");
});

test("the agent's lease ends before the edge's, with time to kill, and outlives two reconnects", () => {
  assert.ok(AGENT_LEASE_MS + 20_000 <= LEASE_EXPIRY_MS);
  assert.ok(2 * RECONNECT_MAX_MS < AGENT_LEASE_MS);
});

test("the first retry is quick, the longest is bounded, and all are spread over their span", () => {
  assert.ok(pauseMs(0, 0.999) < 1_000);
  assert.equal(pauseMs(50, 0.999_999) < RECONNECT_MAX_MS, true);
  assert.equal(pauseMs(50, 0), 0);
  assert.ok(pauseMs(6, 0.5) > pauseMs(3, 0.5));
});
