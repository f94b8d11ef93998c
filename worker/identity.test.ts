import assert from "node:assert/strict";
import { test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { PROOF_AUDIENCE } from "../shared/identity.ts";
import { makeNonce, readNonce, readProof } from "./identity.ts";

const ENV = { RAILHEAD_SECRET: "a-secret-of-these-tests" };
const AGENT = `default.${"a".repeat(16)}`;
const RANDOM = "0".repeat(32);

async function keyPair() {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  return { x: (await exportJWK(publicKey)).x ?? "", privateKey };
}

test("a nonce is known again, with its time", async () => {
  const nonce = await makeNonce(ENV, AGENT, 1_234, RANDOM);
  assert.equal(await readNonce(ENV, AGENT, nonce), 1_234);
});

test("a nonce is good for one agent, one time and one secret", async () => {
  const nonce = await makeNonce(ENV, AGENT, 1_234, RANDOM);
  assert.equal(await readNonce(ENV, `default.${"b".repeat(16)}`, nonce), null);
  assert.equal(await readNonce(ENV, AGENT, nonce.replace("1234", "9999")), null);
  assert.equal(await readNonce({ RAILHEAD_SECRET: "another-secret" }, AGENT, nonce), null);
  for (const odd of ["", "x", "1.2.3", `${nonce}0`, `-${nonce}`])
    assert.equal(await readNonce(ENV, AGENT, odd), null, odd);
});

test("a proof is a signature of the agent's own key over its own id", async () => {
  const { x, privateKey } = await keyPair();
  const sign = (payload: Record<string, string>, key = privateKey) =>
    new SignJWT(payload).setProtectedHeader({ alg: "EdDSA" }).sign(key);
  const payload = { aud: PROOF_AUDIENCE, sub: AGENT, nonce: "n" };
  assert.equal(await readProof(await sign(payload), AGENT, x), "n");
  const stranger = await keyPair();
  for (const proof of [
    await sign(payload, stranger.privateKey),
    await sign({ ...payload, sub: `default.${"b".repeat(16)}` }),
    await sign({ ...payload, aud: "something-else" }),
    await sign({ aud: PROOF_AUDIENCE, sub: AGENT }),
    "",
    "a.b.c",
  ])
    assert.equal(await readProof(proof, AGENT, x), null);
});

test("only EdDSA counts: a token that names another algorithm, or none, is no proof", async () => {
  const { x } = await keyPair();
  const payload = Buffer.from(
    JSON.stringify({ aud: PROOF_AUDIENCE, sub: AGENT, nonce: "n" }),
  ).toString("base64url");
  const none = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
  assert.equal(await readProof(`${none}.${payload}.`, AGENT, x), null);
  const symmetric = await new SignJWT({ aud: PROOF_AUDIENCE, sub: AGENT, nonce: "n" })
    .setProtectedHeader({ alg: "HS256" })
    .sign(Buffer.from(x));
  assert.equal(await readProof(symmetric, AGENT, x), null);
});
