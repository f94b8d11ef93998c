import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, beforeEach, describe, test } from "node:test";
import tar, { type Header } from "tar-stream";
import { ArchiveTooLarge, safeName, unpack } from "./unpack.ts";

type Entry = Partial<Header> & { name: string; body?: string | Buffer };

function tarOf(entries: Entry[]): Promise<Buffer> {
  const pack = tar.pack();
  for (const { body, ...header } of entries) {
    if (body === undefined) pack.entry(header);
    else pack.entry(header, Buffer.from(body));
  }
  pack.finalize();
  return buffer(pack);
}

describe("what comes out of a container", () => {
  let root: string;
  let into: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "railhead-unpack-"));
  });
  beforeEach(async () => {
    into = await mkdtemp(join(root, "into-"));
  });
  after(() => rm(root, { recursive: true }));

  const read = async (entries: Entry[], limits: { bytes?: number; files?: number } = {}) => {
    const bytes = await tarOf(entries);
    return unpack(Readable.from([bytes]), {
      into,
      strip: 1,
      max_bytes: limits.bytes ?? 1_000_000,
      max_files: limits.files ?? 100,
      head_bytes: 4,
      look: (head) => head.toString("latin1"),
      signal: new AbortController().signal,
    });
  };

  test("keeps files, their first bytes and whether they can be run", async () => {
    const { files, dropped } = await read([
      { name: "out/", type: "directory" },
      { name: "out/bin/", type: "directory" },
      { name: "out/bin/tool", mode: 0o750, body: "\x7fELF and more" },
      { name: "out/notes.txt", mode: 0o640, body: "hi" },
      { name: "out/empty", mode: 0o600, body: "" },
    ]);
    assert.deepEqual(dropped, []);
    assert.deepEqual(
      files.map(({ file, ...rest }) => rest),
      [
        { name: "bin/tool", size: 13, executable: true, seen: "\x7fELF" },
        { name: "notes.txt", size: 2, executable: false, seen: "hi" },
        { name: "empty", size: 0, executable: false, seen: "" },
      ],
    );
    assert.equal(await readFile(files[0]?.file ?? "", "utf8"), "\x7fELF and more");
  });

  test("never leads out, links out, or brings a device", async () => {
    const { files, dropped } = await read([
      { name: "out/../../etc/passwd", body: "x" },
      { name: "out/a/../../b", body: "x" },
      { name: "/out//etc/shadow", body: "x" },
      { name: "out/link", type: "symlink", linkname: "/etc/passwd" },
      { name: "out/hard", type: "link", linkname: "/etc/passwd" },
      { name: "out/null", type: "character-device" },
      { name: "out/pipe", type: "fifo" },
      { name: "out/good", body: "good" },
    ]);
    assert.deepEqual(
      files.map(({ name }) => name),
      ["etc/shadow", "good"],
    );
    assert.deepEqual(
      dropped.map(({ why }) => why),
      [
        "its name leads out of the archive or is too long",
        "its name leads out of the archive or is too long",
        "it is a symbolic link",
        "it is no regular file",
        "it is no regular file",
        "it is no regular file",
      ],
    );
    assert.equal((await readdir(into)).length, 2);
  });

  test("a setuid bit is nothing but an executable bit", async () => {
    const { files } = await read([{ name: "out/su", mode: 0o6755, body: "x" }]);
    assert.equal(files[0]?.executable, true);
  });

  test("a second hard link is a copy of the first", async () => {
    const { files } = await read([
      { name: "out/a", mode: 0o755, body: "same" },
      { name: "out/b", type: "link", linkname: "out/a" },
    ]);
    assert.deepEqual(
      files.map(({ name, size }) => [name, size]),
      [
        ["a", 4],
        ["b", 4],
      ],
    );
    assert.equal(files[0]?.file, files[1]?.file);
  });

  test("odd names are made safe, and two that become one are not mixed", async () => {
    const { files, dropped } = await read([
      { name: 'out/quo"te and ümlaut', body: "1" },
      { name: "out/new\nline", body: "2" },
      { name: "out/new\x07line", body: "3" },
      { name: "out/back\\slash", body: "4" },
      { name: "out/new_line/inside", body: "5" },
      { name: `out/${"x".repeat(300)}`, body: "6" },
    ]);
    assert.deepEqual(
      files.map(({ name }) => name),
      ['quo"te and ümlaut', "new_line", "back_slash"],
    );
    assert.equal(dropped.length, 3);
  });

  test("a limit of bytes or files ends it at once", async () => {
    const big = { name: "out/big", body: Buffer.alloc(600) };
    await assert.rejects(
      read([big, { ...big, name: "out/more" }], { bytes: 1000 }),
      ArchiveTooLarge,
    );
    const many = Array.from({ length: 5 }, (_, i) => ({ name: `out/${i}`, body: "x" }));
    into = await mkdtemp(join(root, "into-"));
    await assert.rejects(read(many, { files: 4 }), ArchiveTooLarge);
  });

  test("folders count, though they are not kept", async () => {
    const folders = Array.from({ length: 5 }, (_, i) => ({
      name: `out/${i}/`,
      type: "directory" as const,
    }));
    await assert.rejects(read(folders, { files: 4 }), /more than 4 folders/);
  });

  test("is left where it is when the attempt is stopped", async () => {
    const reason = new AbortController();
    reason.abort();
    const bytes = await tarOf([{ name: "out/a", body: Buffer.alloc(5000, 1) }]);
    const options = { into, strip: 1, max_bytes: 1e6, max_files: 10, head_bytes: 0 };
    await assert.rejects(
      unpack(Readable.from([bytes]), { ...options, look: () => null, signal: reason.signal }),
      { name: "AbortError" },
    );
  });

  test("a hard link cannot get around the limit of bytes", async () => {
    const links = Array.from({ length: 10 }, (_, i) => ({
      name: `out/l${i}`,
      type: "link" as const,
      linkname: "out/a",
    }));
    await assert.rejects(
      read([{ name: "out/a", body: Buffer.alloc(200) }, ...links], { bytes: 1000 }),
      ArchiveTooLarge,
    );
  });

  test("a stream that ends too early or fails is an error, never a short file", async () => {
    const options = {
      into,
      strip: 1,
      max_bytes: 1e6,
      max_files: 10,
      head_bytes: 0,
      look: () => null,
      signal: new AbortController().signal,
    };
    const bytes = await tarOf([{ name: "out/a", body: Buffer.alloc(5000, 1) }]);
    await assert.rejects(unpack(Readable.from([bytes.subarray(0, 3000)]), options));
    into = await mkdtemp(join(root, "into-"));
    const failing = Readable.from(
      (async function* () {
        yield bytes.subarray(0, 3000);
        throw new Error("connection lost");
      })(),
    );
    await assert.rejects(unpack(failing, { ...options, into }), /connection lost/);
  });
});

test("a name is relative and holds no dot segments", () => {
  assert.equal(safeName("./a/./b"), "a/b");
  assert.equal(safeName("/abs"), "abs");
  assert.equal(safeName("a/.."), null);
  assert.equal(safeName("."), null);
  assert.equal(safeName("only", 1), null);
});
