import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaView } from "../../shared/apps.ts";
import { deploymentNote } from "./list.ts";

const LIVE = { generation: 2, rollback_of: null, kept: true, reason: null as string | null };
const REPLICA: ReplicaView = {
  generation: 2,
  replica: 0,
  agent: "smithy",
  state: "healthy",
  restarts: 0,
  build_id: "0".repeat(32),
};

test("list of one project says which replicas of what serves are lost, and why they could not be made anew", () => {
  const note = (...replicas: ReplicaView[]) => deploymentNote(LIVE, { current: 2, replicas });
  assert.equal(note(REPLICA), "");
  const lost: ReplicaView = { ...REPLICA, replica: 1, state: "disconnected" };
  assert.equal(note(REPLICA, lost), "replica 1 on smithy is not connected");
  const building: ReplicaView = { ...REPLICA, agent: null, state: "building" };
  assert.equal(
    note({ ...lost, reason: "RUN failed.\nits last words" }, building),
    "replica 1 on smithy is not connected, and making it anew failed: RUN failed.",
  );
});

test("list of one project says what may be gone back to", () => {
  const view = { current: 2, replicas: [REPLICA] };
  const note = (more: Partial<typeof LIVE>) =>
    deploymentNote({ ...LIVE, generation: 1, ...more }, view);
  assert.equal(note({}), "may be gone back to");
  assert.equal(note({ kept: false }), "");
  assert.equal(note({ kept: false, reason: "no" }), "no");
});
