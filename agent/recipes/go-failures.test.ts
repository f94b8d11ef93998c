import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { buildFailure, moduleFailure } from "./go-failures.ts";
import { NO_MAIN_PACKAGE } from "./go-scripts.ts";

describe("a failed build says why", () => {
  const cases: [
    name: string,
    way: "make" | "default",
    code: number,
    tail: string[],
    is: string,
    says: RegExp,
  ][] = [
    [
      "the first compile error, not the last",
      "default",
      1,
      ["# git.example/a/b", "./main.go:3:15: undefined: missing", "./main.go:4:1: too many errors"],
      "compile_error",
      /^\.\/main\.go:3:15: undefined: missing\.$/,
    ],
    [
      "a compile error under make",
      "make",
      2,
      ["go build -o out .", "cmd/x/x.go:9:2: syntax error", "make: *** [Makefile:3: all] Error 1"],
      "compile_error",
      /^cmd\/x\/x\.go:9:2: syntax error\.$/,
    ],
    [
      "what a recipe said before make gave up",
      "make",
      2,
      [
        "the tests do not pass",
        "make[1]: *** [Makefile:2: check] Error 3",
        "make: *** [all] Error 2",
      ],
      "make_error",
      /^make ended with status 2: the tests do not pass\.$/,
    ],
    [
      "a target that the makefile lacks",
      "make",
      2,
      ["make: *** No rule to make target 'dist'.  Stop."],
      "make_error",
      /No rule to make target 'dist'.*Name one of/,
    ],
    [
      "a program that the builder image lacks",
      "make",
      2,
      ["/bin/sh: 1: node: not found", "make: *** [Makefile:2: all] Error 127"],
      "make_error",
      /node: not found.*another image/,
    ],
    [
      "a module that was not fetched",
      "make",
      2,
      ["go: example.com/tool@latest: module lookup disabled by GOPROXY=off", "make: *** Error 1"],
      "module_error",
      /no network/,
    ],
    [
      "an incomplete go.sum",
      "default",
      1,
      ["main.go:2:8: missing go.sum entry for module providing package ex.com/lib"],
      "module_error",
      /go mod tidy/,
    ],
    [
      "a Go that is too old",
      "default",
      1,
      ["go: go.mod requires go >= 1.99 (running go 1.24.4; GOTOOLCHAIN=local)"],
      "module_error",
      /newer Go/,
    ],
    [
      "a full disk before its consequences",
      "default",
      1,
      [
        "x.go:1:1: cannot read",
        "compile: writing output: write $WORK/b001/_pkg_.a: no space left on device",
      ],
      "disk_full",
      /more disk/,
    ],
    [
      "too many processes",
      "make",
      2,
      ["/bin/sh: 0: fork: Resource temporarily unavailable"],
      "too_many_processes",
      /more processes/,
    ],
    [
      "too many processes, in dash's words",
      "make",
      2,
      ["/bin/sh: 1: Cannot fork", "make: *** [Makefile:2: all] Error 2"],
      "too_many_processes",
      /more processes/,
    ],
    [
      "a platform that needs cgo",
      "default",
      1,
      ["android/386 requires external (cgo) linking, but cgo is not enabled"],
      "compile_error",
      /without cgo/,
    ],
    [
      "which packages there are instead of a main one",
      "default",
      NO_MAIN_PACKAGE,
      [
        "There is no main package for linux/amd64. What there is:",
        "package a.b/c",
        "package a.b/c/d",
      ],
      "no_main_package",
      /only libraries: a\.b\/c, a\.b\/c\/d/,
    ],
    [
      "that there is not even a library",
      "default",
      NO_MAIN_PACKAGE,
      [],
      "no_main_package",
      /no other Go package/,
    ],
    [
      "the status when nothing was said",
      "make",
      7,
      [],
      "make_error",
      /^make ended with status 7\.$/,
    ],
  ];
  for (const [name, way, code, tail, is, says] of cases)
    test(name, () => {
      const failure = buildFailure(code, tail, way);
      assert.equal(failure.class, is);
      assert.match(failure.message, says);
    });

  test("a makefile may end with the status that we use ourselves", () => {
    assert.equal(buildFailure(NO_MAIN_PACKAGE, ["oh"], "make").class, "make_error");
  });

  test("a line of any length is quoted in short", () => {
    const failure = buildFailure(2, ["x".repeat(20_000)], "make");
    assert.ok(failure.message.length < 400);
  });

  test("modules that cannot be had are a class of their own", () => {
    const failure = moduleFailure(["go: ex.com/lib@v1.0.0: reading http://…: 404 Not Found"]);
    assert.equal(failure.class, "module_error");
    assert.match(failure.message, /404 Not Found/);
  });
});
