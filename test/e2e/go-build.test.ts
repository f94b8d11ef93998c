import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { archiveFiles } from "../support/archive.ts";
import { platformOf } from "../support/executable.ts";
import { hello } from "../support/fixtures.ts";
import { must } from "../support/process.ts";
import { type Ended, type Line, openStack, type TestStack } from "../support/stack.ts";

describe("building a Go program", () => {
  let stack: TestStack;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    stack = await openStack({ repositories: { "ada/hello": hello, "ada/deep/er/hello": hello } });
  });
  after(async () => {
    await stack?.close();
    await rm(folder, { recursive: true });
  });

  /** Builds, expects success, and gives the files of the archive. */
  async function made(path: string): Promise<{ ended: Ended; files: Map<string, Buffer> }> {
    const ended = await stack.build(path);
    assert.equal(ended.record.state, "succeeded", ended.record.reason ?? "");
    return { ended, files: await archiveFiles(await stack.bytes(path)) };
  }

  test("curl alone goes from a POST to a running binary", async () => {
    const url = `${stack.url}/git.example/ada/hello/linux/amd64/v1.0.0`;
    const curl = (...args: string[]) => must("curl", ["-sS", ...args], { cwd: folder });

    const posted = await curl("-X", "POST", "-w", "\n%{http_code} %header{location}", url);
    const [body, answer] = posted.split("\n\n") as [string, string];
    const [status, location] = answer.split(" ") as [string, string];
    assert.equal(status, "202");
    assert.equal(new URL(location, url).href, `${url}/hello_linux_amd64.tar.gz`);
    const { build_id } = JSON.parse(body);
    assert.match(build_id, /^[0-9a-f]{32}$/);

    const log = await curl(`${stack.url}/builds/${build_id}/logs?follow=1`);
    const lines = log
      .trimEnd()
      .split("\n")
      .map((line): Line => JSON.parse(line));
    assert.deepEqual(
      lines.filter((line) => line.stream === undefined).map((line) => line.msg),
      [
        "Your build joined a queue.",
        "Your build started.",
        "checking binary...",
        "cloning repository...",
        "git clone successfully",
        "building binary...",
        "adding a default Makefile...",
        "creating container...",
        "starting container...",
        "archiving binary...",
        "archive successfully",
        "saving binary...",
        "Your build is successful.",
      ],
    );
    assert.ok(lines[0]?.params, "the first entry says what was asked for");
    assert.equal(typeof lines[1]?.workspace, "string");
    for (const line of lines) {
      assert.equal(line.build_id, build_id);
      assert.ok(["info", "warning", "error"].includes(line.level));
      assert.ok(!Number.isNaN(Date.parse(line.time)), line.time);
    }

    await curl("-OJL", url);
    await curl("-OJL", `${url}/hello_linux_amd64.tar.gz.sha256`);
    assert.deepEqual((await readdir(folder)).sort(), [
      "hello_linux_amd64.tar.gz",
      "hello_linux_amd64.tar.gz.sha256",
    ]);
    await must("sha256sum", ["--strict", "-c", "hello_linux_amd64.tar.gz.sha256"], { cwd: folder });
    await must("tar", ["-xzf", "hello_linux_amd64.tar.gz"], { cwd: folder });
    const commit = stack.commits("ada/hello")[0] as string;
    assert.equal(
      await must(join(folder, "hello"), []),
      `hello v1.0.0 ${commit} 2026-01-01T00:00:00Z\n`,
    );

    await must("rm", ["hello"], { cwd: folder });
    await curl("-OJL", `${url}/hello`);
    await must("chmod", ["+x", "hello"], { cwd: folder });
    assert.match(await must(join(folder, "hello"), []), /^hello v1\.0\.0 /);
  });

  test("the record tells what was made, from what, and how long it took", async () => {
    const path = "/git.example/ada/hello/linux/amd64/v1.1.0";
    const { record } = await stack.ensure(path);
    assert.equal(record.class, null);
    assert.equal(record.attempt, 1);
    assert.equal(record.visibility, "public");
    assert.equal(record.commit, stack.commits("ada/hello")[1]);
    assert.equal(record.position, null);
    assert.ok(record.started_at !== null && record.ended_at !== null);
    assert.ok((record.timings.running_ms ?? 0) > 0);
    assert.equal(new URL(record.artifact, stack.url).pathname, `${path}/hello_linux_amd64.tar.gz`);
    for (const artifact of record.artifacts) {
      const response = await stack.fetch(new URL(artifact.url, stack.url).pathname);
      const bytes = Buffer.from(await response.arrayBuffer());
      assert.equal(bytes.length, artifact.size);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), artifact.sha256);
    }
  });

  for (const [platform, file] of [
    ["linux/arm64", "hello"],
    ["darwin/arm64", "hello"],
    ["windows/arm64", "hello.exe"],
    ["js/wasm", "hello.wasm"],
  ] as const)
    test(`a build for ${platform} is a program for ${platform}`, async () => {
      const path = `/git.example/ada/hello/${platform}/v1.0.0`;
      const { files } = await made(path);
      assert.deepEqual([...files.keys()], [file]);
      assert.equal(platformOf(files.get(file) as Buffer), platform);
      const bare = await stack.fetch(`${path}/${file}`);
      assert.equal(bare.status, 200);
      assert.deepEqual(Buffer.from(await bare.arrayBuffer()), files.get(file));
    });

  test("a repository's own makefile wins, with GOOS, GOARCH and CGO_ENABLED set", async () => {
    const { ended, files } = await made("/git.example/ada/hello/linux/arm64/makefile");
    assert.deepEqual([...files.keys()], ["out/tool"]);
    assert.equal(platformOf(files.get("out/tool") as Buffer), "linux/arm64");
    const stdout = ended.log.find((line) => line.msg.startsWith("making for"));
    assert.equal(stdout?.msg, "making for linux/arm64 with CGO_ENABLED=0");
    assert.equal(stdout?.stream, "stdout");
    assert.equal(ended.log.find((line) => line.msg === "a word of warning")?.stream, "stderr");
    assert.ok(!ended.log.some((line) => line.msg === "adding a default Makefile..."));
  });

  test("?target= names the make target, and is a target of its own", async () => {
    const { files } = await made("/git.example/ada/hello/linux/amd64/makefile?target=extra");
    assert.deepEqual([...files.keys()], ["extra-tool"]);
    const plain = await stack.fetch("/git.example/ada/hello/linux/amd64/makefile");
    assert.equal(plain.status, 404);
  });

  test("the same commit makes the same bytes", async () => {
    const sums: string[] = [];
    for (const query of ["", "?target=tool"]) {
      const path = `/git.example/ada/hello/freebsd/amd64/makefile${query}`;
      const { files } = await made(path);
      assert.equal(platformOf(files.get("out/tool") as Buffer), "freebsd/amd64");
      sums.push(
        createHash("sha256")
          .update(await stack.bytes(path))
          .digest("hex"),
      );
    }
    assert.equal(sums[0], sums[1]);
  });

  test("every program below cmd/ is made when the root is none, in nested groups too", async () => {
    const path = "/git.example/ada/deep/er/hello/linux/amd64/commands";
    const { files } = await made(path);
    assert.deepEqual([...files.keys()], ["alpha", "beta"]);
    const bare = await stack.fetch(`${path}/hello`);
    assert.equal(bare.status, 404, "two programs have no one bare executable");
  });

  test("what git ignores and what lies in a new folder is collected", async () => {
    const { files } = await made("/git.example/ada/hello/linux/amd64/ignored");
    assert.deepEqual([...files.keys()].sort(), ["dist/ignored", "plain.out"]);
  });

  test("a failing make is a failed build that publishes nothing and can be tried again", async () => {
    const path = "/git.example/ada/hello/linux/amd64/broken";
    const first = await stack.build(path);
    assert.equal(first.record.state, "failed");
    assert.equal(first.record.class, "make_error");
    assert.ok(first.log.some((line) => line.msg === "the tests do not pass"));
    const last = first.log.at(-1) as Line;
    assert.equal(last.msg, `Your build failed: ${first.record.reason}`);
    assert.equal(last.level, "error");

    const answer = await stack.fetch(path);
    assert.equal(answer.status, 404);
    const problem = (await answer.json()) as Record<string, unknown>;
    assert.equal(problem.code, "build_failed");
    assert.ok(String(problem.detail).includes(first.record.reason ?? "?"), String(problem.detail));
    const file = await stack.fetch(`${path}/hello_linux_amd64.tar.gz`);
    assert.equal(file.status, 404);

    const second = await stack.build(path);
    assert.notEqual(second.id, first.id);
    assert.equal(second.record.class, "make_error");
  });

  test("a compile error is the last thing in the log, and the class of the end", async () => {
    const ended = await stack.build("/git.example/ada/hello/linux/amd64/uncompilable");
    assert.equal(ended.record.state, "failed");
    assert.equal(ended.record.class, "compile_error");
    const output = ended.log.filter((line) => line.stream !== undefined);
    assert.ok(
      output.slice(-3).some((line) => line.msg.includes("main.go:3:15: undefined: missing")),
      output.map((line) => line.msg).join("\n"),
    );
    assert.equal(ended.log.at(-1)?.msg, `Your build failed: ${ended.record.reason}`);
  });

  test("a repository without a program is told so", async () => {
    const ended = await stack.build("/git.example/ada/hello/linux/amd64/library");
    assert.equal(ended.record.state, "failed");
    assert.equal(ended.record.class, "no_main_package");
  });
});
