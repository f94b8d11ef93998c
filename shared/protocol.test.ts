import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_BYTES } from "./limits.ts";
import {
  PROTOCOL_VERSION,
  parseAttemptDown,
  parseAttemptUp,
  parseControlDown,
  parseControlUp,
  tooFarApart,
} from "./protocol.ts";

const BUILD = "b".repeat(32);
const UPLOAD = "a".repeat(32);
const SHA = "c".repeat(64);
const held = { build: BUILD, attempt: 1 };
const target = {
  recipe: "go",
  remote: "git.example",
  path: ["o", "tool"],
  goos: "linux",
  goarch: "amd64",
  version: "v1.0.0",
  make: null,
  commit: "d".repeat(40),
  visibility: "public",
  advertised: true,
};

/**
 * Every frame as version 1 says it, with no member that it may leave out. Nothing here is ever changed: what a later
 * version adds is optional, so that these frames go on to parse as long as a peer of that version may be met.
 */
const VERSION_1 = {
  controlUp: [
    {
      t: "hello",
      protocol: 1,
      version: "0.0.0",
      instance: "first",
      engine: "engine",
      capacity: 1,
      labels: { os: "linux" },
      recipes: ["go"],
      unwell: null,
      draining: false,
      held: [held],
    },
    { t: "accept", ...held },
    { t: "reject", ...held, code: "policy", reason: "not from there" },
    { t: "done", ...held },
    { t: "status", capacity: 1, unwell: "disk 96 % full", draining: false },
  ],
  controlDown: [
    { t: "welcome", epoch: 1, agent: "default.0123456789abcdef", name: "smithy", drop: [held] },
    { t: "assign", ...held, target, lease: "e".repeat(64), deadline_ms: 60_000 },
    { t: "cancel", ...held, reason: "asked for" },
    { t: "drain" },
  ],
  attemptUp: [
    { t: "start", protocol: 1, instance: "first", workspace: "w" },
    {
      t: "log",
      entries: [{ seq: 1, time: "2026-01-01T00:00:00.000Z", level: "info", msg: "line" }],
    },
    { t: "phase", phase: "build" },
    {
      t: "upload",
      upload: UPLOAD,
      name: "tool.tar.gz",
      size: 1,
      sha256: SHA,
      content_type: "application/gzip",
    },
    { t: "ticket", upload: UPLOAD, part: 1 },
    { t: "uploaded", upload: UPLOAD, parts: [{ part: 1, etag: "etag" }] },
    {
      t: "result",
      outcome: "failed",
      class: "make_error",
      reason: "no.",
      last_seq: 1,
      uploads: [UPLOAD],
      repositories: ["git.example/o/tool"],
      phases: { build: 1 },
    },
  ],
  attemptDown: [
    { t: "ready", acked: 0, credentials: [] },
    { t: "ack", seq: 1 },
    { t: "cancel", outcome: "cancelled", reason: "asked for" },
    { t: "upload_ready", upload: UPLOAD, part_size: 1, parts: 1 },
    { t: "ticket", upload: UPLOAD, part: 1, ticket: "f".repeat(64) },
    { t: "upload_ok", upload: UPLOAD },
    { t: "upload_failed", upload: UPLOAD, code: "retry", message: "again" },
    { t: "result_ok", state: "failed" },
    { t: "refused", code: "lost", message: "over" },
  ],
};

const PARSERS = {
  controlUp: parseControlUp,
  controlDown: parseControlDown,
  attemptUp: parseAttemptUp,
  attemptDown: parseAttemptDown,
};
const ways = Object.keys(PARSERS) as (keyof typeof PARSERS)[];

/** The same with a member more in every object; `labels` and `phases` are maps, whose members are data. */
function withMore(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withMore);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([name, member]) => [
    name,
    name === "labels" || name === "phases" ? member : withMore(member),
  ]);
  return { ...Object.fromEntries(members), from_the_future: { much: ["more"] } };
}

test("a frame as the first version says it is understood, whatever was added since", () => {
  for (const way of ways)
    for (const frame of VERSION_1[way])
      assert.deepEqual(PARSERS[way](JSON.stringify(frame)), { frame }, `${way} ${frame.t}`);
});

test("members and frames that a later version adds are passed over", () => {
  for (const way of ways) {
    for (const frame of VERSION_1[way])
      assert.deepEqual(PARSERS[way](JSON.stringify(withMore(frame))), { frame }, frame.t);
    assert.deepEqual(PARSERS[way]('{"t":"from_the_future","held":7}'), { frame: null });
  }
});

test("a word that a later version adds counts as the plainest of its kind", () => {
  const [, , reject] = VERSION_1.controlUp;
  const rejected = parseControlUp(JSON.stringify({ ...reject, code: "moonphase" }));
  assert.deepEqual(rejected, { frame: { ...reject, code: "busy" } });
  const result = VERSION_1.attemptUp.at(-1);
  const ended = parseAttemptUp(JSON.stringify({ ...result, class: "beam_crash" }));
  assert.deepEqual(ended, { frame: { ...result, class: "agent_error" } });
});

test("versions one apart talk; those further apart are told both numbers and which side to upgrade", () => {
  const [hello] = VERSION_1.controlUp;
  const heard = (protocol: unknown) => tooFarApart(JSON.stringify({ ...hello, protocol }));
  for (const near of [-1, 0, 1]) assert.equal(heard(PROTOCOL_VERSION + near), null);
  assert.equal(
    heard(PROTOCOL_VERSION + 2),
    `The agent speaks protocol ${PROTOCOL_VERSION + 2}, the edge ${PROTOCOL_VERSION}: upgrade the edge.`,
  );
  assert.equal(
    heard(PROTOCOL_VERSION - 2),
    `The agent speaks protocol ${PROTOCOL_VERSION - 2}, the edge ${PROTOCOL_VERSION}: upgrade the agent.`,
  );
  const huge = heard(Number.MAX_SAFE_INTEGER) ?? "";
  assert.ok(Buffer.byteLength(huge) <= 123, "it fits into a close frame (RFC 6455 section 5.5)");
});

test("a hello that is far off is known by its version alone; anything else is no hello", () => {
  assert.match(tooFarApart('{"t":"hello","protocol":9,"capacity":"many"}') ?? "", /protocol 9/);
  const long = JSON.stringify({ t: "hello", protocol: 9, more: "x".repeat(FRAME_BYTES) });
  for (const other of [
    '{"t":"done","protocol":9}',
    "not json",
    "null",
    7,
    new ArrayBuffer(8),
    long,
  ])
    assert.equal(tooFarApart(other), null);
});
