import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmod, readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import type { RepositoryCommit } from "../../cli/dev/repository.ts";
import { archiveFiles } from "../../test/support/archive.ts";
import { platformOf } from "../../test/support/executable.ts";
import { GO_TREES } from "../../test/support/go-trees.ts";
import {
  type BuildRequest,
  type Ended,
  type GoWorld,
  goWorld,
  said,
} from "../../test/support/go-world.ts";

const HERE = `linux/${process.arch === "arm64" ? "arm64" : "amd64"}`;
describe("a Go build", { concurrency: false }, () => {
  let world: GoWorld;
  const commits = new Map<string, string>();

  before(async () => {
    world = await goWorld();
    const history = Object.entries(GO_TREES).map(
      ([tag, files]): RepositoryCommit => ({ files, tag, annotated: tag === "made" }),
    );
    const ids = await world.repository("ada/tool", history);
    Object.keys(GO_TREES).forEach((tag, i) => {
      commits.set(tag, ids[i] as string);
    });
  });
  after(() => world[Symbol.asyncDispose]());

  /** Builds a tag, looks at what came of it, and cleans up. */
  async function built<R>(
    request: Partial<BuildRequest> & { version: string },
    look: (ended: Ended, files: Map<string, Buffer>) => Promise<R> | R,
  ): Promise<R> {
    const commit = commits.get(request.version) ?? request.version;
    const ended = await world.build({ path: "ada/tool", platform: HERE, commit, ...request });
    try {
      const archive = ended.made.find(({ name }) => name.endsWith(".tar.gz"));
      const bytes = archive && (await readFile(archive.file));
      return await look(ended, bytes ? await archiveFiles(bytes) : new Map());
    } finally {
      await world.clean(ended);
    }
  }

  async function failed(version: string, platform = HERE): Promise<Ended> {
    return built({ version, platform }, (ended) => {
      assert.ok(ended.failure, "it must fail");
      assert.deepEqual(ended.made, []);
      return ended;
    });
  }

  /** What the bare executable prints; `println` writes to stderr. */
  async function runs({ made }: Ended): Promise<string> {
    const bare = made.find(({ name }) => !name.endsWith(".tar.gz"));
    assert.ok(bare, "there is a bare executable");
    await chmod(bare.file, 0o700);
    return spawnSync(bare.file, { encoding: "utf8" }).stderr.trim();
  }

  test("without a makefile makes the program at the root, and tells it what it is", async () => {
    const commit = commits.get("plain");
    await built({ version: "plain" }, async (ended, files) => {
      assert.equal(ended.failure, null);
      assert.deepEqual([...files.keys()], ["tool"]);
      assert.deepEqual(
        ended.made.map(({ name, content_type }) => [name, content_type]),
        [
          [`tool_${HERE.replace("/", "_")}.tar.gz`, "application/gzip"],
          ["tool", "application/octet-stream"],
        ],
      );
      assert.equal(await runs(ended), `plain plain ${commit} 2026-01-01T00:00:00Z`);
      assert.deepEqual(said(ended), [
        "checking binary...",
        "cloning repository...",
        "git clone successfully",
        "building binary...",
        "adding a default Makefile...",
        "creating container...",
        "starting container...",
        "archiving binary...",
        "archive successfully",
      ]);
    });
  });

  test("of a commit without a tag has the commit as its version", async () => {
    const commit = commits.get("plain") as string;
    await built({ version: commit }, async (ended) => {
      assert.equal(await runs(ended), `plain ${commit} ${commit} 2026-01-01T00:00:00Z`);
    });
  });

  test("gives the same bytes twice, also from caches that start empty", async () => {
    const once = (advertised: boolean) =>
      built({ version: "plain", advertised }, ({ made }) => made.map(({ sha256 }) => sha256));
    assert.deepEqual(await once(true), await once(false));
  });

  test("works for five platforms, each with its own kind of name", async () => {
    const expected: Record<string, string> = {
      "linux/arm64": "tool",
      "darwin/arm64": "tool",
      "windows/amd64": "tool.exe",
      "freebsd/amd64": "tool",
      "js/wasm": "tool.wasm",
    };
    for (const [platform, name] of Object.entries(expected))
      await built({ version: "plain", platform }, (ended, files) => {
        assert.equal(ended.failure, null, platform);
        assert.equal(ended.made[1]?.name, name);
        assert.deepEqual([...files.keys()], [name]);
        assert.equal(platformOf(files.get(name) as Buffer), platform);
      });
  });

  test("without a program at the root makes those below cmd/, and names none of them alone", async () => {
    await built({ version: "commands" }, (ended, files) => {
      assert.deepEqual([...files.keys()], ["alpha", "beta"]);
      assert.equal(ended.made.length, 1);
    });
  });

  test("takes all programs there are as the last way, and keeps those of one name apart", async () => {
    await built({ version: "scattered" }, (_, files) => {
      assert.deepEqual([...files.keys()], ["a-run", "b-run"]);
      assert.notDeepEqual(files.get("a-run"), files.get("b-run"));
    });
  });

  test("needs no go.mod", async () => {
    await built({ version: "nomodule" }, async (ended) => {
      assert.match(await runs(ended), /^nomodule nomodule /);
    });
    await built({ version: "gopath" }, async (ended) => {
      assert.equal(await runs(ended), "from gopath vendor");
    });
  });

  test("honours vendor/", async () => {
    await built({ version: "vendored" }, async (ended) => {
      assert.equal(await runs(ended), "from vendor");
    });
  });

  test("with a makefile keeps all that it made and nothing that was there", async () => {
    await built({ version: "made" }, async (ended, files) => {
      assert.deepEqual([...files.keys()], ["dist/deep/made", "notes.txt", "tracked.txt"]);
      assert.equal(String(files.get("tracked.txt")), "new\n");
      assert.match(await runs(ended), /^made dev none never$/);
      const output = ended.log.filter(({ stream }) => stream !== undefined);
      assert.ok(
        output.some(({ msg }) => msg === `for ${HERE}, cgo 0, made`),
        "the makefile sees the platform, and git describe the annotated tag",
      );
      assert.ok(output.some(({ msg, stream }) => msg === "a warning" && stream === "stderr"));
      assert.ok(!said(ended).includes("adding a default Makefile..."));
    });
  });

  test("uses the make target that was asked for, of the makefile that make would use", async () => {
    await built({ version: "target", make: "extra" }, (_, files) => {
      assert.deepEqual([...files.keys()], ["extra"]);
    });
    await built({ version: "target", make: "absent" }, ({ failure }) => {
      assert.equal(failure?.class, "make_error");
      assert.match(failure?.message ?? "", /No rule to make target 'absent'/);
    });
  });

  test("goes the default way when make only prints its help", async () => {
    await built({ version: "help" }, async (ended) => {
      assert.match(await runs(ended), /^help help /);
      const words = said(ended);
      const turn = words.findIndex((msg) =>
        /made no new files. Building the default way/.test(msg),
      );
      assert.equal(words[turn + 1], "adding a default Makefile...");
      assert.equal(words.filter((msg) => msg === "archiving binary...").length, 1);
    });
  });

  test("goes the default way when make builds for another platform, and keeps nothing of that", async () => {
    await built({ version: "hostonly", platform: "linux/arm64" }, (ended, files) => {
      assert.deepEqual([...files.keys()], ["tool"]);
      assert.equal(platformOf(files.get("tool") as Buffer), "linux/arm64");
      assert.match(
        said(ended).join("\n"),
        /nothing for linux\/arm64: bin\/hostonly is for linux\/386/,
      );
    });
  });

  test("for another platform than was asked is a failure, and says what was made", async () => {
    const { failure } = await failed("hostlibrary", "linux/arm64");
    assert.equal(failure?.class, "wrong_target");
    assert.match(failure?.message ?? "", /bin\/hidden is for linux\/386/);
  });

  test("whose make fails is a failed build, though it made a program", async () => {
    const { failure } = await failed("failing");
    assert.equal(failure?.class, "make_error");
    assert.match(failure?.message ?? "", /status 2: the tests do not pass/);
  });

  test("that does not compile ends with the compiler's own line", async () => {
    const { failure, log } = await failed("uncompilable");
    assert.equal(failure?.class, "compile_error");
    assert.match(failure?.message ?? "", /main\.go:3:15: undefined: missing/);
    assert.match(log.at(-1)?.msg ?? "", /main\.go:3:15: undefined: missing/);
  });

  test("of a library says which packages there are", async () => {
    const { failure } = await failed("library");
    assert.equal(failure?.class, "no_main_package");
    assert.match(failure?.message ?? "", /git\.example\/ada\/tool, git\.example\/ada\/tool\/sub/);
  });

  test("without any Go says so, and adds no makefile to it", async () => {
    const { failure, log } = await failed("empty");
    assert.equal(failure?.class, "no_main_package");
    assert.equal(failure?.message, "There is no Go file in the repository.");
    assert.ok(!log.some(({ msg }) => msg === "adding a default Makefile..."));
  });

  test("may make other things than programs, where there is no program to make", async () => {
    await built({ version: "documents" }, (ended, files) => {
      assert.equal(ended.failure, null);
      assert.deepEqual([...files.keys()], ["manual.txt"]);
      assert.equal(ended.made.length, 1);
    });
  });

  test("that makes nothing at all fails with the words of old", async () => {
    const ended = await failed("nothing");
    assert.equal(ended.failure?.class, "nothing_made");
    assert.match(ended.failure?.message ?? "", /^can't find artifacts/);
    assert.deepEqual(said(ended).slice(-2), [
      "archiving binary...",
      "archiving error: can't find binary",
    ]);
  });

  test("writes an archive that any tar unpacks: root's, with the commit's time", async () => {
    await built({ version: "plain" }, ({ made }) => {
      const listing = execFileSync("tar", ["-tvzf", made[0]?.file ?? "", "--numeric-owner"], {
        encoding: "utf8",
        env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
      });
      assert.match(listing, /^-rwxr-xr-x 0\/0 +\d+ 2026-01-01 00:00 tool\n$/);
    });
  });

  test("is refused for a git host that the agent's operator does not allow", async () => {
    const target = (remote: string) => ({
      recipe: "go" as const,
      remote,
      path: ["a", "b"],
      goos: "linux",
      goarch: "amd64",
      version: "v1",
      make: null,
      commit: "0".repeat(40),
      visibility: "public" as const,
      advertised: true,
    });
    assert.equal(world.recipe.refuses(target("git.example")), null);
    assert.match(world.recipe.refuses(target("other.example")) ?? "", /allows git\.example/);
    assert.match(
      world.recipe.refuses({ ...target("git.example"), goarch: "z80" }) ?? "",
      /linux\/z80/,
    );
  });
});
