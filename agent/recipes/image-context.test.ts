import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import tar from "tar-stream";
import { tarOf } from "../../test/support/image-world.ts";
import { RecipeFailure } from "./contracts.ts";
import { type ContextLimits, writeContext } from "./image-context.ts";

const folder = mkdtempSync(join(tmpdir(), "railhead-context-"));
after(() => rmSync(folder, { recursive: true }));
const out = join(folder, "context.tar");

type Entries = Parameters<typeof tarOf>[0];
const DOCKERFILE: Entries[number] = [{ name: "Dockerfile" }, "FROM scratch\n"];

async function write(bytes: Buffer, limits: Partial<ContextLimits> = {}): Promise<string> {
  const chunks = [bytes.subarray(0, 1000), bytes.subarray(1000)].filter(({ length }) => length > 0);
  return await writeContext(Readable.from(chunks), out, {
    dockerfile: "Dockerfile",
    strip: 0,
    max_bytes: 1_000_000,
    signal: new AbortController().signal,
    ...limits,
  });
}

/** What the engine would get: name, type, content or target of each entry. */
async function written(): Promise<[string, string, string][]> {
  const extract = tar.extract();
  const seen: [string, string, string][] = [];
  Readable.from([await readFile(out)]).pipe(extract);
  for await (const entry of extract) {
    const { name, type, linkname } = entry.header;
    const text = (await buffer(entry as unknown as Readable)).toString();
    seen.push([name, type ?? "", linkname ?? text]);
  }
  return seen;
}

async function assertRefused(bytes: Buffer, why: RegExp, limits: Partial<ContextLimits> = {}) {
  await assert.rejects(write(bytes, limits), (error: unknown) => {
    assert.ok(error instanceof RecipeFailure, String(error));
    assert.equal(error.class, "context_error");
    assert.match(error.message, why);
    return true;
  });
}

const HONEST: Entries = [
  [{ name: "./", type: "directory" }],
  [{ name: "./Dockerfile", mode: 0o644 }, "FROM scratch\n"],
  [{ name: "./src//", type: "directory" }],
  [{ name: "src/./main.c", mode: 0o755 }, "int main;"],
  [{ name: "src/link", type: "symlink", linkname: "/etc/passwd" }],
  [{ name: "src/same", type: "link", linkname: "./src/main.c" }],
  [{ name: `deep/${"x".repeat(200)}/${"y".repeat(200)}` }, "long"],
];

test("an honest context arrives whole, plain or gzip, with names in their plain form", async () => {
  const plain = await tarOf(HONEST);
  for (const bytes of [plain, gzipSync(plain)]) {
    assert.equal(await write(bytes), "FROM scratch\n");
    assert.deepEqual(
      (await written()).map(([name, type, content]) => [name.replace(/\/$/, ""), type, content]),
      [
        ["Dockerfile", "file", "FROM scratch\n"],
        ["src", "directory", ""],
        ["src/main.c", "file", "int main;"],
        ["src/link", "symlink", "/etc/passwd"],
        ["src/same", "link", "src/main.c"],
        [`deep/${"x".repeat(200)}/${"y".repeat(200)}`, "file", "long"],
      ],
    );
  }
});

test("leading folders are taken off, and the Dockerfile is found by its path", async () => {
  const bytes = await tarOf([
    [{ name: "repository/", type: "directory" }],
    [{ name: "repository/docker/api" }, "FROM a\n"],
    [{ name: "repository/other", type: "link", linkname: "repository/docker/api" }],
  ]);
  assert.equal(await write(bytes, { strip: 1, dockerfile: "docker/api" }), "FROM a\n");
  assert.deepEqual(
    (await written()).map(([name]) => name),
    ["docker/api", "other"],
  );
});

test("the Dockerfile that counts is the last of its name", async () => {
  const bytes = await tarOf([DOCKERFILE, [{ name: "./Dockerfile" }, "FROM b\n"]]);
  assert.equal(await write(bytes), "FROM b\n");
});

