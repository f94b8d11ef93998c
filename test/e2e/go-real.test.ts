import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { archiveFiles } from "../support/archive.ts";
import { platformOf } from "../support/executable.ts";
import { folderFiles } from "../support/fixtures.ts";
import { must } from "../support/process.ts";
import { REAL_PROGRAMS, type RealProgramName, RealPrograms } from "../support/real-programs.ts";
import { openStack, type TestStack } from "../support/stack.ts";

describe("programs that nobody here wrote", () => {
  let stack: TestStack;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    await using programs = new RealPrograms();
    const repositories: Parameters<typeof openStack>[0]["repositories"] = {};
    for (const name of Object.keys(REAL_PROGRAMS) as RealProgramName[]) {
      const { repository, tag } = REAL_PROGRAMS[name];
      await programs.unpack(name, join(folder, name));
      const files = await folderFiles(join(folder, name));
      repositories[repository] = [{ files, tag, annotated: true }];
    }
    stack = await openStack({ repositories, modules: await programs.moduleProxy("fzf") });
  });
  after(async () => {
    await stack?.close();
    await rm(folder, { recursive: true });
  });

  /** Builds `name` for a platform and puts its one program on the disk. */
  async function program(name: RealProgramName, platform: string): Promise<string> {
    const { repository, tag } = REAL_PROGRAMS[name];
    const path = `/git.example/${repository}/${platform}/${tag}`;
    const ended = await stack.build(path);
    assert.equal(ended.record.state, "succeeded", JSON.stringify(ended.log.slice(-20), null, 1));
    const files = await archiveFiles(await stack.bytes(path));
    const made = [...files].filter(([, bytes]) => platformOf(bytes) === platform);
    assert.equal(made.length, 1, `made ${[...files.keys()]}`);
    const file = join(folder, `${name}-${platform.replace("/", "-")}`);
    await writeFile(file, made[0]?.[1] as Buffer);
    await chmod(file, 0o755);
    return file;
  }

  test("goawk, without a makefile or a dependency, is built and computes", async () => {
    const goawk = await program("goawk", "linux/amd64");
    assert.equal(await must(goawk, ["BEGIN { print 6 * 7 }"]), "42\n");
    assert.equal(await must(goawk, ["-F:", "{ print $2 }"], { input: "a:b\nc:d\n" }), "b\nd\n");
    await program("goawk", "windows/arm64");
  });

  test("webhook, vendored and with a makefile that only prints help, is built all the same", async () => {
    const webhook = await program("webhook", "linux/amd64");
    assert.match(await must(webhook, ["-version"]), /2\.8\.0/);
    await program("webhook", "linux/arm64");
  });

  test("fzf, with modules and a makefile that builds for the host, is built and cross-built", async () => {
    const fzf = await program("fzf", "linux/amd64");
    assert.equal(
      await must(fzf, ["--filter", "rlhd"], { input: "rail\nrailhead\nhead\n" }),
      "railhead\n",
    );
    assert.match(await must(fzf, ["--version"]), /0\.60/);
    await program("fzf", "linux/arm64");
  });
});
