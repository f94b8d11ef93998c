import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decide } from "./conditions.ts";

const FILE = { etag: '"abc"', modified_at: Date.parse("2026-01-02T03:04:05.678Z"), size: 1000 };
const SAME = "Fri, 02 Jan 2026 03:04:05 GMT";
const BEFORE = "Fri, 02 Jan 2026 03:04:04 GMT";

function answer(headers: Record<string, string>, method = "GET", file = FILE) {
  return decide(method, new Headers(headers), file);
}

describe("conditional and range requests", () => {
  test("nothing asked means the whole", () => {
    assert.deepEqual(answer({}), { status: 200 });
  });

  test("what the client has is not sent again", () => {
    for (const value of ['"abc"', 'W/"abc"', '"x", "abc"', "*"])
      assert.deepEqual(answer({ "if-none-match": value }), { status: 304 }, value);
    assert.deepEqual(answer({ "if-none-match": '"x"' }), { status: 200 });
    assert.deepEqual(answer({ "if-modified-since": SAME }), { status: 304 });
    assert.deepEqual(answer({ "if-modified-since": BEFORE }), { status: 200 });
    assert.deepEqual(answer({ "if-modified-since": "nonsense" }), { status: 200 });
    assert.deepEqual(
      answer({ "if-none-match": '"x"', "if-modified-since": SAME }),
      { status: 200 },
      "the tag counts before the date",
    );
  });

  test("a precondition that fails is 412", () => {
    assert.deepEqual(answer({ "if-match": '"x"' }), { status: 412 });
    assert.deepEqual(answer({ "if-match": 'W/"abc"' }), { status: 412 });
    assert.deepEqual(answer({ "if-match": '"abc"' }), { status: 200 });
    assert.deepEqual(answer({ "if-match": "*" }), { status: 200 });
    assert.deepEqual(answer({ "if-unmodified-since": BEFORE }), { status: 412 });
    assert.deepEqual(answer({ "if-unmodified-since": SAME }), { status: 200 });
    assert.deepEqual(answer({ "if-match": '"x"', "if-none-match": '"abc"' }), { status: 412 });
  });

  test("one range is served as asked", () => {
    const part = (offset: number, length: number) => ({ status: 206, offset, length });
    assert.deepEqual(answer({ range: "bytes=0-0" }), part(0, 1));
    assert.deepEqual(answer({ range: "bytes=10-19" }), part(10, 10));
    assert.deepEqual(answer({ range: "bytes=990-" }), part(990, 10));
    assert.deepEqual(answer({ range: "bytes=990-5000" }), part(990, 10));
    assert.deepEqual(answer({ range: "bytes=-10" }), part(990, 10));
    assert.deepEqual(answer({ range: "bytes=-5000" }), part(0, 1000));
    assert.deepEqual(answer({ range: "Bytes=5-" }), part(5, 995));
  });

  test("a range behind the end is 416", () => {
    for (const range of ["bytes=1000-", "bytes=999999999-", "bytes=-0", "bytes=1000-2000"])
      assert.deepEqual(answer({ range }), { status: 416 }, range);
    assert.deepEqual(answer({ range: "bytes=0-" }, "GET", { ...FILE, size: 0 }), { status: 416 });
  });

  test("what is no single byte range is answered with the whole", () => {
    for (const range of [
      "bytes=abc",
      "bytes=-",
      "bytes=5-1",
      "bytes=0-1,5-6",
      "items=0-1",
      "bytes=0-99999999999999999999",
      "0-1",
    ])
      assert.deepEqual(answer({ range }), { status: 200 }, range);
  });

  test("a resumed download gets the whole when the file is another one", () => {
    const range = "bytes=500-";
    const rest = { status: 206, offset: 500, length: 500 };
    assert.deepEqual(answer({ range, "if-range": '"abc"' }), rest);
    assert.deepEqual(answer({ range, "if-range": SAME }), rest);
    assert.deepEqual(answer({ range, "if-range": '"x"' }), { status: 200 });
    assert.deepEqual(answer({ range, "if-range": 'W/"abc"' }), { status: 200 });
    assert.deepEqual(answer({ range, "if-range": BEFORE }), { status: 200 });
    assert.deepEqual(answer({ range, "if-none-match": '"abc"' }), { status: 304 });
  });

  test("HEAD knows no ranges", () => {
    assert.deepEqual(answer({ range: "bytes=0-1" }, "HEAD"), { status: 200 });
    assert.deepEqual(answer({ "if-none-match": '"abc"' }, "HEAD"), { status: 304 });
  });
});
