import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { hello } from "../support/fixtures.ts";
import { must, run } from "../support/process.ts";
import { openStack, type TestStack } from "../support/stack.ts";

const EXACT = "/git.example/ada/hello/linux/amd64/v1.0.0";
const FILE = `${EXACT}/hello_linux_amd64.tar.gz`;

describe("asking for a version and downloading it", () => {
  let stack: TestStack;
  let archive: Buffer;

  before(async () => {
    stack = await openStack({ repositories: { "ada/hello": hello } });
    await stack.ensure(EXACT);
    archive = await stack.bytes(EXACT);
  });
  after(() => stack?.close());

  async function problem(response: Response): Promise<Record<string, unknown>> {
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    return (await response.json()) as Record<string, unknown>;
  }

  test("GET and HEAD of what is built lead to the file", async () => {
    for (const method of ["GET", "HEAD"]) {
      const response = await stack.fetch(EXACT, { method });
      assert.equal(response.status, 303);
      assert.equal(stack.path(response.headers.get("location")), FILE);
    }
  });

  test("the file comes with its length, name, a strong ETag, and for ever", async () => {
    const response = await stack.fetch(FILE);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-length"), String(archive.length));
    assert.match(response.headers.get("etag") ?? "", /^"[^"]+"$/);
    assert.match(
      response.headers.get("content-disposition") ?? "",
      /^attachment; filename="?hello_linux_amd64\.tar\.gz"?$/,
    );
    assert.equal(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
    assert.equal(response.headers.get("accept-ranges"), "bytes");
    assert.ok(!Number.isNaN(Date.parse(response.headers.get("last-modified") ?? "")));
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), archive);

    const head = await stack.fetch(FILE, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
    for (const name of ["content-length", "etag", "content-disposition", "last-modified"])
      assert.equal(head.headers.get(name), response.headers.get(name), name);
  });

  test("what a client has already is not sent again", async () => {
    const { headers } = await stack.fetch(FILE, { method: "HEAD" });
    const etag = headers.get("etag") as string;
    for (const condition of [
      { "if-none-match": etag },
      { "if-none-match": `W/${etag}` },
      { "if-none-match": `"other", ${etag}` },
      { "if-none-match": "*" },
      { "if-modified-since": headers.get("last-modified") as string },
    ]) {
      const response = await stack.fetch(FILE, { headers: condition });
      assert.equal(response.status, 304, JSON.stringify(condition));
      assert.equal(response.headers.get("etag"), etag);
      assert.equal((await response.arrayBuffer()).byteLength, 0);
    }
    const other = await stack.fetch(FILE, { headers: { "if-none-match": '"other"' } });
    assert.equal(other.status, 200);
    await other.body?.cancel();
  });

  test("a part is served when the range and If-Range hold", async () => {
    const size = archive.length;
    const etag = (await stack.fetch(FILE, { method: "HEAD" })).headers.get("etag") as string;
    const part = async (headers: Record<string, string>) => {
      const response = await stack.fetch(FILE, { headers });
      const bytes = Buffer.from(await response.arrayBuffer());
      return { status: response.status, range: response.headers.get("content-range"), bytes };
    };
    assert.deepEqual(await part({ range: "bytes=0-99" }), {
      status: 206,
      range: `bytes 0-99/${size}`,
      bytes: archive.subarray(0, 100),
    });
    assert.deepEqual(await part({ range: "bytes=-10" }), {
      status: 206,
      range: `bytes ${size - 10}-${size - 1}/${size}`,
      bytes: archive.subarray(-10),
    });
    assert.deepEqual(await part({ range: `bytes=${size - 5}-`, "if-range": etag }), {
      status: 206,
      range: `bytes ${size - 5}-${size - 1}/${size}`,
      bytes: archive.subarray(-5),
    });
    const changed = await part({ range: "bytes=0-99", "if-range": '"other"' });
    assert.equal(changed.status, 200);
    assert.deepEqual(changed.bytes, archive);
    const beyond = await part({ range: `bytes=${size}-` });
    assert.equal(beyond.status, 416);
    assert.equal(beyond.range, `bytes */${size}`);
  });

  test("a download that was cut is resumed by curl", async () => {
    const folder = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    try {
      const curl = (...args: string[]) =>
        must("curl", ["-sS", "-L", "-o", "file", ...args, stack.url + FILE], { cwd: folder });
      await curl("-r", "0-999");
      await curl("-C", "-");
      const sum = createHash("sha256").update(archive).digest("hex");
      assert.equal(await must("sha256sum", ["file"], { cwd: folder }), `${sum}  file\n`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("hashes come in the form that coreutils check", async () => {
    const sum = createHash("sha256").update(archive).digest("hex");
    const single = await stack.fetch(`${FILE}.sha256`);
    assert.equal(await single.text(), `${sum}  hello_linux_amd64.tar.gz\n`);
    const bare = await stack.bytes(`${EXACT}/hello`);
    const bareSum = createHash("sha256").update(bare).digest("hex");
    const all = await (await stack.fetch(`${EXACT}/checksums.txt`)).text();
    assert.deepEqual(
      all.trimEnd().split("\n").sort(),
      [`${bareSum}  hello`, `${sum}  hello_linux_amd64.tar.gz`].sort(),
    );
  });

  test("a file that the build did not make is not there", async () => {
    for (const file of ["hello_linux_arm64.tar.gz", "hello.exe", "other", "other.sha256"]) {
      const response = await stack.fetch(`${EXACT}/${file}`);
      assert.equal(response.status, 404, file);
      assert.equal((await problem(response)).code, "no_such_file", file);
    }
  });

  test("a POST of what is built says so and names the download", async () => {
    const response = await stack.post(EXACT);
    assert.equal(response.status, 409);
    const body = await problem(response);
    assert.equal(body.code, "already_exists");
    assert.match(String(body.title), /already exists/);
    assert.ok(JSON.stringify(body).includes(FILE), JSON.stringify(body));

    const waited = await stack.post(`${EXACT}?wait=30`);
    assert.ok([303, 409].includes(waited.status), String(waited.status));
  });

  test("what was never built is named so, with the POST to send", async () => {
    const response = await stack.fetch("/git.example/ada/hello/plan9/386/v1.0.0");
    assert.equal(response.status, 404);
    const body = await problem(response);
    assert.equal(body.code, "not_built");
    assert.match(String(body.detail), /POST/);
  });

  test("a build that runs is named so, with its id and log, and ?wait= ends with it", async () => {
    const path = "/git.example/ada/hello/linux/amd64/held";
    const posted = await stack.post(path);
    assert.equal(posted.status, 202);
    assert.ok(posted.headers.get("retry-after"));
    const first = (await posted.json()) as Record<string, string>;

    const response = await stack.fetch(path);
    assert.equal(response.status, 404);
    assert.ok(response.headers.get("retry-after"));
    const body = await problem(response);
    assert.equal(body.code, "building");
    assert.equal(body.build_id, first.build_id);
    assert.ok(JSON.stringify(body).includes(`/builds/${first.build_id}/logs`));

    const again = await stack.post(path);
    assert.equal(again.status, 202);
    assert.equal(((await again.json()) as Record<string, string>).build_id, first.build_id);

    const short = await stack.post(`${path}?wait=1`);
    assert.equal(short.status, 202, "a build that does not end in time is still accepted");

    const waiting = [
      stack.post(`${path}?wait=60`),
      stack.post(path, { headers: { prefer: "wait=60" } }),
    ];
    await stack.release(first.build_id as string);
    for (const response of await Promise.all(waiting)) {
      assert.equal(response.status, 303);
      assert.equal(
        stack.path(response.headers.get("location")),
        `${path}/hello_linux_amd64.tar.gz`,
      );
    }
  });

  test("latest, a range and a branch lead to an exact version", async () => {
    const base = "/git.example/ada/hello/linux/amd64";
    const branchTip = stack.commits("ada/hello").at(-1) as string;
    for (const [asked, exact] of [
      ["latest", "v2.0.0"],
      ["v1", "v1.1.0"],
      ["1.0", "v1.0.0"],
      ["v1.2", "v1.2.0-rc.1"],
      ["next%2Fbig", branchTip],
    ] as const) {
      const response = await stack.fetch(`${base}/${asked}`);
      if (asked === "v1.2") {
        assert.equal(response.status, 404, "a range never picks a pre-release by itself");
        continue;
      }
      assert.equal(response.status, 302, asked);
      assert.equal(stack.path(response.headers.get("location")), `${base}/${exact}`);
      assert.match(response.headers.get("cache-control") ?? "", /no-store/);
    }

    const posted = await stack.post(`${base}/latest`);
    assert.equal(posted.status, 202);
    const body = (await posted.json()) as Record<string, string>;
    assert.equal(body.version, "v2.0.0");
    assert.equal(
      stack.path(posted.headers.get("location")),
      `${base}/v2.0.0/hello_linux_amd64.tar.gz`,
    );
    assert.equal((await stack.ended(body.build_id as string)).record.state, "succeeded");
    const downloaded = await stack.fetch(`${base}/latest`, { redirect: "follow" });
    assert.equal(downloaded.status, 200);
    await downloaded.body?.cancel();
  });

  test("a full commit is a version", async () => {
    const commit = stack.commits("ada/hello")[1] as string;
    const path = `/git.example/ada/hello/linux/amd64/${commit}`;
    const ended = await stack.build(path);
    assert.equal(ended.record.state, "succeeded");
    assert.equal(ended.record.commit, commit);
  });

  test("a tag that is not there names the nearest ones", async () => {
    const response = await stack.post("/git.example/ada/hello/linux/amd64/v1.0.1");
    assert.equal(response.status, 404);
    const body = await problem(response);
    assert.equal(body.code, "no_such_version");
    assert.match(String(body.detail), /v1\.0\.0/);
    const none = await stack.post("/git.example/ada/nothing/linux/amd64/v1.0.0");
    assert.equal(none.status, 404);
    assert.equal((await problem(none)).code, "no_such_repository");
  });

  test("an installer builds what is missing, verifies it and puts the program into PREFIX", async () => {
    const prefix = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    try {
      for (const path of [
        "/install/git.example/ada/hello",
        "/install/git.example/ada/hello@v1.1.0",
      ]) {
        const script = await stack.fetch(path);
        assert.equal(script.status, 200);
        const ran = await run("sh", [], {
          input: await script.text(),
          cwd: prefix,
          env: { ...process.env, PREFIX: prefix, HOME: prefix },
        });
        assert.equal(ran.code, 0, ran.stderr);
        const version = path.includes("@") ? "v1.1.0" : "v2.0.0";
        assert.match(await must(join(prefix, "bin/hello"), []), new RegExp(`^hello ${version} `));
      }
      assert.deepEqual(await readdir(prefix), ["bin"], "nothing is left beside the program");
    } finally {
      await rm(prefix, { recursive: true });
    }
  });

  test("an installer that was cut anywhere installs nothing and breaks nothing", async () => {
    const script = await (await stack.fetch("/install/git.example/ada/hello")).text();
    const prefix = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    try {
      const step = Math.ceil(script.length / 12);
      for (let length = step; length < script.length - 1; length += step) {
        await run("sh", [], {
          input: script.slice(0, length),
          cwd: prefix,
          env: { ...process.env, PREFIX: prefix, HOME: prefix },
        });
        assert.deepEqual(await readdir(prefix), [], `cut after ${length} bytes`);
      }
    } finally {
      await rm(prefix, { recursive: true });
    }
  });
});
