import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { ARCHIVE_ENTRIES } from "../../shared/limits.ts";
import { archiveFiles } from "../../test/support/archive.ts";
import { type Ended, type GoWorld, goWorld } from "../../test/support/go-world.ts";

/** Makefiles without any Go: what they leave is published as it is, so these are quick. */
describe("a hostile makefile", { concurrency: false }, () => {
  let world: GoWorld;
  let tags = 0;
  before(async () => {
    world = await goWorld({
      settings: { cache: { repository_bytes: 64 * 2 ** 20, total_bytes: 2 ** 30 } },
    });
  });
  after(() => world[Symbol.asyncDispose]());

  async function made(
    recipe: string,
    look: (ended: Ended, files: Map<string, Buffer>) => void,
  ): Promise<void> {
    const lines = recipe.trim().split("\n");
    const Makefile = `all:\n${lines.map((line) => `\t${line.trim()}\n`).join("")}`;
    tags += 1;
    const tag = `v${tags}`;
    const [commit = ""] = await world.repository("eve/evil", [
      { files: { Makefile, "tracked.txt": "tracked" }, tag },
    ]);
    const ended = await world.build({ path: "eve/evil", version: tag, commit });
    try {
      const archive = ended.made[0];
      look(ended, archive ? await archiveFiles(await readFile(archive.file)) : new Map());
    } finally {
      await world.clean(ended);
    }
  }

  test("gets no link, no pipe and no setuid bit into the archive", async () => {
    await made(
      `
        ln -s /etc/passwd password; ln -s ../../.. up; mkfifo pipe
        echo x >su; chmod 6755 su
        echo good >good; ln good twin
      `,
      (ended, files) => {
        assert.deepEqual([...files.keys()], ["good", "su", "twin"]);
        assert.deepEqual(files.get("twin"), files.get("good"));
        const left = /Left out of the archive: password \(it is a symbolic link\), up /;
        assert.equal(ended.log.find(({ msg }) => left.test(msg))?.level, "warning");
      },
    );
  });

  test("cannot confuse anybody with names", async () => {
    await made(
      String.raw`
        printf 1 >"$$(printf 'new\nline')"; printf 2 >'quo"te'; printf 3 >"$$(printf 'bad\377utf8')"
        printf 4 >'ümlaut'; printf 5 >-rf; printf 6 >'back\slash'; mkdir ' '; printf 7 >' /x'
      `,
      (_, files) => {
        assert.deepEqual(
          [...files.keys()].sort(),
          [" /x", "-rf", "back_slash", "bad_utf8", "new_line", 'quo"te', "ümlaut"].sort(),
        );
      },
    );
  });

  test("is told when it makes too many files", async () => {
    await made(`mkdir many; cd many && seq ${ARCHIVE_ENTRIES + 1} | xargs touch`, ({ failure }) => {
      assert.equal(failure?.class, "artifact_too_large");
      assert.match(failure?.message ?? "", /20000 files/);
    });
  });

  test("cannot write the modules of later builds, and has no network", async () => {
    await made(
      `
        touch /modcache/x || echo read-only >refused
        git ls-remote ${world.git.url}/eve/evil.git || echo no network >>refused
      `,
      (_, files) => assert.equal(String(files.get("refused")), "read-only\nno network\n"),
    );
  });

  test("that lies about what was there before only adds its own sources", async () => {
    await made(": >/build/meta/before; echo x >made.txt", (_, files) => {
      assert.deepEqual([...files.keys()], ["Makefile", "made.txt", "tracked.txt"]);
    });
  });

  test("that puts a link where its output is taken from publishes nothing", async () => {
    for (const target of ["/etc", "/", "/build/meta"])
      await made(`rm -rf /build/out; ln -s ${target} /build/out; echo x >x`, (ended) => {
        assert.ok(ended.failure);
        assert.deepEqual(ended.made, []);
      });
  });

  test("that removes its own repository still has what it made", async () => {
    await made("rm -rf .git; echo x >made.txt", (_, files) =>
      assert.deepEqual([...files.keys()], ["made.txt"]),
    );
  });

  test("that kills its own shell has failed", async () => {
    await made("echo x >made.txt; kill -9 $$PPID; sleep 1", ({ failure }) => {
      assert.equal(failure?.class, "make_error");
    });
  });

  test("that leaves processes behind ends when make ends", async () => {
    await made("(sleep 1000 &) ; echo x >made.txt", (ended, files) => {
      assert.deepEqual([...files.keys()], ["made.txt"]);
      assert.ok(ended.ms < 100_000);
    });
  });

  test("that fills the disk is told so, and its caches start anew", async () => {
    await made("head -c 100000000 /dev/zero >/gocache/fill", ({ failure }) =>
      assert.equal(failure?.class, "disk_full"),
    );
    await made("ls /gocache >listing; echo done >>listing", (_, files) =>
      assert.equal(String(files.get("listing")), "done\n"),
    );
  });
});
