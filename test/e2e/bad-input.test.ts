import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { hello } from "../support/fixtures.ts";
import { rawHead, rawRequest } from "../support/raw-http.ts";
import { openStack, type TestStack } from "../support/stack.ts";

const TAIL = "linux/amd64/v1.0.0";
const LONG = "a".repeat(5_000);
const UNKNOWN = "0".repeat(32);

/** Methods, paths as they are sent, and headers: none of them can mean anything. */
const REFUSED: readonly [method: string, path: string, headers?: string[]][] = [
  // Paths that are too short, too long, or lead elsewhere.
  ["POST", "/git.example"],
  ["POST", "/git.example/ada"],
  ["POST", "/git.example/ada/hello/linux/amd64"],
  ["POST", "/git.example/ada/hello/linux/amd64/"],
  ["POST", `/git.example/hello/${TAIL}`],
  ["POST", `/git.example/ada/hello/${TAIL}/file/more`],
  ["POST", `/git.example//hello/${TAIL}`],
  ["POST", `/git.example/../hello/${TAIL}`],
  ["POST", `/git.example/%2e%2e/hello/${TAIL}`],
  ["POST", `/git.example/ada/%2e%2e%2fhello/${TAIL}`],
  ["POST", `/git.example/ada/hello%00/${TAIL}`],
  ["POST", `/git.example/ada/hello%0a/${TAIL}`],
  ["POST", `/git.example/ada/-hello/${TAIL}`],
  ["POST", `/git.example/ada/--upload-pack=touch/${TAIL}`],
  ["POST", `/git.example/ada/hel%ZZlo/${TAIL}`],
  ["POST", `/git.example/ada/%ff%fe/${TAIL}`],
  ["POST", `/git.example/ada/hello;id/${TAIL}`],
  ["POST", `/git.example/ada/$(id)/${TAIL}`],
  ["POST", `/git.example/ada/hello.git/${TAIL}`],
  ["POST", `/git.example/ada/${LONG}/${TAIL}`],
  ["POST", `/git.example/${"x/".repeat(200)}hello/${TAIL}`],
  ["POST", `/${LONG}.example/ada/hello/${TAIL}`],
  ["POST", `/127.0.0.1/ada/hello/${TAIL}`],
  ["POST", `/git.example:80/ada/hello/${TAIL}`],
  ["POST", `/user@git.example/ada/hello/${TAIL}`],
  ["POST", `/evil.example/ada/hello/${TAIL}`],
  ["POST", `/GIT.EXAMPLE./ada/hello/${TAIL}`],
  ["POST", `/[::1].x/ada/hello/${TAIL}`],
  ["GET", "/..%2f..%2fetc/passwd"],
  ["GET", "/%"],
  ["GET", `/${LONG}`],
  // Platforms and versions that are none.
  ["POST", "/git.example/ada/hello/linux/vax/v1.0.0"],
  ["POST", "/git.example/ada/hello/windows/riscv64/v1.0.0"],
  ["POST", "/git.example/ada/hello/LINUX/AMD64/v1.0.0"],
  ["POST", "/git.example/ada/hello/linux/amd64/-v1"],
  ["POST", "/git.example/ada/hello/linux/amd64/--all"],
  ["POST", "/git.example/ada/hello/linux/amd64/v1..2"],
  ["POST", "/git.example/ada/hello/linux/amd64/%2e%2e"],
  ["POST", "/git.example/ada/hello/linux/amd64/v1%00"],
  ["POST", "/git.example/ada/hello/linux/amd64/a%20b%0d%0aX-Y:1"],
  ["POST", `/git.example/ada/hello/linux/amd64/${LONG}`],
  ["POST", "/git.example/ada/hello/linux/amd64/v99"],
  ["GET", `/git.example/ada/hello/${TAIL}/..%2f..%2fsecret`],
  ["GET", `/git.example/ada/hello/${TAIL}/-rf`],
  // Queries and headers.
  ["POST", `/git.example/ada/hello/${TAIL}?wait=soon`],
  ["POST", `/git.example/ada/hello/${TAIL}?wait=-1`],
  ["POST", `/git.example/ada/hello/${TAIL}?wait=1e9`],
  ["POST", `/git.example/ada/hello/${TAIL}?target=-C`],
  ["POST", `/git.example/ada/hello/${TAIL}?target=a%20b`],
  ["POST", `/git.example/ada/hello/${TAIL}?target=${LONG}`],
  ["POST", `/git.example/ada/hello/${TAIL}`, ["Railhead-Token: rh_nobody"]],
  ["POST", `/git.example/ada/hello/${TAIL}`, ["Authorization: Bearer rh_nobody"]],
  // Methods.
  ["PUT", `/git.example/ada/hello/${TAIL}`],
  ["PATCH", `/git.example/ada/hello/${TAIL}`],
  ["DELETE", `/git.example/ada/hello/${TAIL}`],
  ["POST", "/healthz"],
  ["PUT", "/api/agents"],
  ["PROPFIND", "/"],
  // Builds that are none.
  ["GET", "/builds/"],
  ["GET", "/builds/1"],
  ["GET", "/builds/../x"],
  ["GET", `/builds/${UNKNOWN}`],
  ["GET", `/builds/${UNKNOWN}/logs`],
  ["GET", `/builds/${UNKNOWN}/logs?follow=1`],
  ["GET", `/builds/${UNKNOWN}/logs?follow=maybe`],
  ["GET", `/builds/${UNKNOWN}/nothing`],
  ["GET", `/builds/${"z".repeat(32)}`],
  ["DELETE", `/builds/${UNKNOWN}`],
  ["POST", `/builds/${UNKNOWN}/logs`],
  // What is not for everybody.
  ["GET", "/api/agents"],
  ["GET", "/api/tokens"],
  ["GET", "/api/agents", ["Authorization: Bearer rh_nobody"]],
  ["GET", "/api/agents", ["Authorization: Basic !!!"]],
  ["POST", "/api/agents/nobody/cordon"],
  // The agents' own door.
  ["GET", "/agent/control"],
  ["GET", "/agent/control?agent=default.0123456789abcdef"],
  ["GET", "/agent/nonce"],
  ["GET", "/agent/nonce?agent=nobody"],
  ["GET", "/agent/nonce?agent=default.0123456789abcdef"],
  ["GET", `/agent/builds/${UNKNOWN}/attempts/1`],
  ["GET", `/agent/builds/${UNKNOWN}/attempts/0`],
  ["GET", "/agent/builds/x/attempts/y"],
  ["PUT", `/agent/uploads/${UNKNOWN}/parts/1`, ["Content-Length: 0"]],
  ["PUT", "/agent/uploads/x/parts/y", ["Content-Length: 0"]],
  ["POST", "/agent/register"],
  // Installers.
  ["GET", "/install/"],
  ["GET", "/install/git.example"],
  ["GET", "/install/evil.example/ada/hello"],
  ["GET", "/install/git.example/ada/$(id)"],
  ["GET", "/install/git.example/ada/'%3bid%3b'"],
  // Nothing at all.
  ["GET", "/nothing"],
  ["GET", "/.env"],
  ["GET", "/v2/"],
];

