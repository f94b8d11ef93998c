import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { type GitServer, startGitServer } from "./git-server.ts";
import { makeRepository } from "./repository.ts";

const run = promisify(execFile);

/** git as a stranger's machine would run it: no settings, no prompts. */
function git(args: string[], config: Record<string, string> = {}): Promise<{ stdout: string }> {
  const entries = Object.entries(config);
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: "/nonexistent",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: String(entries.length),
  };
  entries.forEach(([key, value], i) => {
    env[`GIT_CONFIG_KEY_${i}`] = key;
    env[`GIT_CONFIG_VALUE_${i}`] = value;
  });
  return run("git", args, { env });
}

describe("the local git host", () => {
  let root: string;
  let server: GitServer;
  let commits: string[];

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "railhead-git-"));
    commits = await makeRepository(join(root, "srv/owner/tool.git"), [
      { files: { "main.go": "package main\n", "run.sh": { executable: "#!/bin/sh\n" } } },
      { files: { "main.go": "package main\n\n" }, tag: "v1.0.0", annotated: true },
      { files: { "other.go": "package main\n", "a link": { link: "other.go" } }, tag: "v1.1.0" },
      { files: { x: "y" }, branch: "topic" },
    ]);
    await makeRepository(join(root, "srv/owner/secret.git"), [
      { files: { x: "y" }, tag: "v1.0.0" },
    ]);
    server = await startGitServer({
      root: join(root, "srv"),
      credentials: { "owner/secret": [{ user: "ada", password: "pass-word" }] },
    });
  });
  after(async () => {
    await server.close();
    await rm(root, { recursive: true });
  });

  test("shows single files of a commit at every host's address, to those who may read", async () => {
    const [, tagged = ""] = commits;
    for (const folder of ["raw", "-/raw", "raw/commit"]) {
      const file = await fetch(`${server.url}/owner/tool/${folder}/${tagged}/main.go`);
      assert.equal(await file.text(), "package main\n\n");
      for (const path of ["none", "../../secret/x", "main.go/x"]) {
        const absent = await fetch(`${server.url}/owner/tool/${folder}/${tagged}/${path}`);
        assert.ok(absent.status === 404 || absent.status === 401, path);
      }
      const secret = await fetch(`${server.url}/owner/secret/${folder}/${tagged}/x`);
      assert.equal(secret.status, 401);
    }
  });

  test("shows tags and branches with and without .git", async () => {
    const plain = await git(["ls-remote", `${server.url}/owner/tool`]);
    const suffixed = await git(["ls-remote", `${server.url}/owner/tool.git`]);
    assert.equal(plain.stdout, suffixed.stdout);
    assert.match(plain.stdout, new RegExp(`${commits[1]}\trefs/tags/v1.0.0\\^\\{\\}`));
    assert.match(plain.stdout, new RegExp(`${commits[2]}\trefs/tags/v1.1.0\n`));
    assert.match(plain.stdout, new RegExp(`${commits[2]}\tHEAD\n`));
    assert.match(plain.stdout, new RegExp(`${commits[3]}\trefs/heads/topic\n`));
  });

  test("gives any commit that a client wants, modes and links included", async () => {
    const clone = join(root, "clone");
    await git(["clone", "--quiet", `${server.url}/owner/tool`, clone]);
    assert.equal(await readFile(join(clone, "a link"), "utf8"), "package main\n");
    const shallow = join(root, "shallow");
    await git(["init", "--quiet", shallow]);
    await git([
      "-C",
      shallow,
      "fetch",
      "--quiet",
      "--depth=1",
      `${server.url}/owner/tool`,
      commits[0] as string,
    ]);
    await git(["-C", shallow, "checkout", "--quiet", "FETCH_HEAD"]);
    assert.ok((await stat(join(shallow, "run.sh"))).mode & 0o100);
  });

  test("opens a private repository to Basic and Bearer, and to nobody else", async () => {
    const url = `${server.url}/owner/secret`;
    await assert.rejects(git(["ls-remote", url]));
    await assert.rejects(
      git(["ls-remote", url], { "http.extraHeader": "Authorization: Bearer wrong" }),
    );
    const basic = Buffer.from("ada:pass-word").toString("base64");
    for (const value of [`Basic ${basic}`, "Bearer pass-word", "token pass-word"]) {
      const { stdout } = await git(["ls-remote", url], {
        "http.extraHeader": `Authorization: ${value}`,
      });
      assert.match(stdout, /refs\/tags\/v1\.0\.0/);
    }
    const seen = server.requests.filter((request) => request.path.startsWith("/owner/secret"));
    assert.ok(seen.some((request) => !request.authorized && request.status === 401));
    assert.ok(seen.some((request) => request.authorized && request.status === 200));
  });

  test("answers 404 for what is not there and never leaves its root", async () => {
    for (const path of ["/owner/none", "/owner/tool/..%2f..%2fowner/tool", "/%2fetc"]) {
      const answer = await fetch(`${server.url}${path}/info/refs?service=git-upload-pack`);
      assert.equal(answer.status, 404, path);
      await answer.body?.cancel();
    }
    const push = await fetch(`${server.url}/owner/tool/info/refs?service=git-receive-pack`);
    assert.equal(push.status, 403);
    await push.body?.cancel();
  });
});

test("the same commits make the same repository, and more can be added later", async () => {
  const root = await mkdtemp(join(tmpdir(), "railhead-git-"));
  try {
    const history = [
      { files: { a: "1" }, tag: "v1.0.0", annotated: true },
      { files: { a: "2" }, tag: "v1.1.0" },
    ];
    const first = await makeRepository(join(root, "o/first.git"), history);
    const second = await makeRepository(join(root, "o/second.git"), history.slice(0, 1));
    second.push(...(await makeRepository(join(root, "o/second.git"), history.slice(1))));
    assert.deepEqual(second, first);
  } finally {
    await rm(root, { recursive: true });
  }
});

test("a port that is taken is said, and closing frees it", async () => {
  const root = await mkdtemp(join(tmpdir(), "railhead-git-"));
  try {
    const server = await startGitServer({ root });
    await assert.rejects(startGitServer({ root, port: server.port }), { code: "EADDRINUSE" });
    await server.close();
    await (await startGitServer({ root, port: server.port })).close();
  } finally {
    await rm(root, { recursive: true });
  }
});
