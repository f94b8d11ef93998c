import assert from "node:assert/strict";
import { test } from "node:test";
import { committerSchema, mailSenderSchema, noticeOf } from "./notice.ts";

const MADE = { namespace: "acme", name: "web", version: "1.0.0", erl_version: "27", app: "web" };
const FACTS = { page: "https://r.example/builds/1", log: "https://r.example/builds/1/logs" };

test("nothing that a repository chose can add a header, a line's end or a terminal's command", () => {
  const hostile = "1.0\r\nBcc: eve@example.com\u2028\u001b[31m\u0085x";
  const { subject, text } = noticeOf({
    ...FACTS,
    package: { ...MADE, version: hostile },
    succeeded: false,
    reason: "no\r\n\r\n<html>",
    tail: ["a\rb\u001b]0;title\u0007", "\u0000"],
  });
  assert.equal(subject, "Failed: acme/web 1.0 Bcc: eve@example.com [31m x for Erlang/OTP 27");
  assert.match(text, /^The build of .* failed: no <html>\n\nBuild: /);
  assert.match(text, /\n {2}a b \]0;title\n {2}\n$/);
});

test("a mail is small, whatever was built", () => {
  const { subject, text } = noticeOf({
    ...FACTS,
    package: { ...MADE, name: "x".repeat(10_000) },
    succeeded: false,
    reason: "y".repeat(100_000),
    tail: Array.from({ length: 1_000 }, () => "z".repeat(16_000)),
  });
  assert.ok(subject.length <= 150 && subject.endsWith("…"));
  assert.ok(text.length < 20_000, `${text.length}`);
});

test("only one plain address is a committer, and a sender may have a name", () => {
  assert.ok(committerSchema.safeParse("ada@example.com").success);
  for (const text of [
    "",
    "ada",
    "ada@example.com\r\nBcc: eve@example.com",
    "ada@example.com, eve@example.com",
    "Ada <ada@example.com>",
    "<ada@example.com>",
    `${"a".repeat(300)}@example.com`,
    "ada@example.com\n",
  ])
    assert.ok(!committerSchema.safeParse(text).success, text);
  for (const text of ["builds@example.com", "Railhead <builds@example.com>"])
    assert.ok(mailSenderSchema.safeParse(text).success, text);
  for (const text of [
    "",
    "Railhead",
    "Rail\nhead <builds@example.com>",
    "a <b>, c <d@example.com>",
  ])
    assert.ok(!mailSenderSchema.safeParse(text).success, text);
});
