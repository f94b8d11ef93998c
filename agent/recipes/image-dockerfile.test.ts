import assert from "node:assert/strict";
import { test } from "node:test";
import type { Builder } from "../docker/contracts.ts";
import {
  isBuilderArgument,
  isProxyArgument,
  readDockerfile,
  refusedTriggers,
} from "./image-dockerfile.ts";

type Kind = Builder["kind"];

function images(text: string, args: Record<string, string> = {}, kind: Kind = "classic"): string[] {
  const reading = readDockerfile(text, args, kind);
  if (reading.kind === "refused") throw new Error(reading.reason);
  return reading.images;
}

function reason(text: string, kind: Kind = "classic"): string {
  const reading = readDockerfile(text, {}, kind);
  return reading.kind === "refused" ? reading.reason : "";
}

test("images that the engine must have are found: FROM, COPY --from, without stages and scratch", () => {
  const text = `# a comment
ARG VERSION=1
FROM golang:\${VERSION} AS build
COPY --from=registry.example:5000/tools:2 /bin/tool /bin/
from debian:trixie-slim as Run
COPY --chown=1:1 --from=build /out /out
COPY --from=0 /out /out
FROM scratch
COPY --from=run / /
FROM BUILD
`;
  assert.deepEqual(images(text), [
    "golang:1",
    "registry.example:5000/tools:2",
    "debian:trixie-slim",
  ]);
});

const FROMS: [string, Record<string, string>, string[]][] = [
  ["ARG A=b\nFROM $A", {}, ["b"]],
  ["ARG A=b\nFROM $A", { A: "c" }, ["c"]],
  [`ARG A\nFROM \${A:-d}`, {}, ["d"]],
  [`ARG A=x\nFROM base\${A:+-alpine}`, {}, ["base-alpine"]],
  [`ARG A="b:1"\nARG B=$A\nFROM \${B}`, {}, ["b:1"]],
  ["ARG A=one B=two\nFROM $B/$A", {}, ["two/one"]],
  ["FROM a \\\n# between\n\n  AS b\nFROM b", {}, ["a"]],
  ["# escape=`\nFROM a `\n AS b\nFROM b", {}, ["a"]],
  ["\ufeffFROM a\r\nRUN x\r\n", {}, ["a"]],
];
test("an image is named by ARG defaults and build arguments, as the engine resolves them", () => {
  for (const [text, args, expected] of FROMS) assert.deepEqual(images(text, args), expected, text);
});

const UNRESOLVED = [
  "FROM $A",
  "ARG A\nFROM $A",
  "FROM a\nARG B=c\nFROM $B",
  `FROM \${A:?no}`,
  "FROM 'a'",
];
test("an image that is not known before the build is refused", () => {
  for (const text of UNRESOLVED) assert.match(reason(text), /not known before/, text);
  assert.match(reason("FROM --platform=$BUILDPLATFORM a"), /own platform alone: remove the flags/);
  assert.match(reason("FROM a b c"), /no FROM/);
  assert.match(reason("FROM a\nCOPY --from=$X / /"), /as it is/);
});

const FETCHED = [
  "ADD http://127.0.0.1/x /x",
  "add HTTPS://host/x /x",
  "  \tADD\thttp://host/x /x",
  "ADD a http://host/x /x/",
  'ADD ["http://host/x", "/x"]',
  'ADD --chown=1:1 ["a", "http://host/x", "/x"]',
  'ADD ["h\\u0074tp://host/x", "/x"]',
  "ADD --chmod=7 --chown=1 http://host/x /x",
  "ADD git@github.com:a/b.git /x",
  "ADD me@host:a/b.git /x",
  "ADD \\\nhttp://host/x /x",
  "ADD \\\n# comment\n\nhttp://host/x /x",
  "AD\\\nD http://host/x /x",
  "ONBUILD ADD http://host/x /x",
  "ONBUILD ONBUILD ADD http://host/x /x",
  "RUN a\\\\\nADD http://host/x /x",
  "RUN a \\\n  # comment\nADD http://host/x /x",
  "RUN a `\nADD http://host/x /x",
];
test("what the engine would fetch itself is refused, in every spelling", () => {
  for (const line of FETCHED)
    for (const kind of ["classic", "buildkit"] as const)
      assert.match(
        reason(`FROM a\n${line}\n`, kind),
        /the engine itself|as it is, without|stand there|an ONBUILD within/,
        line,
      );
  assert.match(reason("# escape=`\nFROM a\nADD `\nhttp://host/x /x"), /the engine itself/);
});

const HIDDEN = [
  "ADD $URL /x",
  `ADD \${URL} /x`,
  'ADD ["$URL", "/x"]',
  'ADD h"tt"p:/""/host/x /x',
  "ADD h\\ttp:/\\/host /x",
  "ADD 'a' /x",
];
test("a source of ADD that the engine rewrites is refused", () => {
  for (const line of HIDDEN) assert.match(reason(`FROM a\n${line}\n`), /without variables/, line);
});

const HARMLESS = [
  "ADD . /x",
  "ADD a.tar.gz b /x/",
  "ADD a $HOME/x",
  'ADD ["a b", "/x y"]',
  "RUN curl http://host/x && echo ADD http://host/x /x",
  "RUN echo \\\nADD http://host/x /x",
  "# ADD http://host/x /x",
  "ENV URL=http://host/x",
  "COPY $X 'y z' /x",
  "LABEL url=http://host ADD=http://host",
  "RUN echo $((1 << 2)) <<<word",
  "RUN true && \\\n  { echo a; }",
];
test("honest instructions are not refused", () => {
  for (const line of HARMLESS)
    for (const kind of ["classic", "buildkit"] as const)
      assert.equal(reason(`FROM a\n${line}\n`, kind), "", line);
});

