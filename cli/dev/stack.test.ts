import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { EdgeClient } from "../edge-client.ts";
import { freePort } from "./port.ts";
import { processesOf } from "./processes.ts";

const MAIN = join(import.meta.dirname, "../main.ts");
/** Milliseconds for anything here to happen. */
const PATIENCE_MS = 180_000;

let folder: string;
let state: string;
let port: number;
const started: ChildProcess[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "railhead-dev-"));
  state = join(folder, "state");
  port = await freePort(0);
});
after(async () => {
  for (const { pid } of started) if (pid !== undefined) killGroup(pid, "SIGKILL");
  await until(() => processesOf(state).length === 0);
  await rm(folder, { recursive: true });
});

async function until(met: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await met())) {
    assert.ok(performance.now() < deadline, `in vain: ${met}`);
    await sleep(50);
  }
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // nothing is left of it
  }
}

type Dev = { child: ChildProcess; output: () => string };

/** `railhead dev`, without agents unless the arguments say so, in a process group of its own; ready, or ended. */
async function startDev(...args: string[]): Promise<Dev> {
  const dev = launchDev(...args);
  await until(() => dev.output().includes("State and logs") || dev.child.exitCode !== null);
  return dev;
}

function launchDev(...args: string[]): Dev {
  const child = spawn(
    process.execPath,
    [MAIN, "dev", "--agents", "0", "--state", state, "--port", String(port), ...args],
    {
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, GIT_SECRET: "one that git hosts know" },
    },
  );
  started.push(child);
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said += chunk;
  });
  return { child, output: () => said };
}

/** The edge with the admin token, from the file that a shell would source. */
async function client(): Promise<EdgeClient> {
  const { stdout } = await promisify(execFile)("sh", [
    "-c",
    `. ${join(state, "env")} && printf '%s %s' "$RAILHEAD_URL" "$RAILHEAD_TOKEN"`,
  ]);
  const [url = "", token = ""] = stdout.split(" ");
  return new EdgeClient({ url, token, gitToken: null });
}

function isReady(edge: EdgeClient): Promise<boolean> {
  return edge.request("GET", "/readyz").then(
    ({ ok }) => ok,
    () => false,
  );
}

test("a stack killed in any way leaves nothing, and starts again on its port with its state", async () => {
  const first = await startDev("--remote", "git.example=http://127.0.0.1:9");
  assert.match(first.output(), /^ {2}curl -X POST http:\S+\/git\.example\/OWNER\/REPO\/linux\//m);
  assert.match(first.output(), /^Webhooks are on: http:\S+\/webhooks\/github .* GIT_SECRET/m);
  const { id } = await (await client()).createToken("build", "kept", null);
  assert.equal((await stat(join(state, "env"))).mode & 0o777, 0o600);

  const second = await startDev();
  assert.equal(second.child.exitCode, 1);
  assert.match(second.output(), /A stack is running on/);

  // The program alone: what it started notices.
  first.child.kill("SIGKILL");
  await until(() => processesOf(state).length === 0);

  const third = await startDev();
  assert.deepEqual(
    (await (await client()).tokens()).map((token) => token.id),
    [id],
  );
  killGroup(third.child.pid as number, "SIGKILL");
  await until(() => processesOf(state).length === 0);

  const fourth = await startDev();
  killGroup(fourth.child.pid as number, "SIGINT");
  await until(() => fourth.child.exitCode !== null);
  assert.equal(fourth.child.exitCode, 0);
  assert.deepEqual(processesOf(state), []);
});

test("a git host that is malformed is said in one line, and nothing is made", async () => {
  const fresh = join(folder, "fresh");
  const dev = await startDev("--state", fresh, "--remote", "foo");
  assert.equal(dev.child.exitCode, 2);
  assert.match(
    dev.output(),
    /^railhead: --remote names no git host .*: "foo"\. It is host=base-url\.\n$/,
  );
  assert.equal(existsSync(fresh), false);
});

test("a port that is taken is said in one line, and nothing is made or left running", async () => {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  const fresh = join(folder, "fresh");
  for (const args of [[], ["--state", fresh]]) {
    const { child, output } = await startDev(...args);
    assert.equal(child.exitCode, 1);
    assert.match(output(), new RegExp(`^railhead: Port ${port} is taken: .*--port .*\\.\n$`));
  }
  server.close();
  assert.deepEqual(processesOf(state), []);
  assert.ok(!existsSync(fresh));
});

test("nothing that was recorded holds a secret, and no argument ever did", async () => {
  const { child } = await startDev();
  const secrets = Object.values(JSON.parse(await readFile(join(state, "secrets.json"), "utf8")));
  const edge = await client();
  await edge.tokens();
  await edge.request("GET", "/metrics");
  const commands = processesOf(state).map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8"));
  const environments = processesOf(state).map((pid) => readFile(`/proc/${pid}/environ`, "utf8"));
  const seen = (await Promise.all([...commands, ...environments])).join("\n");
  killGroup(child.pid as number, "SIGTERM");
  await until(() => child.exitCode !== null);

  const files = await readdir(state, { recursive: true, withFileTypes: true });
  const holders: string[] = [];
  for (const file of files.filter((entry) => entry.isFile())) {
    const content = await readFile(join(file.parentPath, file.name));
    if (secrets.some((secret) => content.includes(String(secret)))) holders.push(file.name);
  }
  assert.deepEqual(holders.sort(), [".dev.vars", "env", "secrets.json"]);
  for (const secret of secrets) assert.ok(!seen.includes(String(secret)));
});

test("once /readyz answers, the file for a shell is there", async () => {
  await rm(join(state, "env"));
  const { child } = launchDev();
  await until(async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    return answer?.status === 200;
  });
  assert.equal((await stat(join(state, "env"))).mode & 0o777, 0o600);
  killGroup(child.pid as number, "SIGTERM");
  await until(() => child.exitCode !== null);
});

