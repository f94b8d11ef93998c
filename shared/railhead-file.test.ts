import assert from "node:assert/strict";
import { test } from "node:test";
import { describeWish, parseRailheadFile } from "./railhead-file.ts";

test("a repository lists platforms, make targets, packages and Erlang versions", () => {
  const parsed = parseRailheadFile(`{
    "$schema": "whatever a later version may add",
    "builds": [
      "linux/amd64",
      {"platform": "windows/arm64", "target": "dist"},
      "erlang",
      {"erlang": "27"},
      {"erlang": "25", "full_name": "acme/web"}
    ]
  }`);
  assert.ok("wishes" in parsed);
  assert.deepEqual(parsed.wishes.map(describeWish), [
    "linux/amd64",
    "windows/arm64 (make dist)",
    "erlang",
    "erlang for Erlang/OTP 27",
    "erlang acme/web for Erlang/OTP 25",
  ]);
  assert.deepEqual(parseRailheadFile('{"builds": []}'), { wishes: [] });
});

test("what it cannot mean is named, never left out", () => {
  const many = JSON.stringify({ builds: Array(33).fill("linux/amd64") });
  for (const [text, why] of [
    ["", /^it is no JSON$/],
    ["[", /^it is no JSON$/],
    ["[]", /expected object/],
    ["{}", /^"builds" is missing$/],
    [many, /^"builds" is refused: /],
    ['{"builds": ["linux/vax"]}', /^builds\.0 is neither a platform/],
    [
      '{"builds": ["linux/amd64", {"platform": "linux/amd64", "make": "x"}]}',
      /^"builds\.1" is refused: .*"make"/,
    ],
    ['{"builds": [{"platform": "linux/amd64", "target": "-C /"}]}', /^builds\.0 is neither/],
    ['{"builds": [{"erlang": "27; id"}]}', /^builds\.0 is neither/],
    ['{"builds": [{"erlang": "27", "full_name": "../x"}]}', /^builds\.0 is neither/],
    ['{"builds": [{"erlang": "27", "full_name": "a/b/c"}]}', /^builds\.0 is neither/],
  ] as const) {
    const parsed = parseRailheadFile(text);
    assert.ok("error" in parsed, text);
    assert.match(parsed.error, why, text);
  }
});
