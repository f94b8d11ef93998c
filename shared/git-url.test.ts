import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGitUrl } from "./git-url.ts";

const REMOTES = [["git.example", "http://127.0.0.1:3999/mirror"]] as const;

function parse(url: string): string {
  const parsed = parseGitUrl(url, REMOTES);
  return "error" in parsed ? parsed.error : [parsed.remote, ...parsed.path].join("/");
}

test("a repository is found in every form in which git takes its URL", () => {
  for (const url of [
    "https://github.com/ada/hello",
    "https://github.com/ada/hello.git",
    "https://github.com/ada/hello.git/",
    "https://GitHub.com:443/ada/hello",
    "http://github.com/ada/hello.git",
    "git://github.com/ada/hello.git",
    "ssh://git@github.com/ada/hello.git",
    "ssh://git@github.com:22/ada/hello",
    "git+ssh://git@github.com/ada/hello",
    "git@github.com:ada/hello.git",
    "github.com:ada/hello",
    "github.com/ada/hello",
  ])
    assert.equal(parse(url), "github.com/ada/hello", url);
  assert.equal(parse("https://gitlab.com/a/b/c/hello.git"), "gitlab.com/a/b/c/hello");
});

test("below the address that a remote is reached at, it is that remote", () => {
  assert.equal(parse("http://127.0.0.1:3999/mirror/ada/hello.git"), "git.example/ada/hello");
  assert.match(parse("http://127.0.0.1:3999/mirrored/ada/hello"), /is not one of a repository/);
});

test("a URL that holds a credential is refused, and not repeated", () => {
  for (const url of [
    "https://user:secret@github.com/ada/hello",
    "https://secret@github.com/ada/hello",
    "ssh://git:secret@github.com/ada/hello",
  ])
    assert.equal(parse(url), "holds a credential: leave it away", url);
});

test("what leads out of a host, to another port or into git's options is none", () => {
  for (const url of [
    "",
    "hello",
    "/etc/passwd",
    "file:///etc/passwd",
    "ext::sh -c id",
    "https://github.com",
    "https://github.com/ada",
    "https://github.com/ada/../hello",
    "https://github.com/ada/%2e%2e/hello",
    "https://github.com/ada/-hello",
    "https://github.com/ada/hello?ref=x",
    "https://github.com/ada/hello#x",
    "https://github.com:8443/ada/hello",
    "git@github.com:/ada/hello",
    "git@github.com:../ada/hello",
    "-oProxyCommand=id:ada/hello/..",
    `https://github.com/ada/${"x".repeat(2_000)}`,
    "https://github.com/ada/hello\n",
  ])
    assert.match(parse(url), /^(?:is not one of a repository|does not end in the owner)/, url);
});
