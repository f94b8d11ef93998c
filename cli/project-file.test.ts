import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { perokRow } from "./commands/list.ts";
import { CliError, EXIT } from "./errors.ts";
import { PROJECT_FILE, readProjectFile, settingsOf } from "./project-file.ts";

describe(".peroku.json", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-project-"));
  });
  after(() => rm(folder, { recursive: true }));

  async function read(content: unknown) {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    await writeFile(join(folder, PROJECT_FILE), text);
    return readProjectFile(folder);
  }

  test("peroku's own members are read, the host with or without a scheme", async () => {
    const file = { token: "abc", project: "test-proj", rule: "Host:test.localhost" };
    for (const [peroku, url] of [
      ["peroku.localhost", "https://peroku.localhost"],
      ["peroku.localhost:8443/", "https://peroku.localhost:8443"],
      ["https://peroku.example/", "https://peroku.example"],
      ["http://127.0.0.1:8787", "http://127.0.0.1:8787"],
    ])
      assert.deepEqual(await read({ ...file, peroku }), { ...file, peroku: url });
  });

  test("a folder without one says nothing", async () => {
    assert.deepEqual(await readProjectFile(join(folder, "nowhere")), {});
  });

  test("memory is bytes, or what docker takes", async () => {
    for (const [memory, bytes] of [
      [67_108_864, 67_108_864],
      ["67108864", 67_108_864],
      ["64m", 67_108_864],
      ["64MiB", 67_108_864],
      ["1.5g", 1_610_612_736],
      ["512 KB", 524_288],
    ])
      assert.equal((await read({ memory })).memory, bytes);
  });

  test("only what it says is asked for: the rest is the edge's to choose", async () => {
    assert.deepEqual(settingsOf(await read({ port: 8080, health: { path: "/ok" } })), [
      ["port", "8080"],
      ["health_path", "/ok"],
    ]);
  });

  test("what is wrong is named, and no token is shown", async () => {
    for (const [content, says] of [
      ["{", /cannot be read/],
      [[], /expected object/],
      [{ memory: "much" }, /"memory": must be bytes, or an amount such as 512m/],
      [{ peroku: "ftp://x" }, /is no address of an edge/],
      [{ peroku: "" }, /is no address of an edge/],
      [{ token: "two words" }, /"token": must be a token/],
      [{ health: { seconds: "soon" } }, /"health\.seconds": .*number/],
      [{ port: "80" }, /"port": .*number/],
    ] as const)
      await assert.rejects(read(content), (error: Error) => {
        assert.ok(error instanceof CliError && error.status === EXIT.usage, String(error));
        assert.match(error.message, says);
        assert.doesNotMatch(error.message, /two words/);
        return true;
      });
  });

  test("an unreadable token file never quotes itself in the error", async () => {
    await assert.rejects(read('{"token": "secret-word" oops'), (error: Error) => {
      assert.doesNotMatch(error.message, /secret-word/);
      return true;
    });
  });
});

test("perok list pads a name to 20 columns, and a longer one still ends before the rule", () => {
  const rule = "Host:a";
  assert.equal(perokRow({ project: "shop", rule }), "shop                Host:a");
  assert.equal(perokRow({ project: "x".repeat(19), rule }), `${"x".repeat(19)} Host:a`);
  assert.equal(perokRow({ project: "x".repeat(30), rule }), `${"x".repeat(30)} Host:a`);
});
