/** The badge of a package for its README: the newest version that can be had. */
import type { Context } from "hono";
import { html } from "hono/html";
import type { AppEnv } from "../app.ts";
import { newestPackage } from "./erlang-find.ts";
import { nameOf, required } from "./erlang-request.ts";

const LABEL = "railhead";
const HEIGHT = 20;
/** Pixels of one character, about, and left and right of a text. */
const CHAR_WIDTH = 7;
const MARGIN = 6;
/** Characters of a version that are shown. */
const VERSION_CHARS = 40;
const GREY = "#9f9f9f";
const GREEN = "#2f7d32";
/** How late a new version may be shown; a proxy may keep it as long. */
const CACHING = "public, max-age=60";

export async function badge(c: Context<AppEnv>): Promise<Response> {
  const name = nameOf(required(c, "full_name"));
  const found = await newestPackage(c.env, name, { ref: null, erl: null });
  const version = found?.package?.version ?? null;
  return new Response(await draw(version ?? "no builds", version === null ? GREY : GREEN), {
    headers: { "content-type": "image/svg+xml; charset=utf-8", "cache-control": CACHING },
  });
}

async function draw(text: string, colour: string): Promise<string> {
  const shown = text.slice(0, VERSION_CHARS);
  const left = widthOf(LABEL);
  const right = widthOf(shown);
  const middle = HEIGHT - MARGIN;
  const svg =
    await html`<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="${HEIGHT}" role="img" aria-label="${LABEL}: ${shown}">
<title>${LABEL}: ${shown}</title>
<rect width="${left}" height="${HEIGHT}" fill="#444"/>
<rect x="${left}" width="${right}" height="${HEIGHT}" fill="${colour}"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="${left / 2}" y="${middle}">${LABEL}</text>
<text x="${left + right / 2}" y="${middle}">${shown}</text>
</g>
</svg>
`;
  return String(svg);
}

/** Pixels. */
function widthOf(text: string): number {
  return text.length * CHAR_WIDTH + 2 * MARGIN;
}
