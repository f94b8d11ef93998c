import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GO_PATH_CHARS } from "../limits.ts";
import {
  type GoPathError,
  type GoRequest,
  goArchiveName,
  goArtifactPath,
  goExecutableName,
  goFilePath,
  goPath,
  goTargetKey,
  isCommit,
  isGoPathError,
  parseGoPath,
} from "./go.ts";
import { GO_PLATFORMS } from "./go-platforms.ts";

function parsed(path: string, make: string | null = null): GoRequest {
  const result = parseGoPath(path, make);
  assert.ok(result !== null && !isGoPathError(result), `${path}: ${JSON.stringify(result)}`);
  return result;
}

function refused(path: string, make: string | null = null): GoPathError {
  const result = parseGoPath(path, make);
  assert.ok(result !== null && isGoPathError(result), `${path} was accepted`);
  assert.match(result.message, /^[\x20-\x7e]+$/);
  return result;
}

describe("Go paths", () => {
  test("torokko's path is understood", () => {
    assert.deepEqual(parsed("/github.com/monochromegane/torokko/linux/amd64/v0.0.1"), {
      remote: "github.com",
      path: ["monochromegane", "torokko"],
      goos: "linux",
      goarch: "amd64",
      version: "v0.0.1",
      make: null,
      file: null,
    });
  });

  test("every pair in the table is accepted", () => {
    for (const pair of GO_PLATFORMS) {
      const { goos, goarch } = parsed(`/github.com/o/r/${pair}/v1`);
      assert.equal(`${goos}/${goarch}`, pair);
    }
  });

  test("groups may nest, and the last name is the repository", () => {
    const request = parsed("/gitlab.com/a/b/c/d/linux/arm64/v1.0.0");
    assert.deepEqual(request.path, ["a", "b", "c", "d"]);
    assert.equal(goArchiveName(request), "d_linux_arm64.tar.gz");
  });

  test("a group that is called like a platform does not hide the repository", () => {
    assert.deepEqual(parsed("/gitlab.com/linux/amd64/linux/amd64/v1").path, ["linux", "amd64"]);
    assert.deepEqual(parsed("/gitlab.com/o/js/wasm/linux/amd64/v1").path, ["o", "js", "wasm"]);
  });

  test("the leftmost valid pair counts", () => {
    const request = parsed("/gitlab.com/o/r/linux/amd64/v1/r_linux_amd64.tar.gz");
    assert.equal(request.version, "v1");
    assert.equal(request.file, "r_linux_amd64.tar.gz");
    assert.equal(parsed("/git.example/o/r/linux/arm/linux").version, "linux");
  });

  test("the host is compared without case, names with it", () => {
    const request = parsed("/GitHub.COM/Owner/Repo/linux/amd64/V1");
    assert.equal(request.remote, "github.com");
    assert.deepEqual(request.path, ["Owner", "Repo"]);
    assert.equal(request.version, "V1");
  });

  test("a slash inside a tag is written %2F and stays so in every URL", () => {
    const request = parsed("/github.com/o/r/linux/amd64/cmd%2Ftool%2fv1.0.0");
    assert.equal(request.version, "cmd/tool/v1.0.0");
    assert.equal(goPath(request), "/github.com/o/r/linux/amd64/cmd%2Ftool%2Fv1.0.0");
    assert.deepEqual(parsed(goPath(request)), request);
  });

  test("versions may be tags, commits, ranges and branches", () => {
    for (const version of [
      "latest",
      "v1",
      "1.2",
      "v1.2.3-rc.1+build.5",
      "%5E1.2",
      "~1.2.0",
      "%3E=1.0%20%3C2.0",
      "1.x",
      "1.*",
      "feature%2Fnew",
      "0123456789abcdef0123456789abcdef01234567",
      "v0.0.0-20260101000000-abcdefabcdef",
      "release_1",
    ])
      parsed(`/github.com/o/r/linux/amd64/${version}`);
  });

  test("?target= takes the name of a make target, which becomes part of the key", () => {
    const request = parsed("/github.com/o/r/linux/amd64/v1", "release");
    assert.equal(goPath(request), "/github.com/o/r/linux/amd64/v1?target=release");
    const plain = parsed("/github.com/o/r/linux/amd64/v1");
    assert.notEqual(
      goTargetKey({ ...request, visibility: "public" }),
      goTargetKey({ ...plain, visibility: "public" }),
    );
    for (const make of ["", "-C/", "a b", "$(x)", "a/b", "A=1", "x".repeat(65), "a\nb"])
      assert.equal(refused("/github.com/o/r/linux/amd64/v1", make).code, "bad_path", make);
  });

  test("what is private never shares a key with what is public", () => {
    const request = parsed("/github.com/o/r/linux/amd64/v1");
    assert.notEqual(
      goTargetKey({ ...request, visibility: "public" }),
      goTargetKey({ ...request, visibility: "private" }),
    );
  });

  test("the files have the names that clients expect", () => {
    const linux = parsed("/github.com/o/tool/linux/amd64/v1");
    assert.equal(
      goArtifactPath(linux),
      "/github.com/o/tool/linux/amd64/v1/tool_linux_amd64.tar.gz",
    );
    assert.equal(goExecutableName(linux), "tool");
    assert.equal(goExecutableName(parsed("/github.com/o/tool/windows/386/v1")), "tool.exe");
    assert.equal(goExecutableName(parsed("/github.com/o/tool/wasip1/wasm/v1")), "tool.wasm");
    assert.equal(
      goFilePath(parsed("/github.com/o/tool/linux/amd64/v1", "all"), "checksums.txt"),
      "/github.com/o/tool/linux/amd64/v1/checksums.txt?target=all",
    );
  });

  test("other routes are left alone", () => {
    for (const path of [
      "/",
      "/builds/x",
      "/api/agents/a.b",
      "/healthz",
      "/favicon.ico",
      "/agent/x",
      "//",
      "//builds/x",
      "//favicon.ico",
    ])
      assert.equal(parseGoPath(path), null, path);
  });

  test("an unknown pair is answered with the likely ones first, and with all", () => {
    const typo = refused("/github.com/o/r/linux/amd46/v1");
    assert.equal(typo.code, "unknown_platform");
    assert.match(typo.message, /^"linux\/amd46" is no .* Near it: linux\/amd64, /);
    assert.ok("valid" in typo);
    assert.deepEqual([...typo.valid].sort(), [...GO_PLATFORMS].sort());

    const upper = refused("/github.com/o/r/Linux/AMD64/v1");
    assert.ok("valid" in upper && upper.valid[0] === "linux/amd64");
    const swapped = refused("/github.com/o/r/amd64/linux/v1");
    assert.equal(swapped.code, "unknown_platform");
    const nested = refused("/gitlab.com/a/b/c/darwin/amd65/v1");
    assert.ok("valid" in nested && nested.valid[0] === "darwin/amd64");
    refused("/github.com/o/r/constructor/prototype/v1");
    refused("/github.com/o/r/__proto__/amd64/v1");
  });

  test("every malformed path is refused with a sentence", () => {
    const tail = "linux/amd64/v1";
    for (const path of [
      "/github.com/o",
      "/github.com/o/r",
      "/github.com/o/r/linux/amd64",
      "/github.com/o/r/linux/amd64/",
      `/github.com//r/${tail}`,
      `//github.com/o/r/${tail}`,
      `///github.com/o/r/${tail}`,
      `/github.com/o/r/${tail}/`,
      `/github.com/o/r/${tail}/file/more`,
      `/github.com/o/r/x/linux/amd64`,
      `/.com/o/r/${tail}`,
      `/github..com/o/r/${tail}`,
      `/-x.com/o/r/${tail}`,
      `/github.com:8080/o/r/${tail}`,
      `/user@github.com/o/r/${tail}`,
      `/github.com%2Fevil/o/r/${tail}`,
      `/gith%00ub.com/o/r/${tail}`,
      `/${"a".repeat(130)}.com/o/r/${tail}`,
      `/github.com/../r/${tail}`,
      `/github.com/%2e%2e/r/${tail}`,
      `/github.com/o/%2E/${tail}`,
      `/github.com/o/..%2fx/${tail}`,
      `/github.com/-o/r/${tail}`,
      `/github.com/o/--upload-pack=x/${tail}`,
      `/github.com/o/r%00/${tail}`,
      `/github.com/o/r%0a/${tail}`,
      `/github.com/o/r%20x/${tail}`,
      `/github.com/o/r%5Cx/${tail}`,
      `/github.com/o/r%c3%a9/${tail}`,
      `/github.com/o/r.git/${tail}`,
      `/github.com/o/${"r".repeat(129)}/${tail}`,
      `/github.com/o/${"r".repeat(10_000)}/${tail}`,
      `/github.com/o/r%/${tail}`,
      `/github.com/o/r%ff/${tail}`,
      `/github.com/${"g/".repeat(8)}r/${tail}`,
      `/github.com/${"a".repeat(128)}/${`${"b".repeat(128)}/`.repeat(6)}r/${tail}`,
      "/github.com/o/r/linux/amd64/-v1",
      "/github.com/o/r/linux/amd64/..",
      "/github.com/o/r/linux/amd64/%2e%2e",
      "/github.com/o/r/linux/amd64/a%2F..%2Fb",
      "/github.com/o/r/linux/amd64/a%2F%2Fb",
      "/github.com/o/r/linux/amd64/%2Fv1",
      "/github.com/o/r/linux/amd64/v1%2F",
      "/github.com/o/r/linux/amd64/v1.lock",
      "/github.com/o/r/linux/amd64/v1%00",
      "/github.com/o/r/linux/amd64/v1%0d%0aX:%20y",
      "/github.com/o/r/linux/amd64/v1%1b%5b31m",
      "/github.com/o/r/linux/amd64/v@%7B1%7D",
      "/github.com/o/r/linux/amd64/%24(id)",
      "/github.com/o/r/linux/amd64/v1'",
      `/github.com/o/r/linux/amd64/${"v".repeat(129)}`,
      "/github.com/o/r/linux/amd64/v1/..%2fsecret",
      "/github.com/o/r/linux/amd64/v1/%2e%2e",
      "/github.com/o/r/linux/amd64/v1/-rf",
      "/github.com/o/r/linux/amd64/v1/a%22b",
      "/github.com/o/r/linux/amd64/v1/a%0ab",
    ])
      assert.equal(refused(path).code, "bad_path", path);
  });

  test("the longest path that is accepted still fits a key", () => {
    const names = Array.from({ length: 5 }, () => "n".repeat(120)).join("/");
    const request = parsed(`/github.com/${names}/linux/amd64/v1`);
    assert.ok(goTargetKey({ ...request, visibility: "private" }).length < GO_PATH_CHARS + 40);
  });

  test("only a whole commit names one thing for ever", () => {
    assert.ok(isCommit("0123456789abcdef0123456789abcdef01234567"));
    assert.ok(isCommit("a".repeat(64)));
    assert.ok(!isCommit("0123456"));
    assert.ok(!isCommit("A".repeat(40)));
  });
});
