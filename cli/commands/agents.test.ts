import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentView } from "../../shared/identity.ts";
import { outcome } from "./agents.ts";

const NOW = Date.parse("2026-01-02T03:04:05Z");

function agent(over: Partial<AgentView>): AgentView {
  return {
    agent: "default.0123456789abcdef",
    name: "smithy",
    pool: "default",
    labels: {},
    recipes: ["go"],
    capacity: 1,
    running: [],
    version: "1.0.0",
    status: "connected",
    last_seen: "2026-01-02T03:01:00Z",
    draining: false,
    cordoned: null,
    unwell: null,
    ...over,
  };
}

test("an act on an agent that is not there says when it was last seen, and that it takes effect on its return", () => {
  assert.equal(outcome("uncordon", agent({}), NOW), "gets work again");
  assert.equal(
    outcome("uncordon", agent({ status: "gone" }), NOW),
    "is not connected (last seen: 3 min 5 s ago) and gets work again when it is back",
  );
  assert.equal(
    outcome("drain", agent({ status: "gone", last_seen: null }), NOW),
    "is not connected (last seen: never) and ends when it is back",
  );
  assert.equal(outcome("cordon", agent({ status: "gone" }), NOW), "gets no new work");
});

test("uncordoning an agent that found itself unwell does not promise it work", () => {
  assert.equal(
    outcome("uncordon", agent({ unwell: "the disk is 96 % full" }), NOW),
    "gets work again when it is well; now the disk is 96 % full",
  );
});
