import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import tar from "tar-stream";
import { type ArchiveFile, digestFile, firstFile, writeArchive } from "./archive.ts";

const TIME = 1_767_225_600;
const never = new AbortController().signal;

describe("an archive", () => {
  let root: string;
  let files: ArchiveFile[];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "railhead-archive-"));
    const add = async (name: string, body: string | Buffer, executable: boolean) => {
      const file = join(root, String(Math.random()));
      await writeFile(file, body, { mode: 0o600 });
      return { name, file, size: Buffer.byteLength(body), executable };
    };
    files = [
      await add("tool", Buffer.alloc(300_000, "ab"), true),
      await add("share/ümlaut", "text", false),
      await add(`share/${"long".repeat(40)}`, "", false),
      await add("Share", "capital", false),
    ];
  });
  after(() => rm(root, { recursive: true }));

  test("is the same bytes for the same files, in whatever order they came", async () => {
    const one = await writeArchive(files, join(root, "one.tar.gz"), TIME, never);
    const two = await writeArchive([...files].reverse(), join(root, "two.tar.gz"), TIME, never);
    assert.deepEqual(one, two);
    assert.deepEqual(one, await digestFile(join(root, "two.tar.gz")));
    assert.deepEqual(
      await readFile(join(root, "one.tar.gz")),
      await readFile(join(root, "two.tar.gz")),
    );
  });

  test("lists sorted relative names, root's, with the commit's time and plain modes", async () => {
    await writeArchive(files, join(root, "list.tar.gz"), TIME, never);
    const listing = execFileSync(
      "tar",
      ["-tvzf", join(root, "list.tar.gz"), "--numeric-owner", "--quoting-style=literal"],
      { encoding: "utf8", env: { ...process.env, TZ: "UTC", LC_ALL: "C.UTF-8" } },
    );
    assert.deepEqual(
      listing
        .trim()
        .split("\n")
        .map((line) => line.replace(/ +/g, " ")),
      [
        "-rw-r--r-- 0/0 7 2026-01-01 00:00 Share",
        `-rw-r--r-- 0/0 0 2026-01-01 00:00 share/${"long".repeat(40)}`,
        "-rw-r--r-- 0/0 4 2026-01-01 00:00 share/ümlaut",
        "-rwxr-xr-x 0/0 300000 2026-01-01 00:00 tool",
      ],
    );
    const gzip = await readFile(join(root, "list.tar.gz"));
    assert.equal(gzip.readUInt32LE(4), 0, "the gzip header has no time");
    assert.equal(gzip[3], 0, "and no name");
  });

  test("of a file that is gone or grew fails instead of being wrong", async () => {
    const [tool] = files as [ArchiveFile];
    const gone = { ...tool, file: join(root, "nowhere") };
    await assert.rejects(writeArchive([gone], join(root, "x.tar.gz"), TIME, never), {
      code: "ENOENT",
    });
    const grew = { ...tool, size: tool.size - 1 };
    await assert.rejects(writeArchive([grew], join(root, "y.tar.gz"), TIME, never));
  });
});

test("one file is read out of a tar, if it is small and there", async () => {
  const tarOf = (name: string, body: string) => {
    const pack = tar.pack();
    pack.entry({ name: "meta/", type: "directory" });
    if (body !== "") pack.entry({ name }, body);
    pack.finalize();
    return Readable.from(pack);
  };
  assert.equal(String(await firstFile(tarOf("meta/result", "a=1\n"), 100)), "a=1\n");
  await assert.rejects(firstFile(tarOf("meta/result", "a=1\n"), 3), /larger/);
  await assert.rejects(firstFile(tarOf("meta/result", ""), 3), /no file/);
});
