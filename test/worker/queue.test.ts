import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeRepository } from "../../cli/dev/repository.ts";
import type { BuildRecord } from "../../shared/builds.ts";
import { until } from "../support/until.ts";
import { HELLO, json, Operator } from "./control-line.ts";
import { ADMIN_TOKEN, type Edge, problemOf, startEdge } from "./edge.ts";

const CLI = join(import.meta.dirname, "../../cli/bin.mjs");
const FULL = "the disk of /var/lib/docker is 96 % full, with 3 GiB free of the 10 GiB wanted";

describe("a build that waits", { timeout: 120_000 }, () => {
  const base = "/git.example/o/tool/linux/amd64";
  let edge: Edge;
  let operator: Operator;

  before(async () => {
    edge = await startEdge();
    operator = new Operator(edge.url, ADMIN_TOKEN);
    await makeRepository(join(edge.root, "o/tool.git"), [
      { files: { n: "0" }, tag: "v1.0.0" },
      { files: { n: "1" }, tag: "v1.1.0" },
    ]);
  });
  after(() => edge.close());

  async function post(version: string): Promise<BuildRecord> {
    return json(await edge.call(`${base}/${version}`, { method: "POST" }), 202);
  }

  async function record(id: string, headers: Record<string, string> = {}): Promise<BuildRecord> {
    return json(await edge.call(`/builds/${id}`, { headers }), 200);
  }

  async function tokenFor(scope: string): Promise<string> {
    const body = JSON.stringify({ scope, name: scope });
    const made = await operator.call("/api/tokens", { method: "POST", body });
    return (await json<{ token: string }>(made, 201)).token;
  }

  test("says where, how long and why not now, wherever it is shown", async () => {
    const queue = { expected_wait_ms: null, why: "no agent serves go" };
    const posted = await post("v1.0.0");
    assert.deepEqual([posted.position, posted.queue], [1, queue]);
    const shown = await record(posted.build_id);
    assert.deepEqual([shown.position, shown.queue], [1, queue]);
    const joined = await post("v1.0.0");
    assert.deepEqual([joined.position, joined.queue], [1, queue]);
    const building = await problemOf(await edge.call(`${base}/v1.0.0`));
    assert.deepEqual([building.position, building.queue], [1, queue]);
    const plain = await edge.call(`${base}/v1.0.0`, { headers: { accept: "text/plain" } });
    assert.match(
      await plain.text(),
      /^Build [0-9a-f]{32} is queued: position 1, no agent serves go\. Its log: /,
    );
  });

  test("tells the state of hosts to those who may list agents, and everybody else that something is wrong", async () => {
    const { build_id } = await post("v1.0.0");
    const smithy = await operator.register("smithy");
    const line = await operator.connect(smithy, { unwell: FULL });
    await line.next("welcome");
    const why = "no agent takes new work: 1 agent is unwell";
    assert.equal((await record(build_id)).queue?.why, why);
    const told = async (token: string) =>
      (await record(build_id, { authorization: `Bearer ${token}` })).queue?.why;
    for (const shown of [ADMIN_TOKEN, await tokenFor("build")])
      assert.equal(await told(shown), `${why} (smithy is unwell: ${FULL})`);
    for (const shown of ["rh_unknown", await tokenFor("deploy")])
      assert.equal(await told(shown), why, "a token that may not list agents");
    line.say({ t: "status", capacity: 1, unwell: null, draining: false });
    assert.equal((await line.next("assign")).build, build_id, "well again, it gets the build");
    await edge.call(`/builds/${build_id}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    line.socket.terminate();
    const removed = await operator.call(`/api/agents/${smithy.agent}`, { method: "DELETE" });
    assert.ok(removed.ok);
  });

  test("is waited for on the command line in the same words, until it ends", async () => {
    const { build_id } = await post("v1.1.0");
    const env = { ...process.env, RAILHEAD_URL: edge.url, RAILHEAD_TOKEN: ADMIN_TOKEN };
    const cli = spawn(process.execPath, [CLI, "logs", "-f", build_id], { env });
    let said = "";
    cli.stderr.on("data", (chunk) => {
      said += chunk;
    });
    await until("the first reason", () =>
      said.includes("waiting: position 1, no agent serves go\n"),
    );
    const forge = await operator.register("forge");
    const line = await operator.connect(forge, { ...HELLO, unwell: FULL });
    await until("the next reason", () => said.includes(`(forge is unwell: ${FULL})\n`));
    assert.equal(said.match(/waiting:/g)?.length, 2, "once for each change");
    await operator.call(`/builds/${build_id}`, { method: "DELETE" });
    const [code] = await once(cli, "exit");
    assert.equal(code, 1, said);
    const { queue, position } = await record(build_id);
    assert.deepEqual([position, queue], [null, null]);
    line.socket.terminate();
  });
});
