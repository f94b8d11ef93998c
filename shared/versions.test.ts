import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  branchTip,
  exactTag,
  expandCommit,
  isAdvertised,
  isRange,
  isWholeVersion,
  latestTag,
  nearestTags,
  newestFirst,
  type Ref,
  rangedTag,
} from "./versions.ts";

function oid(n: number): string {
  return n.toString(16).padStart(40, "0");
}

function tags(...names: string[]): Ref[] {
  return names.map((name, i) => ({ ref: `refs/tags/${name}`, oid: oid(i + 1) }));
}

const TAGS = tags("v0.9.0", "v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0-rc.1", "nightly", "cmd/v9.0.0");

describe("versions", () => {
  test("a tag is itself, and an annotated one is the commit behind it", () => {
    assert.deepEqual(exactTag("v1.0.0", TAGS), { version: "v1.0.0", commit: oid(2) });
    const annotated = [{ ref: "refs/tags/v1", oid: oid(1), peeled: oid(9) }];
    assert.deepEqual(exactTag("v1", annotated), { version: "v1", commit: oid(9) });
    assert.equal(exactTag("v1.0", TAGS), null);
  });

  test("latest is the highest release, not the last tag, and no pre-release", () => {
    assert.equal(latestTag(TAGS)?.version, "v1.10.0");
  });

  test("where everything is a pre-release, latest is the highest of them", () => {
    assert.equal(latestTag(tags("v1.0.0-rc.2", "v1.0.0-rc.10"))?.version, "v1.0.0-rc.10");
    assert.equal(latestTag(tags("nightly")), null);
    assert.equal(latestTag([]), null);
  });

  test("tags of two numbers count as versions", () => {
    assert.equal(latestTag(tags("1.9", "1.10", "1.2.5"))?.version, "1.10");
  });

  test("a range takes the highest release within it", () => {
    for (const [range, version] of [
      ["v1", "v1.10.0"],
      ["1", "v1.10.0"],
      ["1.2", "v1.2.0"],
      ["^1.2", "v1.10.0"],
      ["~1.2.0", "v1.2.0"],
      [">=1.0 <1.5", "v1.2.0"],
      ["1.x", "v1.10.0"],
      ["1.*", "v1.10.0"],
      ["<1", "v0.9.0"],
    ] as const)
      assert.equal(rangedTag(range, TAGS)?.version, version, range);
    assert.equal(rangedTag("v3", TAGS), null);
    assert.equal(rangedTag("v2", TAGS), null, "a pre-release is never taken unasked");
  });

  test("a whole version is exact and never a range", () => {
    for (const version of ["v1.2.3", "1.2.3", "v1.2.3-rc.1", "v1.2.3+incompatible"]) {
      assert.ok(isWholeVersion(version), version);
      assert.ok(!isRange(version), version);
    }
    assert.equal(rangedTag("1.0.0", TAGS), null, "v1.0.0 has another name");
    for (const version of ["main", "x", "latest", "nightly", "release/1.2", "feature-1"])
      assert.ok(!isRange(version), version);
  });

  test("a branch is the commit at its tip", () => {
    const heads = [{ ref: "refs/heads/feature/x", oid: oid(7) }];
    assert.deepEqual(branchTip("feature/x", heads), { version: oid(7), commit: oid(7) });
    assert.equal(branchTip("x", heads), null);
  });

  test("a commit at a tip is told from any other", () => {
    const refs = [{ ref: "refs/tags/v1", oid: oid(1), peeled: oid(2) }];
    assert.ok(isAdvertised(oid(2), refs));
    assert.ok(!isAdvertised(oid(1), refs), "the tag object is no commit");
    assert.deepEqual(expandCommit(oid(2).slice(0, 8), refs), [oid(2)]);
  });

  test("an unknown version is answered with the tags that were likely meant", () => {
    assert.equal(nearestTags("v1.2", TAGS)[0], "v1.2.0");
    assert.equal(nearestTags("1.0.0", TAGS)[0], "v1.0.0");
    assert.equal(nearestTags("nigthly", TAGS)[0], "nightly");
    assert.ok(nearestTags("v1.11.0", TAGS).includes("v1.10.0"));
    assert.ok(nearestTags("v9.9.9", TAGS).length <= 5);
    assert.deepEqual(
      nearestTags("v1.1.0", tags("v1.0.0", "v2.1.0", "v1.2.0", "v1.1.5", "nightly")),
      ["v1.1.5", "v1.2.0", "v1.0.0", "v2.1.0", "nightly"],
    );
    assert.deepEqual(nearestTags("v1", []), []);
  });

  test("ten thousand tags are searched in no time", () => {
    const many = tags(...Array.from({ length: 10_000 }, (_, i) => `v1.${i}.0`));
    assert.equal(rangedTag("v1", many)?.version, "v1.9999.0");
    assert.ok(nearestTags("v1.9998.1", many).includes("v1.9998.0"));
  });
});

test("versions are listed highest first, and names that are none behind them as they came", () => {
  assert.deepEqual(newestFirst(["v0.9", "zeta", "v1.10.0", "v1.2.0", "1.3.0-rc.1", "alpha"]), [
    "v1.10.0",
    "1.3.0-rc.1",
    "v1.2.0",
    "v0.9",
    "zeta",
    "alpha",
  ]);
});
