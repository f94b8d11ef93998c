/**
 * What is made from RAILHEAD_SECRET: one subkey a purpose (HKDF, RFC 5869), so that nothing signed or
 * sealed for one use is good for another. Rotating the secret ends tickets and drops sealed credentials.
 */
import { jwtVerify, SignJWT } from "jose";
import { Problem } from "../shared/problem.ts";
import type { Sealed } from "./core/contracts.ts";
import { type Ticket, ticketSchema } from "./core/ticket.ts";

/** A missing secret must stop the Worker: everything below it would be signed with "undefined". */
type Secrets = { RAILHEAD_SECRET: string };

type Purpose = "credentials" | "tickets" | `hmac:${string}`;

const SEAL_VERSION = "s1.";
/** Bytes of the nonce of AES-GCM (NIST SP 800-38D section 8.2). */
const IV_BYTES = 12;
const TICKET_ALGORITHM = "HS256";

/** Seals a secret for storage (AES-256-GCM, a fresh nonce each time). Throws Problem `not_ready` without RAILHEAD_SECRET. */
export async function seal(env: Secrets, text: string): Promise<Sealed> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const key = await aesKey(env);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, utf8(text));
  return SEAL_VERSION + toBase64(new Uint8Array([...iv, ...new Uint8Array(sealed)]));
}

/** What `seal` was given; null when it was sealed under another secret, or changed since. */
export async function unseal(env: Secrets, sealed: Sealed): Promise<string | null> {
  const key = await aesKey(env);
  try {
    if (!sealed.startsWith(SEAL_VERSION)) return null;
    const bytes = fromBase64(sealed.slice(SEAL_VERSION.length));
    const iv = bytes.subarray(0, IV_BYTES);
    const plain = await crypto.subtle.decrypt(
      { name: "AES-GCM", iv },
      key,
      bytes.subarray(IV_BYTES),
    );
    return new TextDecoder().decode(plain);
  } catch {
    return null;
  }
}

/** A compact JWS (RFC 7515) over the ticket. */
export async function signTicket(env: Secrets, ticket: Ticket): Promise<string> {
  return new SignJWT(ticket)
    .setProtectedHeader({ alg: TICKET_ALGORITHM })
    .sign(await subkey(env, "tickets"));
}

/** The ticket; null when it is malformed, forged or expired at `now` (ms since the epoch). */
export async function verifyTicket(
  env: Secrets,
  token: string,
  now: number,
): Promise<Ticket | null> {
  const key = await subkey(env, "tickets");
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [TICKET_ALGORITHM],
      currentDate: new Date(now),
    });
    return ticketSchema.parse(payload);
  } catch {
    return null;
  }
}

/** HMAC-SHA-256 of `text` as hex, under a key of `purpose` alone. */
export async function hmac(env: Secrets, purpose: string, text: string): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    await subkey(env, `hmac:${purpose}`),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return toHex(await crypto.subtle.sign("HMAC", key, utf8(text)));
}

/** SHA-256 as hex: how a token is stored when it only has to be recognised. */
export async function sha256(content: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof content === "string" ? utf8(content) : content;
  return toHex(await crypto.subtle.digest("SHA-256", bytes));
}

/** Whether two texts are equal, in a time that depends on their lengths only. */
export function timingSafeEqual(a: string, b: string): boolean {
  const [left, right] = [utf8(a), utf8(b)];
  let difference = left.length ^ right.length;
  for (let i = 0; i < left.length; i++)
    difference |= (left[i] as number) ^ (right[i % right.length] ?? 0);
  return difference === 0;
}

const subkeys = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

function subkey(env: Secrets, purpose: Purpose): Promise<Uint8Array<ArrayBuffer>> {
  const secret = env.RAILHEAD_SECRET;
  if (typeof secret !== "string" || secret === "")
    throw new Problem(
      "not_ready",
      "The Worker is not set up: RAILHEAD_SECRET must be set. See docs/operating.md.",
    );
  const name = `${purpose}\n${secret}`;
  const known = subkeys.get(name);
  if (known !== undefined) return known;
  const made = derive(secret, purpose);
  subkeys.set(name, made);
  return made;
}

async function derive(secret: string, purpose: Purpose): Promise<Uint8Array<ArrayBuffer>> {
  const master = await crypto.subtle.importKey("raw", utf8(secret), "HKDF", false, ["deriveBits"]);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: utf8("railhead"), info: utf8(purpose) },
    master,
    256,
  );
  return new Uint8Array(bits);
}

async function aesKey(env: Secrets) {
  return crypto.subtle.importKey("raw", await subkey(env, "credentials"), "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}

function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
