import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, parseDuration, size, table } from "./terminal.ts";

test("sizes and times are written as people read them", () => {
  assert.deepEqual([0, 1023, 1024, 5 * 1024 ** 3].map(size), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "5.0 GiB",
  ]);
  assert.deepEqual([850, 12_000, 185_000, 7_800_000, 3 * 86_400_000].map(duration), [
    "850 ms",
    "12 s",
    "3 min 5 s",
    "2 h 10 min",
    "3 days",
  ]);
});

test("a time that a token lasts is a number with a unit, and nothing else", () => {
  assert.deepEqual(
    ["90s", "15m", "12h", "30d", "2w"].map(parseDuration),
    [90, 900, 43_200, 2_592_000, 1_209_600],
  );
  for (const text of ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "1y"])
    assert.equal(parseDuration(text), null, text);
});

test("columns are as wide as their widest cell", () => {
  assert.equal(
    table(
      ["NAME", "N"],
      [
        ["a", "1"],
        ["longer", "22"],
      ],
    ),
    "NAME    N\na       1\nlonger  22",
  );
});
