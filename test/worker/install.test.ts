import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import {
  access,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { makeRepository } from "../../cli/dev/repository.ts";
import { startAgent, type TestAgent } from "./agent.ts";
import { type Edge, problemOf, startEdge } from "./edge.ts";
import { goTarget, publicationOf } from "./targets.ts";

const run = promisify(execFile);
const GOARCH = { x64: "amd64", arm64: "arm64" }[process.arch as string] ?? "amd64";
const TOKEN = "right-token";

type Outcome = { code: number | null; stdout: string; stderr: string };

describe("the installer", { timeout: 120_000 }, () => {
  let edge: Edge;
  let agent: TestAgent;
  let folder: string;
  let archive: Buffer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-install-"));
    edge = await startEdge({
      credentials: { "o/secret": [{ user: "x-access-token", password: TOKEN }] },
    });
    for (const name of ["tool", "secret"])
      await makeRepository(join(edge.root, `o/${name}.git`), [
        { files: { n: "0" }, tag: "v1.0.0" },
        { files: { n: "1" }, tag: "v1.1.0" },
        { files: { n: "2" }, tag: "v2.0.0" },
      ]);
    agent = await startAgent(edge.url);
    await writeFile(join(folder, "tool"), "#!/bin/sh\necho the tool runs\n", { mode: 0o755 });
    await writeFile(join(folder, "README"), "not to be installed\n");
    await run("tar", ["-czf", "archive.tar.gz", "tool", "README"], { cwd: folder });
    archive = await readFile(join(folder, "archive.tar.gz"));
  });
  after(async () => {
    agent.close();
    await edge.close();
    await rm(folder, { recursive: true });
  });

  async function newPrefix(): Promise<string> {
    return mkdtemp(join(folder, "prefix-"));
  }

  async function script(path: string): Promise<string> {
    const response = await edge.call(`/install/${path}`);
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", /^text\/x-shellscript/);
    return response.text();
  }

  /** Runs a script as `curl … | sh` does: from stdin. Temporary files go to a folder that must be empty afterwards. */
  async function sh(
    source: string,
    env: Record<string, string>,
    shell: string[] = ["sh"],
  ): Promise<Outcome> {
    const tmp = await mkdtemp(join(folder, "tmp-"));
    const [command = "sh", ...args] = shell;
    const child = spawn(command, args, {
      env: { PATH: process.env.PATH, TMPDIR: tmp, ...env },
    });
    child.stdin.on("error", () => {});
    child.stdin.end(source);
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    const [stdout, stderr, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      ended,
    ]);
    assert.deepEqual(await readdir(tmp), [], "nothing temporary is left");
    return { code, stdout, stderr };
  }

  function target(version: string, repository = "o/tool", more = {}) {
    return goTarget(repository, { version, goarch: GOARCH, ...more });
  }

  function archiveName(name: string): string {
    return `${name}_linux_${GOARCH}.tar.gz`;
  }

  async function shells(): Promise<string[][]> {
    const candidates = [["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"]];
    const found: string[][] = [];
    for (const shell of candidates) if (await which(shell[0] as string)) found.push(shell);
    return found;
  }

  async function which(program: string): Promise<string | null> {
    for (const dir of (process.env.PATH ?? "").split(delimiter)) {
      const path = join(dir, program);
      if (
        await access(path).then(
          () => true,
          () => false,
        )
      )
        return path;
    }
    return null;
  }

  /** A PATH with what the script needs and only these of the downloaders. */
  async function pathWith(...programs: string[]): Promise<string> {
    const bin = await mkdtemp(join(folder, "bin-"));
    const needed =
      "sh uname mktemp rm chmod mkdir cat sed grep find basename cp mv tar gzip sha256sum";
    for (const program of [...needed.split(" "), ...programs]) {
      const path = await which(program);
      assert.ok(path, program);
      await symlink(path, join(bin, program));
    }
    return bin;
  }

  test("installs what is built, in every shell there is", async () => {
    await edge.publish(publicationOf(target("v1.0.0"), { [archiveName("tool")]: archive }));
    const source = await script("git.example/o/tool@v1.0.0");
    for (const shell of await shells()) {
      const prefix = await newPrefix();
      const { code, stderr } = await sh(source, { PREFIX: prefix }, shell);
      assert.equal(code, 0, `${shell}: ${stderr}`);
      assert.deepEqual(await readdir(join(prefix, "bin")), ["tool"], "executables only");
      const { stdout } = await run(join(prefix, "bin/tool"));
      assert.equal(stdout, "the tool runs\n");
      assert.match(stderr, /installed .*\/bin\/tool/);
    }
  });

  test("wget will do where there is no curl", async () => {
    const prefix = await newPrefix();
    const source = await script("git.example/o/tool@v1.0.0");
    const path = await pathWith("wget");
    const { code, stderr } = await sh(source, { PREFIX: prefix, PATH: path });
    assert.equal(code, 0, stderr);
    assert.deepEqual(await readdir(join(prefix, "bin")), ["tool"]);
    const neither = await sh(source, { PREFIX: prefix, PATH: await pathWith() });
    assert.equal(neither.code, 1);
    assert.match(neither.stderr, /curl or wget is needed/);
  });

  test("builds what is not built yet: the latest version, by default", async () => {
    const prefix = await newPrefix();
    const installing = sh(await script("git.example/o/tool"), { PREFIX: prefix });
    const attempt = await agent.attempt();
    assert.partialDeepStrictEqual(attempt.target, { version: "v2.0.0", goarch: GOARCH });
    await attempt.upload(archiveName("tool"), archive);
    await attempt.finish({ outcome: "succeeded" });
    const { code, stderr } = await installing;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /building tool latest for linux\//);
    assert.deepEqual(await readdir(join(prefix, "bin")), ["tool"]);
  });

  test("a build that fails says why, and nothing is installed", async () => {
    for (const tool of ["curl", "wget"]) {
      const prefix = await newPrefix();
      const env = { PREFIX: prefix, PATH: await pathWith(tool) };
      const installing = sh(await script("git.example/o/tool@v1.1.0"), env);
      const attempt = await agent.attempt();
      await attempt.finish({ outcome: "failed", class: "compile_error", reason: "x.go:1: no." });
      const { code, stderr } = await installing;
      assert.equal(code, 1);
      if (tool === "curl") assert.match(stderr, /x\.go:1: no\./);
      assert.deepEqual(await readdir(prefix), []);
    }
  });

  test("an unknown version or repository is an error that says so", async () => {
    const prefix = await newPrefix();
    const version = await sh(await script("git.example/o/tool@v9.9.9"), { PREFIX: prefix });
    assert.equal(version.code, 1);
    assert.match(version.stderr, /has no tag or branch v9\.9\.9/);
    const repository = await sh(await script("git.example/o/nope"), { PREFIX: prefix });
    assert.match(repository.stderr, /cannot be read/);
    assert.deepEqual(await readdir(prefix), []);
  });

  test("wrong bytes are never installed", async () => {
    const name = archiveName("tool");
    const { files } = await edge.publish(
      publicationOf(target("v1.0.0", "o/forged"), { [name.replace("tool", "forged")]: archive }),
    );
    const source = await script("git.example/o/forged@v1.0.0");
    // What lies between us and the file changes it: a proxy whose answers are not the edge's.
    const fake = await mkdtemp(join(folder, "fake-"));
    await writeFile(
      join(fake, "sha256sum"),
      `#!/bin/sh\nfor f in forged_*; do printf x >>"$f"; done\nexec ${await which("sha256sum")} "$@"\n`,
      { mode: 0o755 },
    );
    const prefix = await newPrefix();
    const env = { PREFIX: prefix, PATH: `${fake}${delimiter}${process.env.PATH}` };
    const { code, stderr } = await sh(source, env);
    assert.equal(code, 1, JSON.stringify(files));
    assert.match(stderr, /SHA-256 .* is not the published one/);
    assert.deepEqual(await readdir(prefix), []);
  });

  test("a script that was cut off anywhere does nothing", async () => {
    const source = await script("git.example/o/tool@v1.0.0");
    const last = source.trimEnd().lastIndexOf("\n") + 1;
    assert.equal(source.slice(last), 'main "$@"\n');
    const prefix = await newPrefix();
    const cuts = Array.from({ length: 40 }, (_, i) => Math.floor((last * i) / 40));
    for (const cut of [...cuts, last, last + 1, last + 3]) {
      await sh(source.slice(0, cut), { PREFIX: prefix });
      assert.deepEqual(await readdir(prefix), [], `cut at ${cut}`);
    }
  });

  test("a place that cannot be written is an error before anything is half done", async () => {
    const blocked = join(await newPrefix(), "file");
    await writeFile(blocked, "");
    const source = await script("git.example/o/tool@v1.0.0");
    const { code, stderr } = await sh(source, { PREFIX: blocked });
    assert.equal(code, 1);
    assert.match(stderr, /cannot write to .*: set PREFIX/);
  });

  test("a program that is there already is replaced in one step", async () => {
    const prefix = await newPrefix();
    await mkdir(join(prefix, "bin"));
    await writeFile(join(prefix, "bin/tool"), "old", { mode: 0o755 });
    const source = await script("git.example/o/tool@v1.0.0");
    assert.equal((await sh(source, { PREFIX: prefix })).code, 0);
    assert.equal((await run(join(prefix, "bin/tool"))).stdout, "the tool runs\n");
    assert.deepEqual(await readdir(join(prefix, "bin")), ["tool"]);
  });

  test("a private program needs the token, which no process list shows", async () => {
    await edge.publish(
      publicationOf(target("v1.0.0", "o/secret", { visibility: "private" }), {
        [archiveName("secret")]: archive,
      }),
    );
    const source = await script("git.example/o/secret@v1.0.0");
    const prefix = await newPrefix();
    const without = await sh(source, { PREFIX: prefix });
    assert.equal(without.code, 1);
    // A curl that writes its arguments down.
    const spy = await mkdtemp(join(folder, "spy-"));
    await writeFile(
      join(spy, "curl"),
      `#!/bin/sh\nprintf '%s\\n' "$@" >>"${spy}/seen"\nexec ${await which("curl")} "$@"\n`,
      { mode: 0o755 },
    );
    const env = { PREFIX: prefix, GIT_TOKEN: TOKEN, PATH: `${spy}${delimiter}${process.env.PATH}` };
    const { code, stderr } = await sh(source, env);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await readdir(join(prefix, "bin")), ["tool"]);
    assert.ok(!(await readFile(join(spy, "seen"), "utf8")).includes(TOKEN));
    const odd = await sh(source, { PREFIX: prefix, GIT_TOKEN: 'x"\nurl = "file:///etc/passwd' });
    assert.equal(odd.code, 1);
    assert.match(odd.stderr, /no token has/);
  });

  test("malformed paths are 400, other remotes 403, and names cannot leave their quotes", async () => {
    for (const path of [
      "git.example/o",
      "git.example/o/tool@",
      "git.example/o/tool@v1@v2",
      "git.example/o/tool/more@v1/x",
      "git.example/o/tool@v1'%3Brm",
      "git.example/o/to'ol",
      "git.example/o/%24(id)",
      "git.example/o/%60id%60@v1",
      "git.example/o/tool@v1%0aid",
      "git.example/o/-tool",
      "git.example/o/tool@v1/linux/amd64",
    ]) {
      const response = await edge.call(`/install/${path}`);
      assert.equal(response.status, 400, path);
      assert.equal((await problemOf(response)).code, "bad_path", path);
    }
    for (const query of ["?version=v1.0.0", "?target=all", "?x"]) {
      const response = await edge.call(`/install/git.example/o/tool${query}`);
      assert.equal(response.status, 400, query);
      const { code, detail } = await problemOf(response);
      assert.equal(code, "bad_query", query);
      assert.match(detail, /@version/);
    }
    const remote = await edge.call("/install/evil.example/o/tool");
    assert.equal((await problemOf(remote)).code, "remote_not_allowed");
    const source = await script("git.example/group/sub/tool@%3E=1.0%20%3C2");
    assert.match(source, /^repository='\/git\.example\/group\/sub\/tool'$/m);
    assert.match(source, /^version='%3E%3D1\.0%20%3C2'$/m);
  });
});
