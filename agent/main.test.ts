import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import manifest from "../package.json" with { type: "json" };
import { registerAt, testHome } from "./testing/agent.ts";
import { TestEdge } from "./testing/edge.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

type Answer = { status: number; out: string; err: string };

function agent(args: string[], env: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, HOME: "/nonexistent", ...env } };
    execFile(process.execPath, [MAIN, ...args], options, (error, out, err) => {
      resolve({ status: typeof error?.code === "number" ? error.code : 0, out, err });
    });
  });
}

async function withEdge(body: (edge: TestEdge, home: string) => Promise<void>): Promise<void> {
  const edge = await TestEdge.start();
  const { home, remove } = testHome();
  try {
    await body(edge, home);
  } finally {
    await edge.stop();
    remove();
  }
}

test("--version and --help answer, and help tells the exit statuses", async () => {
  assert.equal((await agent(["--version"])).out.trim(), manifest.version);
  const help = await agent(["--help"]);
  assert.equal(help.status, 0);
  assert.match(
    help.out.replace(/\s+/g, " "),
    /--home .*~\/\.railhead\/agent.*\/var\/lib\/railhead/,
  );
  assert.match(help.out, /Exit status: 0 done; 1 .*; 2 .*\n3 .*; 4 /);
});

test("a wrong option, a wrong setting and a missing identity end with status 2 and one line", async () => {
  await withEdge(async (_edge, home) => {
    assert.equal((await agent(["run", "--bogus"])).status, 2);
    const missing = await agent(["--home", home, "run"]);
    assert.equal(missing.status, 2);
    assert.match(missing.err, /^railhead-agent: This host is not registered: .*\n$/);
    writeFileSync(join(home, "agent.toml"), 'capacity = "many"\n');
    const wrong = await agent(["--home", home, "run"]);
    assert.equal(wrong.status, 2);
    assert.match(wrong.err, /^railhead-agent: .*agent\.toml: capacity must be a number.*\n$/);
  });
});

test("registering makes a key for this host alone, and never takes the place of another unasked", async () => {
  await withEdge(async (edge, home) => {
    const token = join(home, "token");
    writeFileSync(token, "rh_registration\n");
    const args = ["--home", home, "register", "--url", edge.url, "--name", "test"];
    const first = await agent([...args, "--token-file", token]);
    assert.deepEqual([first.status, first.err], [0, ""]);
    assert.match(first.out, /^Registered test \(default\.[0-9a-f]{16}\) in pool default\./);
    const file = join(home, "identity.json");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const identity = JSON.parse(readFileSync(file, "utf8"));
    assert.equal(identity.key.crv, "Ed25519");

    const again = await agent(args, { RAILHEAD_AGENT_TOKEN: "rh_registration" });
    assert.equal(again.status, 2);
    assert.match(again.err, /--force/);
    assert.equal(JSON.parse(readFileSync(file, "utf8")).key.x, identity.key.x);
    const forced = await agent([...args, "--force"], { RAILHEAD_AGENT_TOKEN: "rh_registration" });
    assert.equal(forced.status, 0);
    assert.notEqual(JSON.parse(readFileSync(file, "utf8")).key.x, identity.key.x);
  });
});

test("a refused registration writes nothing and says how to get a token", async () => {
  await withEdge(async (edge, home) => {
    const args = ["--home", home, "register", "--url", edge.url];
    const refused = await agent(args, { RAILHEAD_AGENT_TOKEN: "rh_wrong" });
    assert.equal(refused.status, 3);
    assert.match(refused.err, /railhead token create agent/);
    assert.doesNotMatch(refused.err, /rh_wrong/);
    assert.throws(() => statSync(join(home, "identity.json")));
    assert.match((await agent(args)).err, /A registration token is needed/);
    const nowhere = ["--home", home, "register", "--url", "http://127.0.0.1:9", "--token", "t"];
    assert.equal((await agent(nowhere)).status, 1);
    const odd = ["--home", home, "register", "--url", "ftp://x", "--token", "t"];
    assert.equal((await agent(odd)).status, 2);
  });
});

test("an identity that others can read is refused, with what to do", async () => {
  await withEdge(async (edge, home) => {
    await registerAt(edge, home);
    chmodSync(join(home, "identity.json"), 0o644);
    const refused = await agent(["--home", home, "run"]);
    assert.equal(refused.status, 2);
    assert.match(refused.err, /chmod 600/);
  });
});

test("an agent of another pool says where it is registered", async () => {
  await withEdge(async (edge, home) => {
    await registerAt(edge, home);
    const other = await agent(["--home", home, "run", "--pool", "arm"]);
    assert.equal(other.status, 2);
    assert.match(other.err, /registered in pool default/);
  });
});

test("doctor tells every finding as JSON, and fails when something fails", async () => {
  await withEdge(async (edge, home) => {
    await registerAt(edge, home);
    const doctor = await agent(["--home", home, "doctor", "--json"], {
      RAILHEAD_AGENT_DOCKER_SOCKET: join(home, "no.sock"),
    });
    assert.equal(doctor.status, 1);
    const findings: { check: string; status: string; advice: string | null }[] = JSON.parse(
      doctor.out,
    );
    const status = Object.fromEntries(findings.map((finding) => [finding.check, finding.status]));
    assert.deepEqual(status, {
      home: "ok",
      identity: "ok",
      edge: "ok",
      clock: "ok",
      engine: "fail",
      erlang: "ok",
    });
    for (const finding of findings) assert.equal(finding.advice === null, finding.status === "ok");
  });
});

test("doctor on a new host says that register will make the home, and makes none", async () => {
  const { home, remove } = testHome();
  const doctor = await agent(["--home", join(home, "not/yet"), "doctor"], {
    RAILHEAD_AGENT_DOCKER_SOCKET: join(home, "no.sock"),
  });
  assert.match(doctor.out, /^ok {4}home .*not\/yet will be made by register$/m);
  assert.throws(() => statSync(join(home, "not")));
  remove();
});

test("SIGTERM ends an idle agent with status 0, and one home has one agent", async () => {
  await withEdge(async (edge, home) => {
    await registerAt(edge, home);
    const env = { PATH: process.env.PATH, RAILHEAD_HOME: home };
    const child = spawn(process.execPath, [MAIN, "--log-json", "run"], {
      env: { ...env, RAILHEAD_AGENT_DOCKER_SOCKET: join(home, "no.sock") },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const exited = once(child, "exit");
    let log = "";
    const waiting = Promise.withResolvers<void>();
    child.stderr.on("data", (text) => {
      log += text;
      if (log.includes("waiting for the Docker engine")) waiting.resolve();
    });
    await waiting.promise;
    const second = await agent(["--home", home, "run"]);
    assert.equal(second.status, 2);
    assert.match(second.err, /An agent runs with --home .*a home of its own\.\n$/);
    const retired = await agent(["--home", home, "retire"]);
    assert.equal(retired.status, 2);
    assert.match(retired.err, /An agent runs with --home .* End it first, .*; then retire it\.\n$/);
    child.kill("SIGTERM");
    const [status] = await exited;
    assert.equal(status, 0);
    for (const line of log.trim().split("\n")) assert.ok(JSON.parse(line).event);
  });
});
