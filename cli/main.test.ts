import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { BuildRecord } from "../shared/builds.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const TOKEN = `rh_${"5".repeat(64)}`;

/** Builds of the edge, and how each stands. */
const ENDS: Record<string, BuildRecord["state"]> = {
  ["a".repeat(32)]: "succeeded",
  ["b".repeat(32)]: "failed",
  ["c".repeat(32)]: "cancelled",
  ["d".repeat(32)]: "running",
};

let folder: string;
let server: Server;
let url: string;
const asked: URL[] = [];
/** Tokens that were made. */
let made = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "railhead-main-"));
  server = createServer((request, response) => {
    asked.push(new URL(request.url ?? "", "http://edge"));
    if (request.method === "POST" && request.url?.startsWith("/git.example/"))
      return response.writeHead(202).end(JSON.stringify({ build_id: "d".repeat(32) }));
    if (request.method === "POST" && request.url === "/api/tokens") {
      made++;
      return response.end(JSON.stringify({ id: "one", scope: "agent", token: TOKEN }));
    }
    const [, , id, logs] = request.url?.split(/[/?]/) ?? [];
    const state = ENDS[id ?? ""];
    if (state !== undefined)
      return response.end(
        logs === "logs"
          ? `${JSON.stringify({ position: 1, level: "info", msg: "one line", time: "" })}\n`
          : JSON.stringify(recordOf(id ?? "", state)),
      );
    response.writeHead(404, { "content-type": "application/problem+json" });
    if (request.url?.startsWith("/git.example/"))
      return response.end(JSON.stringify({ code: "not_built", detail: "Not built. Do: curl 'x'" }));
    return response.end(JSON.stringify({ code: "not_found", detail: "There is no such thing." }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

function recordOf(build_id: string, state: BuildRecord["state"]): object {
  const target = {
    ...{ recipe: "go", remote: "git.example", path: ["ada", "hello"], goos: "linux" },
    ...{ goarch: "amd64", version: "v1", make: null, commit: "e".repeat(40) },
    ...{ visibility: "public", advertised: true },
  };
  return {
    ...{ build_id, recipe: "go", target, state, class: null, reason: `it is ${state}.` },
    ...{ position: null, attempt: 1, agent: null, commit: null, visibility: "public" },
    ...{ queued_at: "", started_at: null, ended_at: null },
    timings: { queued_ms: null, running_ms: null, phases: {} },
    ...{ artifact: "/x", artifacts: [], log: "/x" },
  };
}

function start(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, "--url", url, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder },
  });
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]).then(
    ([out, err, [code]]) => ({ out, err, code }),
  );
  return { child, ended };
}

function railhead(...args: string[]) {
  return start(...args).ended;
}

test("with --json every error is one JSON object, with the edge's word for it", async () => {
  const refused = await railhead("agents", "--json");
  assert.equal(refused.code, 3);
  assert.deepEqual(JSON.parse(refused.err), {
    error: "There is no such thing.",
    code: "not_found",
  });
  for (const args of [["logs", "x"], ["build"], ["nonsense"], ["token", "create", "x"], []]) {
    const { err, code } = await railhead(...args, "--json");
    assert.equal(code, 2, args.join(" "));
    const { error, ...rest } = JSON.parse(err);
    assert.match(error, /^(?!error)\S.*\S$/, args.join(" "));
    assert.deepEqual(rest, { code: null });
  }
  assert.match((await railhead("agents")).err, /^railhead: There is no such thing\.\n$/);
});

test("logs prints all there is, and ends as build does once the build has ended", async () => {
  for (const [id, state] of Object.entries(ENDS))
    for (const follow of state === "running" ? [[]] : [[], ["-f"]]) {
      const { out, err, code } = await railhead("logs", ...follow, id);
      assert.equal(out, "==> one line\n");
      const went = state === "succeeded" || state === "running";
      assert.equal(code, went ? 0 : 1, `${state}: ${err}`);
      if (!went) assert.match(err, new RegExp(`^railhead: The build .*: it is ${state}\\.\\n$`));
    }
});

test("get of what was never built names both ways to build it", async () => {
  const { err, code } = await railhead("get", "git.example/ada/hello/linux/amd64/v1.0.0");
  assert.equal(code, 3);
  assert.equal(
    err,
    "railhead: Not built. Do: curl 'x', or with: railhead build git.example/ada/hello/linux/amd64/v1.0.0\n",
  );
});

test("an image that is pushed nowhere needs no name, and one that is pushed needs it", async () => {
  await mkdir(join(folder, "My App"), { recursive: true });
  await writeFile(join(folder, "My App", "Dockerfile"), "FROM scratch\n");
  const named = await railhead("image", "build", "My App", "--no-push", "-o", "x");
  assert.equal(asked.at(-1)?.searchParams.get("image"), "my-app", named.err);
  const unnamed = await railhead("image", "build", "My App");
  assert.equal(unnamed.code, 2);
  assert.match(unnamed.err, /^railhead: Say what to push it as: --tag /);
  await rm(join(folder, "My App"), { recursive: true });
});

test("who waits for a build is told by either signal how to go on", async () => {
  const id = "d".repeat(32);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const { child, ended } = start("build", "git.example/ada/hello/linux/amd64/v1.0.0");
    child.stderr.once("data", () => child.kill(signal));
    const { err, code } = await ended;
    assert.equal(code, 130);
    assert.match(err, new RegExp(`Detached; build ${id} goes on\\.\\n  follow: railhead logs -f`));
  }
});

test("every command's --help says what its exit statuses mean", async () => {
  for (const command of [[], ["get"], ["token", "create"]])
    assert.match(
      (await railhead(...command, "--help")).out,
      /Exit status: 0 done; 1 .* write a file/,
    );
});

test("a token can go to a new file of its owner's, and is shown nowhere then", async () => {
  const kept = await railhead("token", "create", "agent", "--output", "token");
  assert.equal(kept.code, 0, kept.err);
  assert.equal(await readFile(join(folder, "token"), "utf8"), `${TOKEN}\n`);
  assert.equal((await stat(join(folder, "token"))).mode & 0o777, 0o600);
  assert.equal(
    kept.out,
    `railhead agent register --url ${url} --token-file token && railhead agent run\n`,
  );
  assert.doesNotMatch(kept.err, /rh_/);

  const before = made;
  const again = await railhead("token", "create", "agent", "--output", "token");
  assert.equal(again.code, 1);
  assert.match(again.err, /^railhead: cannot write .*token: it is there already\n$/);
  assert.equal(made, before, "no token is made that nobody would have");

  const json = await railhead("token", "create", "agent", "--output", "other", "--json");
  assert.deepEqual(JSON.parse(json.out), {
    id: "one",
    scope: "agent",
    file: join(folder, "other"),
  });
  assert.deepEqual((await readdir(folder)).sort(), ["other", "token"]);
});

test("without a file an agent's token comes in the line to paste", async () => {
  const { out } = await railhead("token", "create", "agent");
  assert.equal(
    out,
    `RAILHEAD_AGENT_TOKEN=${TOKEN} railhead agent register --url ${url} && railhead agent run\n`,
  );
});
