/** Tokens, listings and the routes of machines, on workerd. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createTestHarness } from "wrangler";
import { until } from "../support/until.ts";
import { ADMIN, json, Operator, SECRETS } from "./control-line.ts";

const server = createTestHarness({
  workers: [
    {
      configPath: join(import.meta.dirname, "../../wrangler.toml"),
      secrets: SECRETS,
      vars: { RAILHEAD_EXPECT_AGENTS: "1" },
    },
  ],
});
let operator: Operator;
let base = "";

before(async () => {
  base = (await server.listen()).url.href.replace(/\/$/, "");
  operator = new Operator(base);
});
after(() => server.close());

test("tokens are shown once, work by scope, and end when they are revoked", async () => {
  const body = JSON.stringify({ scope: "build", name: "ci", expires_in_s: 60 });
  const made = await json<{ id: string; token: string }>(
    await operator.call("/api/tokens", { method: "POST", body }),
    201,
  );
  assert.match(made.token, /^rh_[A-Za-z0-9_-]{43}$/);
  assert.equal((await operator.call("/api/agents", { token: made.token })).status, 200);
  assert.equal((await operator.call("/api/tokens", { token: made.token })).status, 403);
  const listed = await (await operator.call("/api/tokens")).text();
  assert.ok(listed.includes(made.id) && !listed.includes(made.token));
  assert.equal((await operator.call(`/api/tokens/${made.id}`, { method: "DELETE" })).status, 204);
  assert.equal((await operator.call(`/api/tokens/${made.id}`, { method: "DELETE" })).status, 404);
  await until("the revocation to be seen", async () => {
    return (await operator.call("/api/agents", { token: made.token })).status === 401;
  });
});

test("a token is found behind any scheme, as a Basic password, and beside a git credential", async () => {
  const basic = (password: string) => `Basic ${Buffer.from(`any:${password}`).toString("base64")}`;
  const body = JSON.stringify({ scope: "admin", name: "alice" });
  const made = await operator.call("/api/tokens", { method: "POST", body });
  const { token } = await json<{ token: string }>(made, 201);
  for (const secret of [token, ADMIN])
    for (const headers of [
      { authorization: `bearer  ${secret}` },
      { authorization: `token ${secret}` },
      { authorization: secret },
      { authorization: basic(secret) },
      { "railhead-token": secret },
      { "railhead-token": secret, authorization: "token ghp_of_a_git_host" },
    ])
      assert.equal((await fetch(`${base}/api/tokens`, { headers })).status, 200);
});

test("a token of ours that is not valid is refused, never taken for nobody's", async () => {
  for (const headers of [
    { authorization: `Bearer rh_${"z".repeat(43)}` },
    { authorization: "Bearer rh_short" },
    { "railhead-token": "anything" },
    { "railhead-token": "anything", authorization: `Bearer ${ADMIN}` },
  ])
    assert.equal((await fetch(`${base}/api/agents`, { headers })).status, 401);
});

test("where PEROKU_TOK is not set, nobody deploys without a token of ours", async () => {
  for (const headers of [{}, { authorization: "Bearer " }, { authorization: "Basic Og==" }])
    for (const [path, method] of [
      ["/list", "GET"],
      ["/run", "POST"],
    ] as const) {
      const response = await fetch(base + path, { method, headers });
      assert.deepEqual([response.status, await response.text()], [403, "Invalid token."], path);
    }
});

test("a git credential is nobody's token here", async () => {
  const response = await fetch(`${base}/api/tokens`, {
    headers: { authorization: "Bearer ghp_of_a_git_host" },
  });
  assert.equal(response.status, 401);
  assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer/);
});

test("health, version and readiness need no token", async () => {
  const health = await fetch(`${base}/healthz`);
  assert.equal(await health.text(), "ok\n");
  const version = await json<{ version: string }>(await fetch(`${base}/version`), 200);
  assert.match(version.version, /^\d+\.\d+\.\d+/);
  const registered = await operator.register("ready", "ready");
  const line = await operator.connect(registered);
  await line.next("welcome");
  assert.equal((await fetch(`${base}/readyz`)).status, 200);
  line.socket.terminate();
  await until("not ready", async () => (await fetch(`${base}/readyz`)).status === 503);
  const problem = await json<{ detail: string }>(await fetch(`${base}/readyz`), 503);
  const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
  const unnamed = new RegExp(`^0 of 1 agents [^;]*; one was last seen at ${time}\\. "railhead`);
  assert.match(problem.detail, unnamed);
  const headers = { authorization: `Bearer ${ADMIN}` };
  const named = await json<{ detail: string }>(await fetch(`${base}/readyz`, { headers }), 503);
  assert.match(named.detail, new RegExp(`; ready was last seen at ${time}[;.]`));
});

test("metrics parse as Prometheus text", async () => {
  const response = await fetch(`${base}/metrics`);
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  const line =
    /^(?:# (?:HELP|TYPE) railhead_[a-z_]+ .+|railhead_[a-z_]+\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\} [0-9.e+-]+)$/;
  for (const row of text.trimEnd().split("\n")) assert.match(row, line);
  assert.match(text, /^railhead_queue_length\{pool="default"\} 0$/m);
});

test("the list of builds is public, paged and checks what it is asked", async () => {
  const page = await json<{ builds: unknown[] }>(await fetch(`${base}/api/builds?limit=1`), 200);
  assert.ok(Array.isArray(page.builds));
  for (const query of [
    "limit=0",
    "limit=x",
    "state=odd",
    "name=",
    `version=${"v".repeat(300)}`,
    `q=${"w".repeat(300)}`,
    "all=maybe",
    "namespace=a&namespace=b",
  ]) {
    const refused = await json<{ code: string; member: string }>(
      await fetch(`${base}/api/builds?${query}`),
      400,
    );
    assert.equal(refused.code, "bad_query", query);
    assert.equal(refused.member, query.split("=")[0], query);
  }
  assert.equal((await fetch(`${base}/api/builds?cursor=%00`)).status, 400);
  const odd = ["q=%00", "q=%22%20OR%20*", "q=", "name=%00", "version=%27%20OR%201--", "q=a&name=b"];
  for (const query of odd)
    assert.equal((await fetch(`${base}/api/builds?${query}`)).status, 200, query);
});

test("only the admin's token lists what is not public", async () => {
  assert.equal((await fetch(`${base}/api/builds?all=true`)).status, 401);
  const body = JSON.stringify({ scope: "build", name: "curious" });
  const made = await operator.call("/api/tokens", { method: "POST", body });
  const { token } = await json<{ token: string }>(made, 201);
  assert.equal((await operator.call("/api/builds?all=true", { token })).status, 403);
  assert.equal((await operator.call("/api/builds?all=true")).status, 200);
});
