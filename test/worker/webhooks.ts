/** Webhooks as git hosts send and sign them. */
import { createHmac, randomBytes } from "node:crypto";
import type { Edge } from "./edge.ts";

/** A signing token of GitLab's, which is as good for all others. */
export const GIT_SECRET = `whsec_${Buffer.from("the webhooks' secret of the tests").toString("base64")}`;

export type Sent = { path: string; body: string; headers: Record<string, string> };

function hexHmac(hash: "sha1" | "sha256", body: string, secret = GIT_SECRET): string {
  return createHmac(hash, secret).update(body).digest("hex");
}

/** `x-hub-signature` and `x-hub-signature-256` over the body. */
export const hub = {
  sha1: (body: string, secret?: string) => ({
    "x-hub-signature": `sha1=${hexHmac("sha1", body, secret)}`,
  }),
  sha256: (body: string, secret?: string) => ({
    "x-hub-signature-256": `sha256=${hexHmac("sha256", body, secret)}`,
  }),
};

export const gitea = (name: "gitea" | "forgejo", body: string, secret?: string) => ({
  [`x-${name}-signature`]: hexHmac("sha256", body, secret),
});

/** GitLab's signature, at a time in seconds since the epoch. */
export function standard(body: string, time = Math.floor(Date.now() / 1000)) {
  const id = `msg_${randomBytes(8).toString("hex")}`;
  const key = Buffer.from(GIT_SECRET.replace("whsec_", ""), "base64");
  const mac = createHmac("sha256", key).update(`${id}.${time}.${body}`).digest("base64");
  return {
    "webhook-id": id,
    "webhook-timestamp": String(time),
    "webhook-signature": `v1,${mac}`,
  };
}

/** A repository as GitHub describes it. */
export function github(full_name: string) {
  return { full_name, clone_url: `https://github.com/${full_name}.git`, private: false };
}

/** A new tag as GitHub's event *create* tells of it; each call makes other bytes. */
export function created(full_name: string, tag: string, more: object = {}): string {
  const salt = randomBytes(8).toString("hex");
  const repository = github(full_name);
  return JSON.stringify({ ref: tag, ref_type: "tag", repository, ...more, salt });
}

export function send(edge: Edge, { path, body, headers }: Sent): Promise<Response> {
  const sent = { "content-type": "application/json", ...headers };
  return edge.call(path, { method: "POST", body, headers: sent });
}

/** coon's answers. */
export type Envelope = { result: boolean; response: unknown };