test("other frontends, here-documents and control characters are refused", () => {
  assert.match(reason("# syntax=docker/dockerfile:1\nFROM a"), /# syntax=/);
  assert.match(reason("#  SYNTAX = evil/frontend\nFROM a"), /# syntax=/);
  assert.match(reason("# escape=`\n# check=skip=all\nFROM a"), /# check=/);
  assert.equal(reason("FROM a\n# syntax=docker/dockerfile:1\n"), "");
  assert.match(reason("FROM a\nRUN <<EOF\nx\nEOF\n"), /here-documents: COPY a file/);
  assert.match(reason("FROM a\nRUN <<'E\\'\nE\\\nADD http://host /x\n"), /here-documents/);
  assert.match(reason("FROM a\nCOPY <<-x /y\n"), /here-documents/);
  assert.match(reason("FROM a\n\u0085ADD http://host/x /x\n"), /control characters/);
  assert.match(reason("# escape=x\nFROM a"), /escape/);
});

test("no comment, and no JSON, gives BuildKit another frontend", () => {
  for (const text of [
    "# syntax=evil\nFROM a",
    "#!/bin/x\n# syntax=evil\nFROM a",
    "//syntax=evil\nFROM a",
    '{"syntax": "evil"}',
    "\ufeff  // Syntax = evil\nFROM a",
  ])
    assert.match(reason(text, "buildkit"), /no other frontend/, text);
});

test("BuildKit's mounts are allowed but for keys of ours, and images that they name are found", () => {
  const text = [
    "FROM a AS first",
    "RUN --mount=type=secret,id=token --mount=type=cache,target=/c --mount=type=tmpfs,target=/t x",
    "RUN --mount=from=first,target=/f --mount=type=bind,From=registry.example/tools:1,target=/g x",
  ].join("\n");
  assert.deepEqual(images(text, {}, "buildkit"), ["a", "registry.example/tools:1"]);
  for (const flag of [
    "--mount=type=ssh",
    "--mount=type=SSH",
    "--network=host",
    "--security=insecure",
    "--mount=type=bind,from=$X",
    '--mount="type=bind,from=x"',
    "--mount=type=\\bind,from=x",
  ]) {
    assert.match(reason(`FROM a\nRUN ${flag} x`, "buildkit"), /flags of RUN|mount/, flag);
    assert.match(
      reason(`FROM a\nONBUILD RUN --mount=type=tmpfs ${flag} x`, "buildkit"),
      /RUN|mount/,
    );
  }
});

test("an image that only an ONBUILD instruction of the Dockerfile names is found too", () => {
  const text = "FROM a AS b\nONBUILD COPY --from=registry.example/tools:1 / /\nFROM b";
  assert.deepEqual(images(text), ["a", "registry.example/tools:1"]);
});

test("a base image's triggers are read as the Dockerfiles that they are to the engine", () => {
  assert.equal(refusedTriggers(["COPY . /app", "RUN make"], "classic"), null);
  for (const trigger of [
    "ADD http://host/x /x",
    "RUN true\nADD http://host/x /x",
    "COPY --from=other/image / /",
    "# syntax=evil\nRUN x",
  ])
    assert.notEqual(refusedTriggers(["RUN x", trigger], "classic"), null, trigger);
});

test("a reason quotes what it is about, on one line of bounded length", () => {
  const said = reason(`FROM a\nADD \\\n   http://host/${"x".repeat(500)} /x`);
  assert.match(said, /`ADD http:\/\/host\/x+`: the engine itself/);
  assert.ok(said.length < 300);
});

test("build arguments that steer traffic, or the builder, are known by name", () => {
  assert.ok(isBuilderArgument("BUILDKIT_SYNTAX") && isBuilderArgument("buildkit_x"));
  assert.ok(!isBuilderArgument("BUILD"));
  assert.ok(isProxyArgument("HTTP_PROXY") && isProxyArgument("no_proxy"));
  assert.ok(!isProxyArgument("PROXY") && !isProxyArgument("VERSION"));
});

test("the largest Dockerfile is read in no time, whatever is in it", () => {
  const much = 1024 * 1024;
  const blanks = " ".repeat(much);
  const doubling = Array.from({ length: 60 }, (_, i) => `ARG A${i + 1}=$A${i}$A${i}`);
  const hostile: [text: string, kind: "ok" | "refused"][] = [
    [`# a= x${blanks}y\nFROM scratch\n`, "ok"],
    [`FROM scratch\nADD ${"@".repeat(much)} /x\n`, "ok"],
    [`FROM scratch\nADD ${"a@".repeat(much / 2)} /x\n`, "ok"],
    [`FROM scratch\n${"\n".repeat(much)}x`, "ok"],
    [`FROM scratch\nRUN ${"\\ ".repeat(much / 2)}\n`, "ok"],
    [`FROM scratch\n${"ONBUILD ".repeat(much / 8)}RUN true\n`, "refused"],
    [["ARG A0=aaaa", ...doubling, "FROM $A60"].join("\n"), "refused"],
    [
      [
        "ARG A0=aaaa",
        ...doubling.map((line) => line.replace(/\$(A\d+)/g, `\${$1:-x}`)),
        `FROM \${A60:-x}`,
      ].join("\n"),
      "refused",
    ],
  ];
  for (const builder of ["classic", "buildkit"] as const)
    for (const [text, kind] of hostile)
      assert.equal(readDockerfile(text, {}, builder).kind, kind, text.slice(0, 60));
});
