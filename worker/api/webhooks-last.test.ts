import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildRecord } from "../../shared/builds.ts";
import { describeWish } from "../../shared/railhead-file.ts";
import { packageRecord, recordOf } from "../../test/support/catalog.ts";
import { TARGET } from "../../test/support/pool-world.ts";
import { lastWishes } from "./webhooks-last.ts";

/** A Go build of `version`, as far as it matters here. */
function go(version: string, platform: string, make: string | null = null): BuildRecord {
  const [goos = "", goarch = ""] = platform.split("/");
  return recordOf(1, { target: { ...TARGET, goos, goarch, make, version } });
}

function of(tag: string, ...builds: BuildRecord[]): string[] {
  return lastWishes(builds, tag).map(describeWish);
}

test("a new tag gets what the highest version below it had, each once", () => {
  const builds = [
    go("v2.0.0", "linux/arm64"),
    go("v1.10.0", "linux/amd64"),
    go("v1.10.0", "linux/amd64", "dist"),
    go("v1.10.0", "linux/amd64"),
    go("v1.9.0", "darwin/arm64"),
  ];
  assert.deepEqual(of("v1.10.1", ...builds), ["linux/amd64", "linux/amd64 (make dist)"]);
  assert.deepEqual(of("v1.10.0", ...builds), ["darwin/arm64"]);
  assert.deepEqual(of("v3.0.0", ...builds), ["linux/arm64"]);
});

test("where versions have no order, what was built last counts", () => {
  const builds = [go("autumn", "linux/arm64"), go("summer", "linux/amd64")];
  assert.deepEqual(of("winter", ...builds), ["linux/arm64"]);
  assert.deepEqual(of("autumn", ...builds), ["linux/amd64"]);
  assert.deepEqual(of("v0.1.0", go("v1.0.0", "linux/amd64")), ["linux/amd64"]);
});

test("of a repository that was never built nothing is", () => {
  assert.deepEqual(of("v1.0.0"), []);
  assert.deepEqual(of("v1.0.0", go("v1.0.0", "linux/amd64")), []);
});

test("a package gets the Erlang versions that it had", () => {
  const made = { namespace: "acme", name: "web", version: "1.0.0", app: "web" };
  const builds = ["27", "25", "27"].map((erl_version) => ({
    ...packageRecord(1),
    package: { ...made, erl_version },
  }));
  assert.deepEqual(of("1.1.0", ...builds), [
    "erlang acme/web for Erlang/OTP 27",
    "erlang acme/web for Erlang/OTP 25",
  ]);
});
