import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../shared/problem.ts";
import type { Ticket } from "./core/ticket.ts";
import { hmac, seal, signTicket, timingSafeEqual, unseal, verifyTicket } from "./secrets.ts";

const ENV = { RAILHEAD_SECRET: "a secret of the tests, long enough" };
const OTHER = { RAILHEAD_SECRET: "another secret of the tests, as long" };

const TICKET: Ticket = {
  build: "0".repeat(32),
  attempt: 1,
  upload: "1".repeat(32),
  part: 1,
  key: "builds/x/1/nonce/tool.tar.gz",
  upload_id: null,
  size: 10,
  sha256: "2".repeat(64),
  content_type: "application/gzip",
  exp: 1_000,
};

test("what is sealed is read back under the same secret only", async () => {
  const sealed = await seal(ENV, "token ünïcode");
  assert.doesNotMatch(sealed, /token/);
  assert.equal(await unseal(ENV, sealed), "token ünïcode");
  assert.equal(await unseal(OTHER, sealed), null);
  assert.notEqual(await seal(ENV, "token ünïcode"), sealed);
});

test("a changed, cut or foreign seal opens to nothing", async () => {
  const sealed = await seal(ENV, "token");
  const flipped = sealed.slice(0, -3) + (sealed.at(-3) === "A" ? "B" : "A") + sealed.slice(-2);
  for (const bad of ["", "token", sealed.slice(3), sealed.slice(0, -8), flipped, "s1.%%"])
    assert.equal(await unseal(ENV, bad), null);
});

test("a ticket is good until it expires, for its own secret, and only unchanged", async () => {
  const token = await signTicket(ENV, TICKET);
  assert.deepEqual(await verifyTicket(ENV, token, 999_000), TICKET);
  assert.equal(await verifyTicket(ENV, token, 1_001_000), null);
  assert.equal(await verifyTicket(OTHER, token, 999_000), null);
  const [header, , signature] = token.split(".");
  const forged = Buffer.from(JSON.stringify({ ...TICKET, part: 2 })).toString("base64url");
  assert.equal(await verifyTicket(ENV, `${header}.${forged}.${signature}`, 999_000), null);
  const unsigned = Buffer.from('{"alg":"none"}').toString("base64url");
  assert.equal(await verifyTicket(ENV, `${unsigned}.${forged}.`, 999_000), null);
  assert.equal(await verifyTicket(ENV, "nonsense", 999_000), null);
});

test("one purpose's HMAC is worth nothing for another", async () => {
  assert.equal(await hmac(ENV, "a", "text"), await hmac(ENV, "a", "text"));
  assert.notEqual(await hmac(ENV, "a", "text"), await hmac(ENV, "b", "text"));
  assert.notEqual(await hmac(ENV, "a", "text"), await hmac(OTHER, "a", "text"));
});

test("without RAILHEAD_SECRET nothing is sealed or signed", async () => {
  for (const env of [{ RAILHEAD_SECRET: "" }, {} as { RAILHEAD_SECRET: string }])
    for (const work of [
      () => seal(env, "x"),
      () => unseal(env, "s1.x"),
      () => signTicket(env, TICKET),
      () => verifyTicket(env, "x", 0),
      () => hmac(env, "a", "x"),
    ])
      await assert.rejects(work, (error) => error instanceof Problem && error.code === "not_ready");
});

test("texts compare equal only when they are", () => {
  for (const [a, b, equal] of [
    ["abc", "abc", true],
    ["abc", "abd", false],
    ["abc", "ab", false],
    ["", "", true],
    ["", "a", false],
    ["a", "", false],
    ["aa", "a", false],
  ] as const)
    assert.equal(timingSafeEqual(a, b), equal, `${a} ${b}`);
});
