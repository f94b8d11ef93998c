import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { makeRepository } from "../../cli/dev/repository.ts";
import { ADMIN_TOKEN, type Edge, problemOf, startEdge } from "./edge.ts";

const run = promisify(execFile);

describe("what the Go face is sent by mistake or malice", { timeout: 120_000 }, () => {
  const base = "/git.example/o/tool/linux/amd64";
  let edge: Edge;

  before(async () => {
    edge = await startEdge({ vars: { RAILHEAD_RATE_PER_MINUTE: "1000" } });
    await makeRepository(join(edge.root, "o/tool.git"), [{ files: { n: "0" }, tag: "v1.0.0" }]);
  });
  after(() => edge.close());

  async function refused(path: string, init: RequestInit = { method: "POST" }) {
    const response = await edge.call(path, init);
    assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
    return problemOf(response);
  }

  test("a POST to a file, and any other method, is 405", async () => {
    const file = await edge.call(`${base}/v1.0.0/tool`, { method: "POST" });
    assert.equal(file.status, 405);
    assert.equal(file.headers.get("allow"), "GET, HEAD");
    assert.match((await problemOf(file)).detail, /curl -X POST.* -L .*-d ''/);
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const response = await edge.call(`${base}/v1.0.0`, { method });
      assert.equal(response.status, 405, method);
      assert.equal(response.headers.get("allow"), "GET, HEAD, POST");
      if (method !== "HEAD") assert.equal((await problemOf(response)).code, "method_not_allowed");
    }
  });

  test("every malformed path is 400 with a code, and nothing is a 500", async () => {
    for (const path of [
      "/git.example/o/tool/linux/amd46/v1",
      "/git.example/o/tool",
      "/git.example/o/tool/linux/amd64",
      "/git.example/o/tool/linux/amd64/",
      "/git.example/o/tool/linux/amd64/v1/a/b",
      "/git.example/o/tool/linux/amd64/-v1",
      "/git.example/o/tool/linux/amd64/v1%00",
      "/git.example/o/tool/linux/amd64/v1%0a",
      "/git.example/o/tool/linux/amd64/%zz",
      "/git.example/o/tool/linux/amd64/%ff",
      "/git.example/o/..%2ftool/linux/amd64/v1",
      "/git.example/o/--upload-pack/linux/amd64/v1",
      "/git.example/o/tool.git/linux/amd64/v1",
      `/git.example/o/${"x".repeat(10_000)}/linux/amd64/v1`,
      `/git.example/${"g/".repeat(40)}tool/linux/amd64/v1`,
      `${base}/v1.0.0?target=a%20b`,
      `${base}/v1.0.0?target=`,
      `${base}/v1.0.0?wait=x`,
      `${base}/v1.0.0?wait=-1`,
      `${base}/v1.0.0?wait=1e3`,
      `${base}/v1.0.0?wait=99999999999999`,
    ])
      assert.equal((await refused(path)).status, 400, path);
    for (const path of [`/${base}/v1.0.0`, `//${base}/v1.0.0`, `${base}//v1.0.0`])
      for (const method of ["GET", "POST"]) {
        const doubled = await refused(path, { method });
        assert.deepEqual([doubled.status, doubled.code], [400, "bad_path"], path);
        assert.match(doubled.detail, /two slashes/);
      }
    assert.equal((await refused("//builds/x")).status, 404);
    const platform = await refused("/git.example/o/tool/linux/amd46/v1");
    assert.equal(platform.code, "unknown_platform");
    assert.match(platform.detail, /linux\/amd64/);
    assert.equal((platform.valid as string[])[0], "linux/amd64");
  });

  test("dots that climb are gone before anything reads them", async () => {
    for (const path of ["/git.example/../builds/x", "/git.example/%2e%2e/%2e%2e/api/agents"]) {
      const { stdout } = await run("curl", [
        "-s",
        "--path-as-is",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        `${edge.url}${path}`,
      ]);
      assert.match(stdout, /^4\d\d$/);
    }
  });

  test("odd headers and bodies change nothing", async () => {
    for (const init of [
      { headers: { prefer: "wait=x, respond-async" } },
      { headers: { prefer: "wait=99999999999" } },
      { headers: { range: "bytes=zz" } },
      { headers: { "if-none-match": '"' } },
      { headers: { accept: ";;;q=9,,*/", "content-type": "text/xml" }, body: "<x/>" },
      { headers: { authorization: "x".repeat(8_000) } },
      { headers: { authorization: "Basic !!!" } },
    ]) {
      const response = await edge.call(`${base}/v1.0.0`, { method: "POST", ...init });
      assert.equal(response.status, 202, JSON.stringify(init));
      await response.body?.cancel();
    }
    const huge = await edge.call(`${base}/v1.0.0`, { method: "POST", body: "x".repeat(100_000) });
    assert.equal(huge.status, 413);
    const forged = await edge.call(`${base}/v1.0.0`, {
      method: "POST",
      headers: { "railhead-token": "nonsense" },
    });
    assert.equal(forged.status, 401);
  });
});

describe("builds for token holders", { timeout: 120_000 }, () => {
  let edge: Edge;

  before(async () => {
    edge = await startEdge({ vars: { RAILHEAD_OPEN_BUILDS: "false", RAILHEAD_QUEUE_LIMIT: "2" } });
    await makeRepository(
      join(edge.root, "o/tool.git"),
      Array.from({ length: 4 }, (_, i) => ({ files: { n: `${i}` }, tag: `v1.${i}.0` })),
    );
  });
  after(() => edge.close());

  test("without a token 401, after the path and the remote were looked at", async () => {
    const status = async (path: string, headers: Record<string, string> = {}) => {
      const response = await edge.call(path, { method: "POST", headers });
      return [response.status, (await problemOf(response)).code];
    };
    assert.deepEqual(await status("/git.example/o/tool/linux/amd46/v1.0.0"), [
      400,
      "unknown_platform",
    ]);
    assert.deepEqual(await status("/evil.example/o/tool/linux/amd64/v1.0.0"), [
      403,
      "remote_not_allowed",
    ]);
    const path = "/git.example/o/tool/linux/amd64/v1.0.0";
    assert.deepEqual(await status(path), [401, "unauthorized"]);
    assert.deepEqual(await status(path, { authorization: "token of-a-git-host" }), [
      401,
      "unauthorized",
    ]);
    assert.deepEqual(await status(path, { authorization: "Bearer rh_unknown" }), [
      401,
      "unauthorized",
    ]);
    const response = await edge.call(path, { method: "POST" });
    assert.ok(response.headers.get("www-authenticate"));
    const cancel = await edge.call(`/builds/${"0".repeat(32)}`, { method: "DELETE" });
    assert.equal(cancel.status, 401);
  });

  test("with a build token it builds; a full queue is 429 and says when to come back", async () => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const post = (version: string, more = {}) =>
      edge.call(`/git.example/o/tool/linux/amd64/${version}`, {
        method: "POST",
        headers: { ...headers, ...more },
      });
    assert.equal((await post("v1.0.0")).status, 202);
    assert.equal((await post("v1.1.0")).status, 202);
    const full = await post("v1.2.0");
    assert.equal(full.status, 429);
    assert.ok(Number(full.headers.get("retry-after")) > 0);
    assert.equal((await problemOf(full)).code, "queue_full");
    assert.equal((await post("v1.0.0")).status, 202, "a join is never refused");
  });
});
