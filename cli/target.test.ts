import assert from "node:assert/strict";
import { test } from "node:test";
import { CliError, EXIT } from "./errors.ts";
import { parseTarget } from "./target.ts";

const PATH = "/github.com/owner/repo/linux/amd64/v1.0.0";

test("a target may be written with and without its slash, or as a URL copied from anywhere", () => {
  for (const [text, origin] of [
    ["github.com/owner/repo/linux/amd64/v1.0.0", undefined],
    [PATH, undefined],
    [`https://railhead.example${PATH}`, "https://railhead.example"],
    [`http://127.0.0.1:8787${PATH}`, "http://127.0.0.1:8787"],
    ["https://github.com/owner/repo/linux/amd64/v1.0.0", undefined],
  ] as const)
    assert.deepEqual(
      [parseTarget(text).path, parseTarget(text).origin],
      [PATH, origin],
      `of ${text}`,
    );
});

test("a file, a make target and a version with a slash stay what they are", () => {
  assert.equal(parseTarget(`${PATH}/repo.sha256`).path, `${PATH}/repo.sha256`);
  assert.equal(parseTarget(`${PATH}?target=tools`).path, `${PATH}?target=tools`);
  const tag = "gitlab.com/a/b/c/linux/arm64/release%2F1";
  assert.equal(parseTarget(tag).path, `/${tag}`);
});

test("what is no target is a usage error that says what one looks like", () => {
  for (const text of [
    "",
    "repo",
    "owner/repo",
    "not a path",
    "ftp://x",
    "https://github.com/owner/repo",
  ])
    assert.throws(
      () => parseTarget(text),
      (error: unknown) => error instanceof CliError && error.status === EXIT.usage,
      text,
    );
});
