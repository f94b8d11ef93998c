import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { goPath } from "../../shared/recipes/go.ts";
import { type Edge, problemOf, startEdge } from "./edge.ts";
import { goTarget, publicationOf } from "./targets.ts";

const run = promisify(execFile);

const ARCHIVE = Buffer.alloc(300_000, "0123456789");
const PROGRAM = Buffer.alloc(70_000, "ELF");
const IMMUTABLE = "public, max-age=31536000, immutable";

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("downloads", { timeout: 120_000 }, () => {
  const target = goTarget("o/tool");
  const path = goPath(target);
  const archive = `${path}/tool_linux_amd64.tar.gz`;
  let edge: Edge;
  let folder: string;

  before(async () => {
    edge = await startEdge();
    await edge.publish(
      publicationOf(target, { "tool_linux_amd64.tar.gz": ARCHIVE, tool: PROGRAM }),
    );
    folder = await mkdtemp(join(tmpdir(), "railhead-download-"));
  });
  after(async () => {
    await edge.close();
    await rm(folder, { recursive: true });
  });

  async function status(headers: Record<string, string>, url = archive): Promise<number> {
    const response = await edge.call(url, { headers });
    await response.arrayBuffer();
    return response.status;
  }

  test("curl -OJL of the exact path ends with the archive under its own name", async () => {
    await run("curl", ["-sSfOJL", `${edge.url}${path}`], { cwd: folder });
    assert.deepEqual(await readdir(folder), ["tool_linux_amd64.tar.gz"]);
    assert.equal(sha256(await readFile(join(folder, "tool_linux_amd64.tar.gz"))), sha256(ARCHIVE));
  });

  test("the exact path is 303 to the file", async () => {
    for (const method of ["GET", "HEAD"]) {
      const response = await edge.call(path, { method });
      assert.equal(response.status, 303);
      assert.equal(response.headers.get("location"), archive);
      assert.equal(response.headers.get("cache-control"), IMMUTABLE);
    }
  });

  test("the archive has every header of an immutable file, on HEAD too", async () => {
    for (const method of ["GET", "HEAD"]) {
      const response = await edge.call(archive, { method });
      const body = Buffer.from(await response.arrayBuffer());
      assert.equal(response.status, 200);
      assert.equal(body.length, method === "GET" ? ARCHIVE.length : 0);
      const header = (name: string) => response.headers.get(name);
      assert.equal(header("content-length"), String(ARCHIVE.length));
      assert.equal(header("etag"), `"${sha256(ARCHIVE)}"`);
      assert.equal(header("last-modified"), "Fri, 02 Jan 2026 03:04:05 GMT");
      assert.equal(header("accept-ranges"), "bytes");
      assert.equal(header("cache-control"), IMMUTABLE);
      assert.equal(header("content-type"), "application/gzip");
      assert.equal(header("content-disposition"), 'attachment; filename="tool_linux_amd64.tar.gz"');
      assert.equal(header("x-content-type-options"), "nosniff");
    }
  });

  test("the bare executable is there under its own name", async () => {
    const response = await edge.call(`${path}/tool`);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), PROGRAM);
    assert.equal(response.headers.get("content-disposition"), 'attachment; filename="tool"');
  });

  test("sha256sum -c takes checksums.txt and the .sha256 of each file", async () => {
    const files = { "tool_linux_amd64.tar.gz": ARCHIVE, tool: PROGRAM };
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
    for (const sum of ["checksums.txt", "tool.sha256", "tool_linux_amd64.tar.gz.sha256"]) {
      await run("curl", ["-sSfOJ", `${edge.url}${path}/${sum}`], { cwd: folder });
      await run("sha256sum", ["--strict", "-c", sum], { cwd: folder });
    }
    const sums = await readFile(join(folder, "checksums.txt"), "utf8");
    assert.equal(sums, `${sha256(PROGRAM)}  tool\n${sha256(ARCHIVE)}  tool_linux_amd64.tar.gz\n`);
  });

  test("a client that has the file is told so", async () => {
    const etag = `"${sha256(ARCHIVE)}"`;
    assert.equal(await status({ "if-none-match": etag }), 304);
    assert.equal(await status({ "if-none-match": `W/${etag}` }), 304);
    assert.equal(await status({ "if-modified-since": "Fri, 02 Jan 2026 03:04:05 GMT" }), 304);
    assert.equal(await status({ "if-none-match": '"other"' }), 200);
    assert.equal(await status({ "if-match": '"other"' }), 412);
    assert.equal(await status({ "if-match": etag }), 200);
    const checksums = await edge.call(`${path}/checksums.txt`);
    await checksums.text();
    const sum = { "if-none-match": checksums.headers.get("etag") ?? "" };
    assert.equal(await status(sum, `${path}/checksums.txt`), 304);
  });

  test("a range is answered with exactly its bytes", async () => {
    for (const [range, start, end] of [
      ["bytes=0-9", 0, 10],
      ["bytes=299990-", 299_990, 300_000],
      ["bytes=-7", 299_993, 300_000],
      ["bytes=100-99999999", 100, 300_000],
    ] as const) {
      const response = await edge.call(archive, { headers: { range } });
      assert.equal(response.status, 206, range);
      const body = Buffer.from(await response.arrayBuffer());
      assert.deepEqual(body, ARCHIVE.subarray(start, end), range);
      assert.equal(response.headers.get("content-range"), `bytes ${start}-${end - 1}/300000`);
      assert.equal(response.headers.get("content-length"), String(end - start));
    }
    const sums = await edge.call(`${path}/tool.sha256`, { headers: { range: "bytes=0-63" } });
    assert.equal(await sums.text(), sha256(PROGRAM));
  });

  test("a range behind the end is 416 and says how long the file is", async () => {
    const response = await edge.call(archive, { headers: { range: "bytes=300000-" } });
    assert.equal(response.status, 416);
    assert.equal(response.headers.get("content-range"), "bytes */300000");
    assert.equal((await problemOf(response)).code, "range_not_satisfiable");
  });

  test("a download that was cut off goes on where it stopped, or starts anew for another file", async () => {
    const half = join(folder, "half");
    await writeFile(half, ARCHIVE.subarray(0, 150_000));
    await run("curl", ["-sSf", "-C", "-", "-o", half, `${edge.url}${archive}`]);
    assert.deepEqual(await readFile(half), ARCHIVE);
    const range = "bytes=150000-";
    assert.equal(await status({ range, "if-range": `"${sha256(ARCHIVE)}"` }), 206);
    assert.equal(await status({ range, "if-range": '"other"' }), 200);
  });

  test("an unknown file is 404 and names those there are", async () => {
    const response = await edge.call(`${path}/other`);
    assert.equal(response.status, 404);
    const problem = await problemOf(response);
    assert.equal(problem.code, "no_such_file");
    assert.match(problem.detail, /tool_linux_amd64\.tar\.gz, tool, checksums\.txt/);
  });

  test("a hit does not read the caller's credential, and the git host is not asked", async () => {
    const before = edge.git.requests.length;
    assert.equal(await status({ authorization: "token whatever" }), 200);
    assert.equal(edge.git.requests.length, before);
  });

  test("a POST of what is there is 409 in torokko's words, with the URL", async () => {
    const response = await edge.call(path, { method: "POST" });
    assert.equal(response.status, 409);
    const problem = await problemOf(response);
    assert.equal(problem.title, "already exists");
    assert.match(problem.detail, /^already exists/);
    assert.equal(problem.artifact, `${edge.url}${archive}`);
    const curl = await run("curl", ["-sX", "POST", `${edge.url}${path}`]);
    assert.equal(curl.stdout, `already exists: download it from ${edge.url}${archive}\n`);
  });

  test("a make target has files of its own", async () => {
    const other = goTarget("o/tool", { make: "release" });
    assert.equal((await edge.call(goPath(other))).status, 404);
    await edge.publish(publicationOf(other, { "tool_linux_amd64.tar.gz": "release" }));
    const response = await edge.call(`${path}/tool_linux_amd64.tar.gz?target=release`);
    assert.equal(await response.text(), "release");
    const hit = await edge.call(`${path}?target=release`);
    assert.equal(hit.headers.get("location"), `${archive}?target=release`);
  });

  test("a file that R2 has lost is not built any more, and never half served", async () => {
    const lost = goTarget("o/lost");
    const { files } = await edge.publish(
      publicationOf(lost, { "lost_linux_amd64.tar.gz": "bytes" }),
    );
    await edge.bucket.delete(files[0]?.key ?? "");
    for (const method of ["GET", "HEAD"]) {
      const response = await edge.call(`${goPath(lost)}/lost_linux_amd64.tar.gz`, { method });
      assert.equal(response.status, 404);
      if (method === "GET") assert.equal((await problemOf(response)).code, "not_built");
    }
  });

  test("a file that was lost and built again is served at once", async () => {
    const again = goTarget("o/again");
    const url = `${goPath(again)}/again_linux_amd64.tar.gz`;
    const publish = (bytes: string) =>
      edge.publish(publicationOf(again, { "again_linux_amd64.tar.gz": bytes }));
    const { files } = await publish("first");
    assert.equal(await (await edge.call(url)).text(), "first");
    await edge.bucket.delete(files[0]?.key ?? "");
    assert.equal(await status({}, url), 404);
    await publish("second");
    assert.equal(await (await edge.call(url)).text(), "second");
  });

  test("bytes that are not those of the manifest are never served", async () => {
    const changed = goTarget("o/changed");
    const { files } = await edge.publish(
      publicationOf(changed, { "changed_linux_amd64.tar.gz": "right" }),
    );
    await edge.bucket.put(files[0]?.key ?? "", "wrong");
    assert.equal(await status({}, `${goPath(changed)}/changed_linux_amd64.tar.gz`), 404);
  });
});
