/** Files beside the pages. Their URLs hold their hash, so that a browser keeps each for ever and never an old one. */
import type { Hono } from "hono";
import type { AppEnv } from "../app-env.ts";
import { decide } from "../conditions.ts";
import { sha256 } from "../secrets.ts";
import base from "./assets/base.css" with { type: "text" };
import build from "./assets/build.css" with { type: "text" };
import favicon from "./assets/favicon.svg" with { type: "text" };
import forms from "./assets/forms.css" with { type: "text" };
import lists from "./assets/lists.css" with { type: "text" };
import live from "./assets/live.js" with { type: "text" };

type Asset = { text: string; type: string };

const ASSETS = {
  "favicon.svg": { text: favicon, type: "image/svg+xml" },
  "live.js": { text: live, type: "text/javascript; charset=utf-8" },
  // What comes later may count on what is before it.
  "style.css": { text: [base, forms, lists, build].join("\n"), type: "text/css; charset=utf-8" },
} as const satisfies Record<string, Asset>;
export type AssetName = keyof typeof ASSETS;

/** Digits of a hash in a URL: enough to tell versions of one file apart. */
const HASH_DIGITS = 16;
const FOR_EVER = "public, max-age=31536000, immutable";
/** What has no hash of its own in its URL, or one of another deployment's file. */
const CHECKED = "no-cache";

const hashes = new Map<AssetName, Promise<string>>();

function hashOf(name: AssetName): Promise<string> {
  const known = hashes.get(name) ?? sha256(ASSETS[name].text);
  hashes.set(name, known);
  return known;
}

/** The URL path at which an asset may be kept for ever. */
export async function assetPath(name: AssetName): Promise<string> {
  return `/assets/${name}?v=${(await hashOf(name)).slice(0, HASH_DIGITS)}`;
}

export function assetRoutes(site: Hono<AppEnv>): void {
  for (const name of Object.keys(ASSETS) as AssetName[]) {
    site.get(`/assets/${name}`, (c) => serve(c.req.raw, name));
  }
  // Browsers, and people who link to it, look for it here.
  site.get("/favicon.svg", (c) => serve(c.req.raw, "favicon.svg"));
}

async function serve(request: Request, name: AssetName): Promise<Response> {
  const { text, type } = ASSETS[name];
  const hash = await hashOf(name);
  const current = new URL(request.url).searchParams.get("v") === hash.slice(0, HASH_DIGITS);
  const etag = `"${hash}"`;
  const headers = {
    etag,
    "cache-control": current ? FOR_EVER : CHECKED,
    "x-content-type-options": "nosniff",
  };
  const { status } = decide("HEAD", request.headers, { etag, modified_at: 0, size: text.length });
  if (status === 304 || status === 412) return new Response(null, { status, headers });
  return new Response(text, { headers: { ...headers, "content-type": type } });
}