test("a web app may have any host but the stack's own", async () => {
  const { child } = await startDev();
  const edge = await client();
  const headers = { "content-type": "application/x-tar" };
  const deploy = (host: string) =>
    edge.request("POST", `/run?project=shop&rule=Host:${host}`, {
      headers,
      body: new Blob(["no tar"]).stream(),
    });
  for (const host of ["127.0.0.1", "localhost"])
    await assert.rejects(deploy(host), /server's own name/, host);
  for (const host of ["shop.localhost", "shop.example"])
    await assert.rejects(deploy(host), /is no tar/, host);
  killGroup(child.pid as number, "SIGTERM");
  await until(() => child.exitCode !== null);
});

test("the lines it prints build and download on a machine without internet", async () => {
  const { child, output } = await startDev("--agents", "1");
  const [post = "", get = ""] = output().match(/curl .*/g) ?? [];
  const shell = (line: string) => promisify(execFile)("sh", ["-c", line], { cwd: folder });
  const { build_id } = JSON.parse((await shell(post)).stdout);
  const edge = await client();
  await until(async () => (await edge.build(build_id)).state === "succeeded");
  await shell(get);
  assert.ok((await readdir(folder)).some((name) => /^tally_linux_\w+\.tar\.gz$/.test(name)));
  killGroup(child.pid as number, "SIGINT");
  await until(() => child.exitCode !== null);
});

test("an agent that crashed starts again by itself; one that was told to end, by the line that it prints", async () => {
  const { child, output } = await startDev("--agents", "1");
  const pid = () => processesOf(state, "agent-1")[0];
  const crashed = pid() as number;
  process.kill(crashed, "SIGKILL");
  await until(() => pid() !== undefined && pid() !== crashed);
  assert.match(output(), /^local-1 ended with SIGKILL and starts again in 1 s\. Its log: .*\n/m);
  const edge = await client();
  await until(() => isReady(edge));

  process.kill(pid() as number, "SIGTERM");
  await until(() => output().includes("To start it again:"));
  assert.match(output(), /^local-1 ended with status 0\. Its log: .*\n/m);
  const [, env = "", again = ""] =
    /^To start it again: (\. .*) && npx railhead (.*)$/m.exec(output()) ?? [];
  const byHand = spawn("sh", ["-c", `${env} && exec "${process.execPath}" "${MAIN}" ${again}`], {
    detached: true,
    stdio: "ignore",
  });
  started.push(byHand);
  await until(() => isReady(edge));
  byHand.kill("SIGTERM");
  await until(() => byHand.exitCode !== null);
  killGroup(child.pid as number, "SIGINT");
  await until(() => child.exitCode !== null);
  assert.match(
    output(),
    /Web apps, and caches of the agents, stay on the Docker host\..*: npx railhead (.*)\n$/,
  );

  const [, retire = ""] = /npx railhead (.*)\n$/.exec(output()) ?? [];
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...retire.split(" ")]);
  assert.match(
    stdout,
    /The edge at http:\S+ does not answer: if it is to run again, remove the agent/,
  );
});
