/**
 * How an agent proves who it is: it signs a nonce that the edge made seconds ago (shared/identity.ts).
 * A nonce is its time and an HMAC over it, so that handing one out stores nothing.
 */
import { compactVerify, importJWK } from "jose";
import { PROOF_ALGORITHM, proofSchema } from "../shared/identity.ts";
import { hmac, timingSafeEqual } from "./secrets.ts";

type Secrets = { RAILHEAD_SECRET: string };

/** Milliseconds for which a nonce is good: a slow connection's round trip, and no more. */
export const NONCE_MS = 60_000;
const NONCE = /^(\d{1,15})\.([0-9a-f]{32})\.([0-9a-f]{64})$/;

/** A nonce for one agent, with the time `at` (ms), from `random` (32 hex digits). */
export async function makeNonce(
  env: Secrets,
  agent: string,
  at: number,
  random: string,
): Promise<string> {
  return `${at}.${random}.${await mac(env, agent, at, random)}`;
}

/** The time (ms) in a nonce; null unless we made it, for this agent. */
export async function readNonce(
  env: Secrets,
  agent: string,
  nonce: string,
): Promise<number | null> {
  const match = NONCE.exec(nonce);
  if (match === null) return null;
  const [, time, random, given] = match as unknown as [string, string, string, string];
  const at = Number(time);
  return timingSafeEqual(given, await mac(env, agent, at, random)) ? at : null;
}

/** The nonce in a proof (compact JWS, RFC 7515); null unless `agent` signed it with the key whose JWK has this `x`. */
export async function readProof(jws: string, agent: string, x: string): Promise<string | null> {
  try {
    const key = await importJWK({ kty: "OKP", crv: "Ed25519", x }, PROOF_ALGORITHM);
    const { payload } = await compactVerify(jws, key, { algorithms: [PROOF_ALGORITHM] });
    const proof = proofSchema.parse(JSON.parse(new TextDecoder().decode(payload)));
    return proof.sub === agent ? proof.nonce : null;
  } catch {
    return null;
  }
}

function mac(env: Secrets, agent: string, at: number, random: string): Promise<string> {
  return hmac(env, "agent-nonce", `${agent}\n${at}\n${random}`);
}
