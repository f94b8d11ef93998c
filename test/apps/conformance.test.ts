/** An app behind the edge against the same app asked directly: bytes on sockets, on both ends. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ALLOWED, type Outcome, OWN, tableOf, WITHHELD } from "./allowed.ts";
import { ANSWERED } from "./answers.ts";
import { CASE } from "./app.ts";
import { type Case, HOST } from "./compose.ts";
import { BROKEN, SMUGGLED } from "./hostile.ts";
import { REQUESTS } from "./requests.ts";
import { converse, readAnswer, type WireAnswer } from "./wire.ts";
import { TunnelWorld } from "./world.ts";

suite("an app behind the edge", () => {
  let world: TunnelWorld;
  before(async () => {
    world = await TunnelWorld.open();
    await world.deploy("conformance", HOST);
  });
  after(() => world.close());

  const needed = new Set<string>();
  for (const asked of [...REQUESTS, ...ANSWERED])
    test(`${asked.name}: the same as without the edge`, async () => {
      const direct = await exchange(world, world.app.port, asked);
      const edge = await exchange(world, world.port, asked);
      const withheld = WITHHELD[asked.name];
      if (withheld !== undefined) {
        assert.deepEqual([edge.status, edge.seen], [withheld.status, []]);
        return;
      }
      assert.deepEqual(compared(edge, needed), compared(direct, needed));
    });

  test("no difference is allowed that is not there", () => {
    assert.deepEqual(
      ALLOWED.filter(({ what }) => !needed.has(what)).map(({ what }) => what),
      [],
    );
  });

  test("docs/web-apps.md shows every difference that is allowed", async () => {
    const shown = await readFile(join(import.meta.dirname, "../../docs/web-apps.md"), "utf8");
    const rows = shown
      .split("\n")
      .filter((line) => line.startsWith("| "))
      .slice(2);
    assert.deepEqual(rows, tableOf());
  });

  for (const [name, bytes] of SMUGGLED)
    test(`${name}: the app sees whole requests, and none without an answer`, async () => {
      const said = await converse(world.port, Buffer.from(bytes, "latin1"));
      const answers = said.toString("latin1").match(/HTTP\/1\.1 [2-5]\d\d /g)?.length ?? 0;
      const { seen, faults } = world.app.take();
      assert.equal(faults, 0);
      assert.ok(seen.length <= answers, `${seen.length} requests, ${answers} answers`);
      for (const { headers } of seen)
        assert.ok(headers.filter(([name]) => FRAMING.test(name)).length <= 1, String(headers));
      const errors = said.toString("latin1").match(/HTTP\/1\.1 500 [\s\S]*/)?.[0] ?? "";
      if (errors !== "") assert.match(errors, BEFORE_US);
      assert.equal((await asked(world, "none of it", "a=b")).body.toString(), "POST 3");
      world.app.take();
      assert.equal(world.dialled, 1, "the replica's socket was closed");
    });

  for (const [name, bytes, is] of BROKEN)
    test(`an app that ${name}: the client's answer is ${is === "cut" ? "cut short, not whole" : "502"}`, async () => {
      world.app.answers.set("broken", { raw: Buffer.from(bytes, "latin1") });
      const answer = await asked(world, "broken");
      world.app.take();
      if (is === "cut" && answer.status === 500)
        assert.match(answer.body.toString(), CUT_BEFORE_US);
      else if (is === "cut") assert.deepEqual([answer.status, answer.whole], [200, false]);
      else assert.deepEqual([answer.status, problemCode(answer)], [502, "app_broken"]);
      assert.equal(world.dialled, 1, "the replica's socket was closed");
    });

  test("what an app sends behind its answer reaches nobody", async () => {
    const raw = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
    world.app.answers.set("two", { raw: raw + raw.replace("one", "two") });
    for (let i = 0; i < 3; i++) assert.equal((await asked(world, "two")).body.toString(), "one");
    assert.equal((await asked(world, "none of it", "a=b")).body.toString(), "POST 3");
  });

  test("an app trusts where a request came from: a client cannot say so itself", async () => {
    world.app.take();
    const lines = ["For: 6.6.6.6", "Host: evil", "Proto: https", "Port: 1", "Prefix: /x"];
    const spoofed = lines.map((line) => `X-Forwarded-${line}\r\n`).join("");
    const more = "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";
    const head = `GET / HTTP/1.1\r\nHost: ${HOST}:8080\r\n${spoofed}${more}Connection: close\r\n\r\n`;
    await converse(world.port, head);
    const [seen] = world.app.take().seen;
    const said = seen?.headers.filter(([name]) => /forwarded|real-ip/.test(name));
    assert.deepEqual(Object.fromEntries(said ?? []), {
      "x-forwarded-for": "6.6.6.6, 127.0.0.1",
      "x-real-ip": "127.0.0.1",
      "x-forwarded-host": `${HOST}:8080`,
      "x-forwarded-port": "8080",
      "x-forwarded-proto": "http",
    });
  });
});

/** What workerd and its tools say of what is no request, with 500, before any code of ours is asked. */
const BEFORE_US = /\r\n(?:Internal Server Error|Error: Network connection lost\.)/;
/** What the local runtime's proxy says, with 500, of an answer whose head and whose end by a cut reach it at once. */
const CUT_BEFORE_US = /^Error: Network connection lost\.$/;
const FRAMING = /^(?:content-length|transfer-encoding)$/i;

async function asked(world: TunnelWorld, name: string, body = ""): Promise<WireAnswer> {
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  const first = body === "" ? "GET" : "POST";
  const head = `${first} / HTTP/1.1\r\nHost: ${HOST}\r\n${CASE}: ${name}\r\n${length}`;
  const bytes = await converse(world.port, `${head}Connection: close\r\n\r\n${body}`);
  const answer = readAnswer(first, bytes);
  assert.ok(answer !== null, "no answer");
  return answer;
}

function problemCode({ body }: WireAnswer): string {
  return JSON.parse(body.toString()).code;
}

async function exchange(world: TunnelWorld, port: number, asked: Case): Promise<Outcome> {
  if (asked.answer !== null) world.app.answers.set(asked.name, { raw: asked.answer });
  const answer = readAnswer(asked.method, await converse(port, asked.request));
  assert.ok(answer !== null, "no answer");
  const { seen, faults } = world.app.take();
  assert.equal(faults, 0);
  const { status, informational, headers, body, whole } = answer;
  return {
    ...{ status, informational, headers, body: brief(body), whole },
    seen: seen.map(({ headers, body, ...rest }) => ({
      ...rest,
      headers: headers.filter(([name]) => !OWN.test(name)),
      body: brief(body),
    })),
  };
}

/** What is left to compare; notes which of the differences there are. */
function compared(outcome: Outcome, needed: Set<string>): Outcome {
  return ALLOWED.reduce((before, { what, forgive }) => {
    const left = forgive(before);
    if (JSON.stringify(left) !== JSON.stringify(before)) needed.add(what);
    return left;
  }, outcome);
}

function brief(body: Buffer): string {
  if (body.length < 200) return body.toString("latin1");
  return `${body.length} bytes, ${createHash("sha256").update(body).digest("hex")}`;
}
