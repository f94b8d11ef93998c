import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { makeRepository } from "../../cli/dev/repository.ts";
import { ADMIN_TOKEN, type Edge, problemOf, startEdge } from "./edge.ts";
import { goTarget, publicationOf } from "./targets.ts";

const run = promisify(execFile);

type Accepted = {
  build_id: string;
  status: string;
  version: string;
  commit: string;
  position: number | null;
  log: string;
  artifact: string;
};

describe("the Go face", { timeout: 120_000 }, () => {
  const base = "/git.example/o/tool/linux/amd64";
  let edge: Edge;
  let commits: string[];

  before(async () => {
    edge = await startEdge({ vars: { RAILHEAD_RATE_PER_MINUTE: "1000" } });
    commits = await makeRepository(join(edge.root, "o/tool.git"), [
      { files: { n: "0" }, tag: "v1.0.0", annotated: true },
      { files: { n: "1" }, tag: "v1.1.0" },
      { files: { n: "2" }, tag: "v1.10.0" },
      { files: { n: "3" }, tag: "v2.0.0-rc.1" },
      { files: { n: "4" }, tag: "cmd/v0.1.0" },
      { files: { n: "5" } },
      { files: { n: "6" }, branch: "feature/x" },
    ]);
    await makeRepository(join(edge.root, "o/untagged.git"), [{ files: { n: "0" } }]);
  });
  after(() => edge.close());

  async function post(path: string, headers: Record<string, string> = {}): Promise<Accepted> {
    const response = await edge.call(path, { method: "POST", headers });
    const body = await response.json();
    assert.equal(response.status, 202, JSON.stringify(body));
    return body as Accepted;
  }

  async function refused(path: string, init: RequestInit = { method: "POST" }) {
    const response = await edge.call(path, init);
    assert.match(response.headers.get("content-type") ?? "", /^application\/problem\+json/);
    const problem = await problemOf(response);
    assert.equal(problem.status, response.status);
    assert.equal(problem.type, `urn:railhead:problem:${problem.code}`);
    assert.ok(problem.title.length > 0 && problem.detail.length > 0);
    return problem;
  }

  test("a POST is 202 with the build and where its artifact will be", async () => {
    const response = await edge.call(`${base}/v1.0.0`, { method: "POST" });
    assert.equal(response.status, 202);
    assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
    assert.ok(Number(response.headers.get("retry-after")) > 0);
    assert.equal(response.headers.get("location"), `${base}/v1.0.0/tool_linux_amd64.tar.gz`);
    const body = (await response.json()) as Accepted;
    assert.match(body.build_id, /^[0-9a-f]{32}$/);
    assert.equal(body.status, "queued");
    assert.equal(body.version, "v1.0.0");
    assert.equal(body.commit, commits[0], "an annotated tag is the commit behind it");
    assert.equal(body.log, `${edge.url}/builds/${body.build_id}/logs`);
    assert.equal(body.artifact, `${edge.url}${base}/v1.0.0/tool_linux_amd64.tar.gz`);
    const joined = await post(`${base}/v1.0.0`);
    assert.equal(joined.build_id, body.build_id);
    const building = await refused(`${base}/v1.0.0`, {});
    assert.equal(building.code, "building");
    assert.equal(building.build_id, body.build_id);
  });

  test("curl gets JSON for a build, and one line for an error", async () => {
    const built = await run("curl", ["-sX", "POST", `${edge.url}${base}/v1.0.0`]);
    assert.match(built.stdout, /^\{"build_id":"[0-9a-f]{32}",/);
    const error = await run("curl", ["-sX", "POST", `${edge.url}${base}/v1.0.1`]);
    assert.equal(
      error.stdout,
      "git.example/o/tool has no tag or branch v1.0.1. Nearest tags: v1.0.0, v1.1.0, v1.10.0, v2.0.0-rc.1, cmd/v0.1.0.\n",
    );
    const json = await run("curl", [
      "-sX",
      "POST",
      "-H",
      "Accept: application/json",
      `${edge.url}${base}/v1.0.1`,
    ]);
    assert.equal(JSON.parse(json.stdout).code, "no_such_version");
  });

  test("fifty POSTs of one target at once are one build and one look at the git host", async () => {
    const before = edge.git.requests.length;
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(`${base}/v1.1.0`)));
    assert.equal(new Set(answers.map(({ build_id }) => build_id)).size, 1);
    assert.ok(edge.git.requests.length - before <= 4, `${edge.git.requests.length - before}`);
  });

  test("latest, ranges and branches become an exact version", async () => {
    for (const [version, exact] of [
      ["latest", "v1.10.0"],
      ["v1", "v1.10.0"],
      ["1.1", "v1.1.0"],
      ["%5E1.0", "v1.10.0"],
      ["~1.0.0", "v1.0.0"],
      ["%3C1.5", "v1.1.0"],
      ["main", commits[5]],
      ["feature%2Fx", commits[6]],
    ] as const) {
      const posted = await edge.call(`${base}/${version}`, { method: "POST" });
      assert.equal(posted.status, 202, version);
      const { version: got } = (await posted.json()) as Accepted;
      assert.equal(got, exact, version);
      assert.equal(posted.headers.get("location"), `${base}/${exact}/tool_linux_amd64.tar.gz`);
      for (const method of ["GET", "HEAD"]) {
        const response = await edge.call(`${base}/${version}`, { method });
        assert.equal(response.status, 302, version);
        assert.equal(response.headers.get("location"), `${base}/${exact}`);
        assert.equal(response.headers.get("cache-control"), "no-store");
      }
      const file = await edge.call(`${base}/${version}/checksums.txt`);
      assert.equal(file.headers.get("location"), `${base}/${exact}/checksums.txt`);
    }
  });

  test("a tag with a slash stays one segment", async () => {
    const { version, artifact } = await post(`${base}/cmd%2Fv0.1.0`);
    assert.equal(version, "cmd/v0.1.0");
    assert.match(artifact, /\/cmd%2Fv0\.1\.0\/tool_linux_amd64\.tar\.gz$/);
  });

  test("a whole commit is exact, in capitals too; a short one is refused with all of its digits", async () => {
    const commit = commits[2] as string;
    assert.equal((await post(`${base}/${commit}`)).version, commit);
    assert.equal((await post(`${base}/${commit.toUpperCase()}`)).version, commit);
    const problem = await refused(`${base}/${commit.slice(0, 8)}`);
    assert.equal(problem.code, "no_such_version");
    assert.ok(problem.detail.includes(commit), problem.detail);
    const unadvertised = "d".repeat(40);
    assert.equal((await post(`${base}/${unadvertised}`)).commit, unadvertised);
  });

  test("without tags, latest is the default branch", async () => {
    const { version } = await post("/git.example/o/untagged/linux/amd64/latest");
    assert.match(version, /^[0-9a-f]{40}$/);
    const problem = await refused("/git.example/o/untagged/linux/amd64/v1.0.0");
    assert.match(problem.detail, /It has no tags\.$/);
  });

  test("a tag that was pushed a moment ago is found", async () => {
    const path = "/git.example/o/fresh/linux/amd64/v1.0.0";
    const bare = join(edge.root, "o/fresh.git");
    await makeRepository(bare, [{ files: { n: "0" } }]);
    assert.equal((await refused(path)).code, "no_such_version");
    await makeRepository(bare, [{ files: { n: "1" }, tag: "v1.0.0" }]);
    assert.equal((await post(path)).version, "v1.0.0");
  });

  test("a version that is not there names the nearest tags", async () => {
    const problem = await refused(`${base}/v1.1.1`);
    assert.equal(problem.code, "no_such_version");
    assert.deepEqual((problem.nearest as string[]).slice(0, 2), ["v1.1.0", "v1.0.0"]);
  });

  test("a repository that is not there is 404, a remote that is not allowed 403", async () => {
    assert.equal((await refused("/git.example/o/nope/linux/amd64/v1")).code, "no_such_repository");
    const problem = await refused("/evil.example/o/tool/linux/amd64/v1");
    assert.equal(problem.code, "remote_not_allowed");
    assert.equal(problem.status, 403);
    assert.deepEqual((problem.allowed as string[]).slice(0, 2), ["git.example", "github.com"]);
  });

  test("a GET of what was never built is 404 with the POST to send", async () => {
    for (const path of [`${base}/v9.9.9`, `${base}/no-such-branch`]) {
      const problem = await refused(path, {});
      assert.equal(problem.code, "not_built");
      assert.ok(problem.detail.includes(`curl -X POST '${edge.url}${path}'`), problem.detail);
      const file = await refused(`${path}/tool_linux_amd64.tar.gz`, {});
      assert.equal(file.code, "not_built");
    }
  });

  test("a GET below a remote that is not allowed is 403, like the POST", async () => {
    const path = "/evil.example/o/tool/linux/amd64/v1.0.0";
    assert.equal((await refused(path, {})).code, "remote_not_allowed");
    assert.equal((await refused(path)).code, "remote_not_allowed");
  });

  test("a git host that does not answer is 502, and is named", async () => {
    const problem = await refused("/other.example/o/tool/linux/amd64/v1");
    assert.equal(problem.code, "remote_unreachable");
    assert.equal(problem.status, 502);
    assert.match(problem.detail, /^other\.example did not answer/);
  });

  test("Railhead's own tokens never reach a git host", async () => {
    const before = edge.git.requests.length;
    for (const authorization of [
      `Bearer ${ADMIN_TOKEN}`,
      `Basic ${btoa(`x:${ADMIN_TOKEN}`)}`,
      ADMIN_TOKEN,
    ]) {
      await post(`${base}/v1.0.0`, { authorization });
      await edge.call(`${base}/v1.0.0`, { headers: { authorization } });
      await edge.call("/git.example/o/nope/linux/amd64/v1", {
        method: "POST",
        headers: { authorization },
      });
    }
    const seen = edge.git.requests.slice(before).map(({ authorization }) => authorization);
    assert.ok(seen.length > 0);
    assert.deepEqual([...new Set(seen)], [null]);
  });

  test("what is published after all is served whatever the git host says", async () => {
    const gone = goTarget("o/gone");
    await edge.publish(publicationOf(gone, { "gone_linux_amd64.tar.gz": "bytes" }));
    const response = await edge.call("/git.example/o/gone/linux/amd64/v1.0.0");
    assert.equal(response.status, 303);
    const posted = await refused("/git.example/o/gone/linux/amd64/v1.0.0");
    assert.equal(posted.code, "already_exists");
  });
});
