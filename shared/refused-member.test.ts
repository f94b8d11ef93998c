import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { refusedMember } from "./refused-member.ts";

const schema = z.object({
  url: z.string(),
  kind: z.enum(["a", "b"]).default("a"),
  lists: z.array(z.object({ of: z.union([z.string(), z.number()]) })).default([]),
});

function told(value: unknown): string {
  const parsed = schema.safeParse(value);
  assert.ok(!parsed.success);
  return refusedMember(parsed.error).text;
}

test("a member that is not there is called missing, whatever it should have been", () => {
  assert.equal(told({}), '"url" is missing');
  assert.equal(told({ url: "x", lists: [{}] }), '"lists.0.of" is missing');
  assert.equal(told(undefined), "it is missing");
});

test("a member that is wrong is named with what is the matter", () => {
  assert.match(told({ url: 1 }), /^"url" is refused: .*expected string/);
  assert.match(told({ url: "x", kind: "c" }), /^"kind" is refused: /);
  assert.match(told(1), /expected object/);
});
