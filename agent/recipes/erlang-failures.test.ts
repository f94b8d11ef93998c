import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { buildFailure } from "./erlang-failures.ts";
import { BUILD_EXIT } from "./erlang-scripts.ts";

const { package: PACKAGE, dependency: DEPENDENCY, no_tool: NO_TOOL } = BUILD_EXIT;

describe("a failed Erlang build says why", () => {
  const cases: [name: string, code: number, tail: string[], is: string, says: RegExp][] = [
    [
      "the first error of the package's own, not its warnings or a dependency's",
      PACKAGE,
      [
        "compiling dep with rebar3...",
        "src/dep.erl:1:2: an older error",
        "compiling tool with native...",
        "src/a.erl:3:8: Warning: variable 'Unused' is unused",
        "src/a.erl:3:20: function y/0 undefined",
        "src/b.erl:3:8: syntax error before: ']'",
      ],
      "compile_error",
      /^src\/a\.erl:3:20: function y\/0 undefined\.$/,
    ],
    [
      "a place without a column, as compilers of old have it",
      PACKAGE,
      ["src/a.erl:12: syntax error before: '.'"],
      "compile_error",
      /^src\/a\.erl:12: syntax error/,
    ],
    [
      "a file that cannot be read",
      PACKAGE,
      ['root.erl:{2,14}: can\'t find include lib "dep/include/dep.hrl"'],
      "compile_error",
      /can't find include lib/,
    ],
    [
      "what gcc did not like",
      PACKAGE,
      [
        "fast.c:3:5: warning: unused",
        "fast.c:4:1: error: expected ';'",
        "make: *** [fast.o] Error 1",
      ],
      "compile_error",
      /^fast\.c:4:1: error: expected/,
    ],
    [
      "which dependency does not compile",
      DEPENDENCY,
      ["compiling jose with rebar3...", "===> Compiling src/jose.erl failed", "jose.erl:1:2: no"],
      "dependency_error",
      /^The dependency jose does not compile: jose\.erl:1:2: no\.$/,
    ],
    [
      "a compile error, though a plugin could not be had",
      PACKAGE,
      ["===> Failed to update package pc from repo hexpm", "a.erl:1:2: no"],
      "compile_error",
      /^a\.erl:1:2: no\.$/,
    ],
    [
      "that there is no network, when that is all there is to say",
      PACKAGE,
      ['===> Failed to fetch and copy dep: {git,"https://nowhere/dep"}'],
      "dependency_error",
      /Builds have no network/,
    ],
    [
      "a hook that needs a plugin",
      PACKAGE,
      [
        "===> Failed to update package pc from repo hexpm",
        "===> Unable to run pre hooks for 'compile', command 'compile' in namespace 'pc' not found.",
      ],
      "config_error",
      /Plugins of rebar3/,
    ],
    [
      "a full disk before its consequences",
      PACKAGE,
      ["src/a.erl:1:2: no", "fast.o: No space left on device"],
      "disk_full",
      /more disk/,
    ],
    [
      "what was said before make gave up",
      PACKAGE,
      ["the sky is falling", "make[1]: *** [check] Error 3", "make: *** [all] Error 2"],
      "compile_error",
      /^the sky is falling\.$/,
    ],
    [
      "that there is nothing to build with",
      NO_TOOL,
      ["There is neither rebar3 nor rebar, in this image or in the repository."],
      "no_build_system",
      /neither rebar3 nor rebar/,
    ],
    ["that it was silent", PACKAGE, [], "compile_error", /did not say why/],
    ["a status that is none of ours", 2, ["oh"], "agent_error", /status 2: oh/],
  ];
  for (const [name, code, tail, is, says] of cases)
    test(name, () => {
      const failure = buildFailure(code, tail);
      assert.equal(failure.class, is);
      assert.match(failure.message, says);
    });

  test("a line of any length is quoted in short", () => {
    assert.ok(buildFailure(PACKAGE, [`a.erl:1:2: ${"x".repeat(20_000)}`]).message.length < 400);
  });
});
