import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { AppLine } from "../../shared/apps.ts";
import { archiveFiles } from "../support/archive.ts";
import { type Ran, run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { type AppWorld, openAppWorld, PEROKU_TOK, type Serve, saying } from "./apps.ts";

const ROOT = join(import.meta.dirname, "../..");
const RAILHEAD = join(ROOT, "cli/main.ts");
const PEROK = join(ROOT, "cli/perok.ts");
const DEPLOY = join(ROOT, "deploy.sh");
const RULE = "Host:cli.example";

/** An app that has printed these lines; who follows waits for more. */
function printed(lines: readonly AppLine[]): Serve {
  return (stream, head) => {
    assert.equal(head.kind, "logs");
    if (head.kind !== "logs") throw new Error("only its log is asked for");
    stream.answer({ status: 200, headers: [], body: true });
    const { since } = head;
    const wanted = lines.filter(({ time }) => since === null || (time ?? "") >= since);
    const kept = wanted.slice(head.tail === null ? 0 : -head.tail);
    const text = kept.map((line) => `${JSON.stringify(line)}\n`).join("");
    void stream.write(Buffer.from(text)).then(() => {
      if (!head.follow) void stream.end();
    });
    return { reset: () => {} };
  };
}

const LINES: readonly AppLine[] = [
  { stream: "stdout", data: "one\n", time: at(1) },
  { stream: "stderr", data: "two\n", time: at(2) },
  { stream: "stdout", data: "three\n", time: at(3) },
];

function at(second: number): string {
  return `2026-01-02T03:04:0${second}.123456789Z`;
}

describe("the command line of web apps", { timeout: 300_000 }, () => {
  let world: AppWorld;
  let folder: string;

  before(async () => {
    world = await openAppWorld();
    folder = await mkdtemp(join(tmpdir(), "railhead-apps-"));
    for (const name of [".git", "src", "sub", "bin"]) await mkdir(join(folder, name));
    const file = { token: PEROKU_TOK, peroku: world.edge.url, project: "cli", rule: RULE };
    for (const [name, content] of Object.entries({
      ".peroku.json": JSON.stringify(file),
      ".git/HEAD": "ref",
      ".dockerignore": "*.log\n",
      Dockerfile: "FROM scratch\nCOPY src /\n",
      "src/index.html": "hello",
      "noise.log": "noise",
      token: `${PEROKU_TOK}\n`,
      wrong: "no-such-token\n",
    }))
      await writeFile(join(folder, name), content);
  });
  after(async () => {
    await world.close();
    await rm(folder, { recursive: true });
  });

  const environment = (more: NodeJS.ProcessEnv = {}) => ({
    PATH: process.env.PATH,
    HOME: folder,
    ...more,
  });

  function program(
    main: string,
    args: readonly string[],
    more: NodeJS.ProcessEnv = {},
    cwd = folder,
  ) {
    return run(process.execPath, [main, ...args], { cwd, env: environment(more) });
  }
  const railhead = (...args: string[]) => program(RAILHEAD, args);
  const perok = (...args: string[]) => program(PEROK, args);

  /** Runs `args` while the agent makes its one replica live. */
  async function deployed(running: Promise<Ran>, serve: Serve = saying("cli")): Promise<Ran> {
    const replica = await world.replica(serve);
    await replica.goLive();
    const ran = await running;
    assert.equal(ran.code, 0, ran.stderr);
    return ran;
  }

  test("perok up sends the folder without history and token, shows the log, and ends with the URL", async () => {
    const running = perok("up");
    const replica = await world.replica(saying("up"));
    const files = await archiveFiles(
      Buffer.from(await (await replica.attempt.context()).arrayBuffer()),
    );
    assert.deepEqual(
      [...files.keys()],
      [".dockerignore", "Dockerfile", "src/index.html", "token", "wrong"],
    );
    await replica.attempt.say(["Step 1/2 : FROM scratch"]);
    await replica.goLive();
    const { code, stdout, stderr } = await running;
    assert.equal(code, 0, stderr);
    assert.match(stdout.toString(), /Step 1\/2 : FROM scratch\n/);
    const url = `http://cli.example:${new URL(world.edge.url).port}/`;
    assert.ok(stdout.toString().endsWith(`\n${url}\n`), stdout.toString());
    assert.equal(await world.text("cli.example"), "up");
    assert.ok(!`${stdout}${stderr}`.includes(PEROKU_TOK));
  });

  test("railhead up prints the URL alone on stdout, and passes on what the file says", async () => {
    const file = {
      project: "whole",
      rule: "Host:whole.example",
      port: 8080,
      replicas: 1,
      memory: "64m",
      cpus: 0.5,
      health: { path: "/ok", seconds: 5 },
      dockerfile: "Other",
      replica: 3,
    };
    await writeFile(join(folder, "sub/.peroku.json"), JSON.stringify(file));
    await writeFile(join(folder, "sub/Other"), "FROM scratch\n");
    const running = program(RAILHEAD, ["up", "sub", "--no-cache"], {
      RAILHEAD_URL: world.edge.url,
      RAILHEAD_TOKEN: PEROKU_TOK,
    });
    const replica = await world.replica(saying("whole"));
    assert.deepEqual(replica.target.settings, {
      port: 8080,
      replicas: 1,
      memory_bytes: 64 * 2 ** 20,
      cpus: 0.5,
      health: { path: "/ok", seconds: 5 },
      dockerfile: "Other",
      no_cache: true,
    });
    await replica.goLive();
    const { code, stdout, stderr } = await running;
    assert.equal(code, 0, stderr);
    assert.equal(stdout.toString(), `http://whole.example:${new URL(world.edge.url).port}/\n`);
    assert.match(stderr, /"replica" means nothing here; did you mean "replicas"\?/);
  });

  test("a deploy that fails exits 1, says why, and that the old version goes on", async () => {
    const running = perok("up");
    const replica = await world.replica(saying("bad"));
    const reason = "The app ended with status 3: no such file.";
    await replica.attempt.finish({ outcome: "failed", class: "build_error", reason });
    const { code, stderr } = await running;
    assert.equal(code, 1);
    assert.ok(
      stderr.endsWith(
        `The deploy of cli failed: ${reason}\nThe version before it goes on serving.\n`,
      ),
      stderr,
    );
  });

  test("Ctrl-C leaves a deploy to go on, and says how to find it again", async () => {
    const cli = spawn(process.execPath, [RAILHEAD, "up"], { cwd: folder, env: environment() });
    let stderr = "";
    cli.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const replica = await world.replica(saying("left"));
    await replica.attempt.say(["working"]);
    await until("it follows", () => stderr.includes("working"));
    cli.kill("SIGINT");
    assert.equal((await once(cli, "close"))[0], 130, stderr);
    const [, again = ""] = /follow: railhead (.*)\n/.exec(stderr) ?? [];
    const following = railhead(...again.split(" "));
    await replica.goLive();
    const { code, stdout } = await following;
    assert.equal(code, 0);
    assert.match(stdout.toString(), /working/);
    assert.equal(await world.text("cli.example"), "left");
  });

  test("a deploy that was left is cancelled as its farewell says, with the token that deploys", async () => {
    const cli = spawn(process.execPath, [RAILHEAD, "up"], { cwd: folder, env: environment() });
    let stderr = "";
    cli.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const { attempt } = await world.replica(saying("never"));
    await attempt.say(["working"]);
    await until("it follows", () => stderr.includes("working"));
    cli.kill("SIGINT");
    await once(cli, "close");
    const [, cancel = ""] = /cancel: railhead (.*)\n/.exec(stderr) ?? [];
    const wrong = await railhead(...cancel.split(" "), "--token-file", "wrong");
    assert.equal(wrong.code, 3);
    assert.match(wrong.stderr, /token with scope build or deploy or admin is needed/);
    const { code, stderr: said } = await railhead(...cancel.split(" "));
    assert.equal(code, 0, said);
    await attempt.cancelled();
    await attempt.finish({ outcome: "cancelled" });
    assert.equal(await world.text("cli.example"), "left");
  });

  test("list is peroku's for perok, and says more for railhead", async () => {
    const list = await perok("list");
    assert.equal(
      list.stdout.toString(),
      `cli                 ${RULE}\nwhole               Host:whole.example\n`,
    );
    const more = (await railhead("list")).stdout.toString();
    assert.match(more, /^PROJECT +STATE +SINCE +AGENTS +URL +RULE\ncli +live +.* ago +\S+ +http:/);
    const rows = JSON.parse((await railhead("list", "--json")).stdout.toString());
    assert.partialDeepStrictEqual(rows[0], { project: "cli", state: "live", rule: RULE });
  });

  test("list of one project shows its deployments, and why one failed", async () => {
    const { stdout } = await railhead("list", "cli");
    assert.match(
      stdout.toString(),
      /^GENERATION +STATE +ASKED FOR +NOTE\n4 +failed .* ago +it was cancelled by a caller\.\n3 +live .* ago\n2 +failed .* ago +The app ended with status 3: no such file\.\n1 +replaced .* ago +may be gone back to\n$/,
    );
  });

  test("logs keep stdout and stderr apart; --tail and --since choose", async () => {
    await deployed(perok("up"), printed(LINES));
    const all = await railhead("logs");
    assert.deepEqual([all.code, all.stdout.toString(), all.stderr], [0, "one\nthree\n", "two\n"]);
    const last = await railhead("logs", "cli", "--tail", "1");
    assert.deepEqual([last.stdout.toString(), last.stderr], ["three\n", ""]);
    const late = await railhead("logs", "--since", "2026-01-02T03:04:02Z");
    assert.deepEqual([late.stdout.toString(), late.stderr], ["three\n", "two\n"]);
    const json = await railhead("logs", "--tail", "1", "--json");
    assert.deepEqual(JSON.parse(json.stdout.toString()), LINES[2]);
    for (const wrong of [
      ["--since", "rubbish"],
      ["--tail", "x"],
    ]) {
      const { code, stderr } = await railhead("logs", ...wrong);
      assert.deepEqual(
        [code, stderr.startsWith(`railhead: ${wrong[0]} takes `)],
        [2, true],
        stderr,
      );
    }
    const none = await railhead("logs", "nothing-there");
    assert.deepEqual(
      [none.code, none.stderr],
      [3, "railhead: project 'nothing-there' not found.\n"],
    );
  });

  test("perok logs stays, and goes on with the version that takes over, each line once", async () => {
    const running = perok("up");
    const old = await world.replica(printed(LINES));
    await old.goLive();
    await running;
    const cli = spawn(process.execPath, [PEROK, "logs"], { cwd: folder, env: environment() });
    let out = "";
    let err = "";
    cli.stdout.on("data", (chunk) => {
      out += chunk;
    });
    cli.stderr.on("data", (chunk) => {
      err += chunk;
    });
    await until("it has read the old version's", () => out.includes("three"));
    const four: AppLine = { stream: "stdout", data: "four\n", time: at(4) };
    await deployed(perok("up"), printed([LINES[2] as AppLine, four]));
    old.close();
    await until("it reads the new version's", () => out.includes("four"));
    cli.kill("SIGINT");
    assert.equal((await once(cli, "close"))[1], "SIGINT");
    assert.equal(out, "one\nthree\nfour\n");
    assert.match(err, /^two\n/);
  });

  test("lines of several replicas say whose they are", async () => {
    const file = { project: "pair", rule: "Host:pair.example", replicas: 2 };
    await mkdir(join(folder, "pair"));
    await writeFile(join(folder, "pair/.peroku.json"), JSON.stringify(file));
    await writeFile(join(folder, "pair/Dockerfile"), "FROM scratch\n");
    const more = { RAILHEAD_URL: world.edge.url, PEROKU_TOK };
    const running = program(RAILHEAD, ["up"], more, join(folder, "pair"));
    const both = [
      await world.replica(printed(LINES.slice(0, 1))),
      await world.replica(printed(LINES.slice(2))),
    ];
    await Promise.all(both.map((replica) => replica.goLive()));
    assert.equal((await running).code, 0);
    const { stdout } = await program(RAILHEAD, ["logs"], more, join(folder, "pair"));
    const lines = stdout.toString().split("\n").sort();
    const [one, three] = both.map(({ target }) => target.replica);
    assert.deepEqual(lines, ["", `[${one}] one`, `[${three}] three`].sort());
  });

  test("rollback deploys again what served before, or the generation that is named", async () => {
    const before = (await world.view("cli")).deployments.find(({ state }) => state === "replaced");
    const running = railhead("rollback");
    const replica = await world.replica(saying("back"));
    await replica.goLive();
    assert.equal((await running).code, 0);
    assert.equal(await world.text("cli.example"), "back");
    const [newest] = (await world.view("cli")).deployments;
    assert.equal(newest?.rollback_of, before?.generation);
    const named = before?.generation ?? 0;
    const { stdout } = await deployed(railhead("rollback", String(named - 1), "--json"));
    assert.equal(JSON.parse(stdout.toString()).deployments[0].rollback_of, named - 1);
    const unknown = await railhead("rollback", "999");
    assert.equal(unknown.code, 3);
    assert.match(
      unknown.stderr,
      /cli cannot go back to generation 999: .* it keeps the last 5, now \d+, /,
    );
    assert.equal((await railhead("rollback", "last")).code, 2);
  });

  test("env set takes values from arguments, files and standard input, and shows none of them", async () => {
    await writeFile(join(folder, "key"), "line one\nline two\n");
    const set = await run(
      process.execPath,
      [RAILHEAD, "env", "set", "MODE=a=b", "KEY=@key", "PIPED=@-"],
      { cwd: folder, env: environment(), input: "from a pipe\n" },
    );
    assert.equal(set.code, 0, set.stderr);
    assert.match(set.stderr, /cli has KEY, MODE, PIPED from its next deploy on\./);
    const names = await railhead("env", "list");
    assert.equal(names.stdout.toString(), "KEY\nMODE\nPIPED\n");
    const running = railhead("env", "unset", "PIPED", "--deploy");
    const replica = await world.replica(saying("with variables"));
    assert.deepEqual(replica.env, { MODE: "a=b", KEY: "line one\nline two" });
    await replica.goLive();
    assert.equal((await running).code, 0);
    assert.doesNotMatch(set.stderr + set.stdout, /line one|from a pipe/);
    for (const wrong of ["very-secret", "=very-secret", "KEY=@very-secret"]) {
      const { code } = await railhead("env", "set", wrong);
      assert.equal(code, 2, wrong);
    }
    assert.doesNotMatch((await railhead("env", "set", "very-secret")).stderr, /very-secret/);
  });

  test("open prints the URL, and gives it to the user's browser where there is one", async () => {
    const opened = join(folder, "opened");
    const browser = join(folder, "bin/xdg-open");
    await writeFile(browser, `#!/bin/sh\nprintf %s "$1" >${opened}\n`);
    await chmod(browser, 0o755);
    const PATH = `${join(folder, "bin")}:${process.env.PATH}`;
    const url = `http://cli.example:${new URL(world.edge.url).port}/`;
    const { stdout } = await program(RAILHEAD, ["open"], { PATH, DISPLAY: ":9" });
    assert.equal(stdout.toString(), `${url}\n`);
    const read = () => readFile(opened, "utf8").catch(() => "");
    await until("the browser has it", async () => (await read()) === url);
    await rm(opened);
    assert.equal((await program(RAILHEAD, ["open"], { PATH })).stdout.toString(), `${url}\n`);
  });

  test("no token and a wrong one are told apart from a server that is away", async () => {
    for (const [args, says] of [
      [["list", "--token-file", "wrong"], /refuses the token: "token" in \.peroku\.json/],
      [["logs", "--token-file", "wrong"], /refuses the token/],
      [["up", "--token-file", "wrong"], /refuses the token/],
    ] as const) {
      const { code, stderr } = await railhead(...args);
      assert.equal(code, 3, stderr);
      assert.match(stderr, says);
    }
    const nowhere = join(folder, "bin");
    const anonymous = await program(RAILHEAD, ["list", "--url", world.edge.url], {}, nowhere);
    assert.match(anonymous.stderr, /asks for a token, and none is known for it/);
    await writeFile(
      join(nowhere, ".peroku.json"),
      JSON.stringify({ token: "wrong", peroku: world.edge.url, project: "cli", rule: RULE }),
    );
    for (const command of ["list", "down", "logs"]) {
      const { code, stderr } = await program(PEROK, [command], {}, nowhere);
      assert.equal(code, 1);
      assert.match(stderr, /^http.* refuses the token: .*\n$/, command);
    }
    await rm(join(nowhere, ".peroku.json"));
  });

  test("what is missing or wrong is said in one line, before anything is sent", async () => {
    const bare = join(folder, "bin");
    const more = { RAILHEAD_URL: world.edge.url, PEROKU_TOK };
    for (const [args, says] of [
      [["up"], /"project" in \.peroku\.json, or --project/],
      [["up", "--project", "x1"], /"rule" in \.peroku\.json, or --rule/],
      [["up", "--project", "x1", "--rule", RULE], /There is no .*Dockerfile/],
      [["logs", "--project", "x"], /"x" is neither a project nor the id of a build/],
      [["up", "nowhere"], /nowhere is no folder/],
    ] as const) {
      const { code, stderr } = await program(RAILHEAD, args, more, bare);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
    }
    const refused = await railhead("up", "--rule", "Hots:cli.example");
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /Hots/);
  });

  test("deploy.sh deploys from a pipe, prints the log, and exits as the deploy ended", async () => {
    const script = await readFile(DEPLOY);
    const rule = "Host(`script.example`) && PathPrefix(`/`)";
    const args = [world.edge.url, "script", rule];
    for (const shell of ["bash", "dash"]) {
      const env = environment({ PEROKU_TOK });
      const running = run(shell, ["-s", ...args], { cwd: folder, env, input: script });
      const replica = await world.replica(saying(shell));
      assert.equal(replica.target.rule, rule);
      const bytes = Buffer.from(await (await replica.attempt.context()).arrayBuffer());
      const files = [...(await archiveFiles(bytes)).keys()];
      assert.ok(files.includes("./Dockerfile"), String(files));
      assert.ok(!files.some((name) => /\.git|\.peroku\.json/.test(name)), String(files));
      await replica.attempt.say([`from ${shell}`]);
      await replica.goLive();
      const { code, stdout, stderr } = await running;
      assert.equal(code, 0, stderr);
      assert.match(stdout.toString(), new RegExp(`from ${shell}\\n[^]*script is live\\.\\n$`));
      assert.equal(await world.text("script.example"), shell);
    }
  });

  test("deploy.sh fails when the deploy does, and says what the server refuses", async () => {
    const sh = (token: string, ...args: string[]) =>
      run("sh", [DEPLOY, ...args], { cwd: folder, env: environment({ PEROKU_TOK: token }) });
    const running = sh(PEROKU_TOK, world.edge.url, "script", "Host:script.example");
    const replica = await world.replica(saying("bad"));
    const reason = "The app ended with status 3.";
    await replica.attempt.finish({ outcome: "failed", class: "build_error", reason });
    const { code, stdout, stderr } = await running;
    assert.equal(code, 1);
    assert.match(stdout.toString(), /status 3/);
    assert.match(stderr, /the deploy of script ended as failed/);
    for (const [args, says] of [
      [["no-such-token", world.edge.url, "script", "Host:x.example"], /refused \(403\): Invalid/],
      [[PEROKU_TOK, world.edge.url, "script", "Hots:x.example"], /refused \(400\): .*Hots/],
      [[PEROKU_TOK, "http://127.0.0.1:9", "script", "Host:x.example"], /cannot be reached/],
      [[PEROKU_TOK, world.edge.url, "script"], /usage/],
      [["", world.edge.url, "script", "Host:x.example"], /PEROKU_TOK must hold/],
    ] as const) {
      const [token, ...rest] = args;
      const ran = await sh(token, ...rest);
      assert.equal(ran.code, 1, ran.stderr);
      assert.match(ran.stderr, says);
    }
  });

  test("variables count before the first deploy: they are listed, and go with down", async () => {
    const of = (...args: string[]) => railhead(...args, "--project", "early");
    assert.equal((await of("env", "list")).code, 3);
    assert.equal((await of("env", "set", "KEY=value")).code, 0);
    assert.equal((await of("env", "list")).stdout.toString(), "KEY\n");
    assert.match((await railhead("list")).stdout.toString(), /^early +new +- +- +- +-$/m);
    assert.equal((await of("down")).code, 0);
    assert.equal((await of("env", "list")).code, 3);
  });

  test("down deletes the project, and says when there is none", async () => {
    const gone = await perok("down");
    assert.deepEqual([gone.code, gone.stdout.toString()], [0, "deleted cli\n"]);
    const none = await perok("down");
    assert.deepEqual([none.code, none.stderr], [1, "project cli not found\n"]);
    assert.equal((await railhead("down", "whole")).code, 0);
  });
});