/** Requests that are not even HTTP. */
const GARBAGE: readonly (string | Buffer)[] = [
  "GET\r\n\r\n",
  "GET / HTTP/9.9\r\n\r\n",
  Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01]),
  `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n${"X-A: b\r\n".repeat(20_000)}\r\n`,
  "POST /agent/register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: nonsense\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nBad Header: x\r\n\r\n",
];

describe("malformed requests", () => {
  let stack: TestStack;

  before(async () => {
    stack = await openStack({ repositories: { "ada/hello": hello }, agents: 0 });
  });
  after(() => stack?.close());

  test("every one is refused with a code and a sentence", async () => {
    const wrong: string[] = [];
    for (const [method, path, headers] of REFUSED) {
      const lines = ["Accept: application/json", ...(headers ?? [])];
      const answer = await rawRequest(stack.url, rawHead(method, path, lines));
      const what = `${method} ${path.slice(0, 100)} ${headers?.join() ?? ""}`;
      if (answer === null) wrong.push(`${what}: the connection was just closed`);
      else wrong.push(...faults(what, answer.status, unchunked(answer)));
    }
    assert.deepEqual(wrong, []);
  });

  test("bodies that are wrong are refused by what is wrong with them", async () => {
    const json = { "content-type": "application/json" };
    const key = { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) };
    const good = { name: "box", pool: "default", labels: {}, public_key: key };
    const admin = { authorization: `Bearer ${stack.token}` };
    const bodies: [path: string, headers: Record<string, string>, body: string][] = [
      ["/agent/register", { ...json, ...admin }, "{"],
      ["/agent/register", { ...json, ...admin }, "null"],
      ["/agent/register", { ...json, ...admin }, "[]"],
      ["/agent/register", { ...json, ...admin }, "{}"],
      ["/agent/register", { ...admin, "content-type": "text/plain" }, JSON.stringify(good)],
      ["/agent/register", { ...json, ...admin }, JSON.stringify({ ...good, name: "../x" })],
      ["/agent/register", { ...json, ...admin }, JSON.stringify({ ...good, name: LONG })],
      ["/agent/register", { ...json, ...admin }, JSON.stringify({ ...good, pool: "A B" })],
      ["/agent/register", { ...json, ...admin }, JSON.stringify({ ...good, public_key: {} })],
      ["/agent/register", { ...json, ...admin }, JSON.stringify({ ...good, labels: { "!": 1 } })],
      [
        "/agent/register",
        { ...json, ...admin },
        JSON.stringify({ ...good, more: LONG.repeat(40) }),
      ],
      ["/agent/register", json, JSON.stringify(good)],
      ["/api/tokens", { ...json, ...admin }, JSON.stringify({ scope: "king" })],
      ["/api/tokens", { ...json, ...admin }, JSON.stringify({ scope: "agent", name: LONG })],
      ["/api/tokens", json, JSON.stringify({ scope: "agent", name: "x" })],
    ];
    const wrong: string[] = [];
    for (const [path, headers, body] of bodies) {
      const response = await stack.post(path, { headers, body });
      wrong.push(...faults(`${path} ${body.slice(0, 80)}`, response.status, await response.text()));
    }
    assert.deepEqual(wrong, []);
  });

  test("garbage on the socket is refused or cut off, and the next caller served", async () => {
    for (const garbage of GARBAGE) {
      const answer = await rawRequest(stack.url, garbage);
      if (answer !== null) assert.ok(answer.status < 500, `${answer.status} ${answer.head}`);
    }
    assert.equal((await stack.fetch("/healthz")).status, 200);
  });

  test("people at a terminal get one plain line", async () => {
    for (const headers of [{ accept: "text/plain" }, { accept: "*/*", "user-agent": "curl/8.0" }]) {
      const response = await stack.fetch("/builds/1", { headers });
      assert.equal(response.status, 404);
      assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
      assert.match(await response.text(), /^[^\n]+\n$/);
    }
  });
});

/** What is wrong with an answer that should be a problem (RFC 9457): empty when nothing is. */
function faults(what: string, status: number, body: string): string[] {
  const found: string[] = [];
  if (status < 400 || status > 499) found.push(`status ${status}`);
  if (/\bat \w+.*\.(ts|js):\d+/.test(body)) found.push("a stack trace");
  try {
    const problem = JSON.parse(body) as Record<string, unknown>;
    if (!/^[a-z_]+$/.test(String(problem.code))) found.push(`code ${problem.code}`);
    if (problem.status !== status) found.push(`a body for status ${problem.status}`);
    if (String(problem.detail).length < 10) found.push("no sentence");
  } catch {
    found.push("no JSON");
  }
  return found.map((fault) => `${what}: ${fault}: ${body.slice(0, 200)}`);
}

/** The body of a raw answer, its chunks joined. */
function unchunked({ head, body }: { head: string; body: string }): string {
  if (!/^transfer-encoding: *chunked/im.test(head)) return body;
  let rest = body;
  let text = "";
  for (;;) {
    const end = rest.indexOf("\r\n");
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (end === -1 || !(size > 0)) return text;
    text += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 4 + size);
  }
}