const HOSTILE: [string, Entries, RegExp][] = [
  ["a name with ..", [DOCKERFILE, [{ name: "a/../../b" }, "x"]], /leads out/],
  ["an absolute name", [DOCKERFILE, [{ name: "/etc/passwd" }, "x"]], /leads out/],
  ["a long name", [DOCKERFILE, [{ name: "x".repeat(300) }, "x"]], /too long/],
  ["a device", [DOCKERFILE, [{ name: "null", type: "character-device" }]], /character-device/],
  ["a fifo", [DOCKERFILE, [{ name: "pipe", type: "fifo" }]], /fifo/],
  [
    "a hard link to outside",
    [DOCKERFILE, [{ name: "a", type: "link", linkname: "../x" }]],
    /outside/,
  ],
  [
    "a Dockerfile that is overwritten through a link to its folder",
    [DOCKERFILE, [{ name: "s", type: "symlink", linkname: "." }], [{ name: "s/Dockerfile" }, "x"]],
    /below a link/,
  ],
  [
    "a folder that becomes a link",
    [DOCKERFILE, [{ name: "d/a" }, "x"], [{ name: "d", type: "symlink", linkname: "e" }]],
    /has a folder already/,
  ],
  [
    "a link that becomes a folder",
    [
      DOCKERFILE,
      [{ name: "d", type: "symlink", linkname: "." }],
      [{ name: "d/", type: "directory" }],
    ],
    /twice/,
  ],
  [
    "a Dockerfile that is a link",
    [[{ name: "Dockerfile", type: "symlink", linkname: "b" }]],
    /regular file/,
  ],
  [
    "a Dockerfile that becomes a link",
    [DOCKERFILE, [{ name: "Dockerfile", type: "link", linkname: "b" }]],
    /regular file/,
  ],
  [
    "no Dockerfile",
    [[{ name: "dockerfile" }, "x"]],
    /Cannot locate specified Dockerfile: Dockerfile/,
  ],
  ["nothing", [], /Cannot locate/],
  ["a huge Dockerfile", [[{ name: "Dockerfile" }, "#".repeat(2 ** 20 + 1)]], /Dockerfile of/],
  ["more than may be unpacked", [DOCKERFILE, [{ name: "a" }, Buffer.alloc(2 ** 21)]], /more than/],
];
test("a context is refused when it holds what no honest one does", async () => {
  for (const [what, entries, why] of HOSTILE)
    await assertRefused(await tarOf(entries), why, {
      max_bytes: what === "a huge Dockerfile" ? 10_000_000 : 1_000_000,
    }).catch((error: unknown) => assert.fail(`${what}: ${error}`));
});

test("a bomb is refused before it is unpacked, also behind the end of the archive", async () => {
  const bomb = gzipSync(Buffer.alloc(300 * 2 ** 20));
  await assertRefused(bomb, /more than/);
  const behind = Buffer.concat([await tarOf([DOCKERFILE]), Buffer.alloc(300 * 2 ** 20)]);
  await assertRefused(gzipSync(behind), /more than/);
});

test("what is cut or no tar is refused, not built without its rest", async () => {
  const whole = await tarOf([DOCKERFILE, [{ name: "a" }, Buffer.alloc(5_000, 1)]]);
  await assertRefused(whole.subarray(0, 2_000), /no whole tar/);
  await assertRefused(gzipSync(whole).subarray(0, 80), /no whole tar/);
  await assertRefused(Buffer.from("hello".repeat(1_000)), /no whole tar/);
  await assertRefused(Buffer.from([0x1f, 0x8b, 1, 2, 3]), /no whole tar/);
});

test("an end of the attempt ends the writing at once", async () => {
  const over = new AbortController();
  const endless = new Readable({ read() {} });
  endless.push((await tarOf([DOCKERFILE])).subarray(0, 512));
  setImmediate(() => over.abort(new Error("cancelled")));
  const limits = { dockerfile: "Dockerfile", strip: 0, max_bytes: 1_000_000, signal: over.signal };
  await assert.rejects(writeContext(endless, out, limits), /cancelled/);
});
