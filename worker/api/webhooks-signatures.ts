/** Whether a webhook comes from whoever knows GIT_SECRET, by what each kind of git host sends. Every comparison is in constant time. */
import type { Forge } from "../raw-file.ts";
import { timingSafeEqual } from "../secrets.ts";

type Sent = { secret: string; headers: Headers; body: Uint8Array<ArrayBuffer> };

/** Of a signing token, as GitLab makes them (Standard Webhooks, "Webhook Secret"). */
const SIGNING_TOKEN = "whsec_";
/** Seconds by which a signed time may be off (Standard Webhooks, "Verifying signatures"). */
const TOLERANCE_S = 5 * 60;

const CHECKS: Record<Forge, (sent: Sent) => Promise<boolean>> = { github, gitlab, gitea };

/** `body` is what came, byte for byte. */
export function isSigned(forge: Forge, sent: Sent): Promise<boolean> {
  return CHECKS[forge](sent);
}

/** GitHub, "Validating webhook deliveries": the stronger signature counts where there are two. */
async function github({ secret, headers, body }: Sent): Promise<boolean> {
  const strong = headers.get("x-hub-signature-256");
  if (strong !== null) return holds("SHA-256", secret, body, hexAfter("sha256=", strong));
  return holds("SHA-1", secret, body, hexAfter("sha1=", headers.get("x-hub-signature") ?? ""));
}

/** Gitea and Forgejo: the bare HMAC in hex. */
async function gitea({ secret, headers, body }: Sent): Promise<boolean> {
  const sent = headers.get("x-forgejo-signature") ?? headers.get("x-gitea-signature") ?? "";
  return holds("SHA-256", secret, body, hexAfter("", sent));
}

/** GitLab, "Webhooks": the secret token itself; or, where that is a signing token, a signature by Standard Webhooks. */
async function gitlab({ secret, headers, body }: Sent): Promise<boolean> {
  const signatures = headers.get("webhook-signature");
  if (signatures === null || !secret.startsWith(SIGNING_TOKEN))
    return timingSafeEqual(headers.get("x-gitlab-token") ?? "", secret);
  const id = headers.get("webhook-id") ?? "";
  const time = headers.get("webhook-timestamp") ?? "";
  const key = fromBase64(secret.slice(SIGNING_TOKEN.length));
  const age = Math.abs(Date.now() / 1000 - Number(time));
  if (key === null || !/^\d{1,12}$/.test(time) || age > TOLERANCE_S) return false;
  const signed = new Uint8Array(
    await new Blob([new TextEncoder().encode(`${id}.${time}.`), body]).arrayBuffer(),
  );
  for (const signature of signatures.split(" "))
    if (await holds("SHA-256", key, signed, base64After("v1,", signature))) return true;
  return false;
}

async function holds(
  hash: "SHA-1" | "SHA-256",
  secret: string | Uint8Array<ArrayBuffer>,
  signed: Uint8Array<ArrayBuffer>,
  signature: Uint8Array<ArrayBuffer> | null,
): Promise<boolean> {
  if (signature === null || secret.length === 0) return false;
  const raw = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash }, false, ["verify"]);
  return crypto.subtle.verify("HMAC", key, signature, signed);
}

function hexAfter(prefix: string, text: string): Uint8Array<ArrayBuffer> | null {
  const hex = text.slice(prefix.length);
  if (!text.startsWith(prefix) || !/^(?:[0-9a-f]{2}){1,64}$/i.test(hex)) return null;
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function base64After(prefix: string, text: string): Uint8Array<ArrayBuffer> | null {
  return text.startsWith(prefix) ? fromBase64(text.slice(prefix.length)) : null;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
