import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { createGunzip } from "node:zlib";
import tar from "tar-stream";
import { listContext, locateDockerfile, packContext } from "./context.ts";
import { CliError, EXIT } from "./errors.ts";

describe("a folder as a build context", () => {
  let root: string;

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "railhead-context-"));
  });
  after(() => rm(root, { recursive: true }));

  async function folderOf(files: Record<string, string>): Promise<string> {
    const folder = await mkdtemp(join(root, "f-"));
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    return folder;
  }

  async function names(folder: string, dockerfile = "Dockerfile"): Promise<string[]> {
    return (await listContext(folder, dockerfile)).map(({ name }) => name);
  }

  async function unpack(folder: string) {
    const body = packContext(await listContext(folder, "Dockerfile"), () => {});
    const entries = Readable.from(body).pipe(createGunzip()).pipe(tar.extract());
    const found: { header: tar.Header; content: string }[] = [];
    for await (const entry of entries)
      found.push({ header: entry.header, content: await text(entry) });
    return found;
  }

  test("everything is sent, in a stable order, when nothing is ignored", async () => {
    const folder = await folderOf({ Dockerfile: "", "b/c": "", a: "", "b/.hidden": "" });
    assert.deepEqual(await names(folder), ["Dockerfile", "a", "b", "b/.hidden", "b/c"]);
  });

  test("what is never sent is left out at any depth, whatever .dockerignore takes back", async () => {
    const folder = await folderOf({
      ".dockerignore": "!.git\n!**/.peroku.json\n",
      ".git/HEAD": "",
      ".gitignore": "",
      ".peroku.json": "",
      Dockerfile: "",
      "sub/.git": "",
      "sub/.peroku.json": "",
      "sub/a": "",
    });
    const files = await listContext(folder, "Dockerfile", [".git", ".peroku.json"]);
    assert.deepEqual(
      files.map(({ name }) => name),
      [".dockerignore", ".gitignore", "Dockerfile", "sub", "sub/a"],
    );
  });

  test(".dockerignore leaves out what it names, and takes back what it excepts", async () => {
    const folder = await folderOf({
      ".dockerignore":
        "# a comment\nnode_modules\n**/*.log\ndocs\n!docs/kept.md\n/secret\nbuild/\n",
      Dockerfile: "",
      "node_modules/x/index.js": "",
      "src/a.log": "",
      "src/a.ts": "",
      "docs/gone.md": "",
      "docs/kept.md": "",
      secret: "",
      "src/secret": "",
      "build/out": "",
    });
    const kept = [".dockerignore", "Dockerfile", "docs/kept.md", "src", "src/a.ts", "src/secret"];
    assert.deepEqual(await names(folder), kept);
  });

  test("the Dockerfile and .dockerignore are sent even when they are ignored", async () => {
    const folder = await folderOf({ ".dockerignore": "*\n", "docker/Dockerfile": "", a: "" });
    assert.deepEqual(await names(folder, "docker/Dockerfile"), [
      ".dockerignore",
      "docker/Dockerfile",
    ]);
  });

  test("contents, permissions and links travel; owners do not", async () => {
    const folder = await folderOf({
      Dockerfile: "FROM scratch\n",
      "bin/run": "#!/bin/sh\n",
      ü: "ü",
    });
    await chmod(join(folder, "bin/run"), 0o755);
    await symlink("bin/run", join(folder, "link"));
    const long = `${"x".repeat(90)}/${"y".repeat(90)}`;
    await mkdir(join(folder, dirname(long)));
    await writeFile(join(folder, long), "long");
    const entries = new Map((await unpack(folder)).map((entry) => [entry.header.name, entry]));
    assert.equal(entries.get("Dockerfile")?.content, "FROM scratch\n");
    assert.equal(entries.get("bin/run")?.header.mode, 0o755);
    assert.equal(entries.get("bin")?.header.type, "directory");
    assert.equal(entries.get("link")?.header.linkname, "bin/run");
    assert.equal(entries.get(long)?.content, "long");
    assert.equal(entries.get("ü")?.content, "ü");
    for (const { header } of entries.values()) assert.deepEqual([header.uid, header.gid], [0, 0]);
  });

  test("a Dockerfile that is missing or lies outside is wrong usage", async () => {
    const folder = await folderOf({ a: "" });
    const usage = (pattern: RegExp) => (error: unknown) =>
      error instanceof CliError && error.status === EXIT.usage && pattern.test(error.message);
    await assert.rejects(locateDockerfile(folder, undefined), usage(/--file/));
    await assert.rejects(
      locateDockerfile(folder, join(root, "none")),
      usage(/There is no .*none\./),
    );
    await writeFile(join(root, "Dockerfile"), "");
    await assert.rejects(locateDockerfile(folder, join(root, "Dockerfile")), usage(/outside/));
    await writeFile(join(folder, "other"), "");
    assert.equal(await locateDockerfile(folder, join(folder, "other")), "other");
  });

  test("a file that cannot be read ends the upload with its name", async () => {
    const folder = await folderOf({ Dockerfile: "", gone: "x" });
    const files = await listContext(folder, "Dockerfile");
    await rm(join(folder, "gone"));
    const body = packContext(files, () => {});
    await assert.rejects(
      async () => {
        for await (const _ of body);
      },
      (error) => error instanceof CliError && /gone cannot be read/.test(error.message),
    );
  });

  test("a context that is too large is not sent to its end", async () => {
    const folder = await folderOf({ Dockerfile: "FROM scratch\n", a: "b".repeat(300_000) });
    const body = packContext(await listContext(folder, "Dockerfile"), () => {}, 100);
    await assert.rejects(text(body), /larger than 100 B\. .*\.dockerignore/);
  });
});
