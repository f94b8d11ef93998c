import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { hello } from "../support/fixtures.ts";
import { oldNode } from "../support/old-node.ts";
import { must, type Ran, run } from "../support/process.ts";
import { openStack, type TestStack } from "../support/stack.ts";

const ROOT = join(import.meta.dirname, "../..");
const CLI = join(ROOT, "cli/bin.mjs");

describe("the railhead command", () => {
  let stack: TestStack;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    stack = await openStack({ repositories: { "ada/hello": hello } });
  });
  after(async () => {
    await stack?.close();
    await rm(folder, { recursive: true });
  });

  function railhead(...args: string[]): Promise<Ran> {
    const env = {
      ...process.env,
      RAILHEAD_URL: stack.url,
      RAILHEAD_TOKEN: stack.token,
      HOME: folder,
    };
    return run(process.execPath, [CLI, ...args], { cwd: folder, env });
  }

  async function json<T>(...args: string[]): Promise<T> {
    const ran = await railhead(...args, "--json");
    assert.equal(ran.code, 0, ran.stderr);
    return JSON.parse(ran.stdout.toString()) as T;
  }

  test("build follows a build to its end and exits 0; --json prints the record", async () => {
    const ran = await railhead("build", "git.example/ada/hello/linux/amd64/v1.0.0");
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(
      ran.stdout.toString() + ran.stderr,
      /git\.example\/ada\/hello\/linux\/amd64\/v1\.0\.0/,
    );
    const record = await json<Record<string, unknown>>(
      "build",
      `${stack.url}/git.example/ada/hello/linux/amd64/v1.1.0`,
    );
    assert.equal(record.state, "succeeded");
    assert.match(String(record.build_id), /^[0-9a-f]{32}$/);
  });

  test("build of what fails exits with another status and says why", async () => {
    const ran = await railhead("build", "git.example/ada/hello/linux/amd64/broken");
    assert.ok(ran.code !== 0 && ran.code !== null);
    assert.match(ran.stdout.toString() + ran.stderr, /the tests do not pass/);
    assert.match(ran.stderr, /make/);
    const missing = await railhead("build", "git.example/ada/hello/linux/amd64/v9.9.9");
    assert.ok(missing.code !== 0 && missing.code !== null);
    assert.match(missing.stderr, /v2\.0\.0|v1/);
  });

  test("get downloads the file under its own name, whole", async () => {
    await railhead("build", "git.example/ada/hello/linux/amd64/v1.0.0");
    const ran = await railhead("get", "git.example/ada/hello/linux/amd64/v1.0.0");
    assert.equal(ran.code, 0, ran.stderr);
    const file = await readFile(join(folder, "hello_linux_amd64.tar.gz"));
    const expected = await stack.bytes("/git.example/ada/hello/linux/amd64/v1.0.0");
    assert.equal(
      createHash("sha256").update(file).digest("hex"),
      createHash("sha256").update(expected).digest("hex"),
    );
    const none = await railhead("get", "git.example/ada/hello/plan9/386/v1.0.0");
    assert.ok(none.code !== 0 && none.code !== null);
    await assert.rejects(access(join(folder, "hello_plan9_386.tar.gz")));
  });

  test("logs shows a build's log, and with -f stays to its end", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/held");
    await stack.building(build_id);
    const following = railhead("logs", "-f", build_id);
    await stack.release(build_id);
    const followed = await following;
    assert.equal(followed.code, 0, followed.stderr);
    assert.match(followed.stdout.toString(), /held: line 1\n.*held: released\n.*successful/s);
    const shown = await railhead("logs", build_id);
    assert.equal(shown.stdout.toString(), followed.stdout.toString());
  });

  test("cancel ends a build", async () => {
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/held-2");
    const ran = await railhead("cancel", build_id);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal((await stack.ended(build_id)).record.state, "cancelled");
    const again = await railhead("cancel", build_id);
    assert.notEqual(again.code, 0);
  });

  test("token makes tokens that work at once, and revoking ends them at once", async () => {
    const { token } = await json<{ token: string }>("token", "create", "build");
    assert.match(token, /^rh_/);
    const agentToken = await railhead("token", "create", "agent");
    assert.equal(agentToken.code, 0, agentToken.stderr);
    assert.match(agentToken.stdout.toString(), /railhead agent register --url /);
    const refused = await stack.fetch("/api/tokens", {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(refused.status, 403);
  });

  test("agents lists them; cordon keeps new work away; remove refuses the agent at once", async () => {
    const [agent] = await json<{ name: string; status: string; capacity: number }[]>("agents");
    assert.ok(agent);
    assert.equal(agent.status, "connected");
    assert.ok(agent.capacity > 0);

    const cordon = await railhead("agents", "cordon", agent.name);
    assert.equal(cordon.code, 0, cordon.stderr);
    const { build_id } = await stack.start("/git.example/ada/hello/linux/amd64/v2.0.0");
    assert.equal((await stack.record(build_id)).state, "queued");
    const [cordoned] = await stack.agents();
    assert.ok(cordoned?.cordoned);
    const uncordon = await railhead("agents", "uncordon", agent.name);
    assert.equal(uncordon.code, 0, uncordon.stderr);
    assert.equal((await stack.ended(build_id)).record.state, "succeeded");

    const exited = stack.agentExit(0);
    const removed = await railhead("agents", "remove", agent.name);
    assert.equal(removed.code, 0, removed.stderr);
    assert.notEqual(await exited, 0, "a removed agent stops, and says so by its status");
    assert.deepEqual(await stack.agents(), []);
  });

  test("the shipped programs are single files that need Node.js 20: an agent registers, builds and retires", async () => {
    assert.deepEqual(await stack.agents(), []);
    const node = await oldNode();
    await must("npx", ["tsup", "--silent", "--out-dir", join(folder, "dist")], { cwd: ROOT });
    const home = ["--home", join(folder, "agent")];
    const shipped = (program: string, ...args: string[]) => {
      // The settings that the stack's own agents have, which say where git.example is.
      const script = '. "$1"; shift; exec "$@"';
      const file = join(folder, "dist", program);
      return must("sh", ["-c", script, "sh", stack.env, node, file, ...args], { cwd: folder });
    };
    assert.match(await shipped("perok.js", "--version"), /^\d+\.\d+\.\d+\n$/);
    const created = await shipped("cli.js", "token", "create", "agent", "--json");
    const { token } = JSON.parse(created) as { token: string };
    await writeFile(join(folder, "token"), token);
    await shipped("agent.js", "register", "--token-file", "token", "--url", stack.url, ...home);
    const path = "/git.example/ada/hello/linux/arm64/v1.0.0";
    const { build_id } = await stack.start(path);
    await shipped("agent.js", "run", "--once", ...home);
    assert.equal((await stack.ended(build_id)).record.state, "succeeded");
    await shipped("agent.js", "retire", ...home);
  });

  test("mistakes are said in one line, with the status of a usage error", async () => {
    for (const args of [["build"], ["build", "not a path"], ["logs", "x"], ["nonsense"]]) {
      const ran = await railhead(...args);
      assert.ok(ran.code !== 0 && ran.code !== null, args.join(" "));
      assert.doesNotMatch(ran.stderr, /\n\s+at /, args.join(" "));
      assert.ok(ran.stderr.trim().length > 0);
    }
  });
});
