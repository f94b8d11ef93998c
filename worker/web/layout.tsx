/** The frame around every page, and the headers that go with it. */
import type { Context } from "hono";
import { html } from "hono/html";
import type { Child } from "hono/jsx";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { AppEnv } from "../app-env.ts";
import { VERSION } from "../version.ts";
import { assetPath } from "./assets.ts";

/** Nothing from anywhere else, nothing inline. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  // Forms must say where they come from; nobody else learns what is looked at.
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  vary: "accept",
};

type PageOptions = {
  /** What stands before the name of the site. */
  title: string;
  status?: number;
  /** Beside those of every page, or in their place. */
  headers?: Record<string, string>;
  /** Whether the page changes by itself. */
  live?: boolean;
};

/** A whole page. It may be kept only to be asked for again, unless `headers` say otherwise. */
export async function page(
  c: Context<AppEnv>,
  { title, status = 200, headers = {}, live = false }: PageOptions,
  content: Child,
): Promise<Response> {
  const [style, icon, script] = await Promise.all([
    assetPath("style.css"),
    assetPath("favicon.svg"),
    assetPath("live.js"),
  ]);
  const document = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{title === "" ? "Railhead" : `${title} · Railhead`}</title>
        <link rel="icon" type="image/svg+xml" href={icon} />
        <link rel="stylesheet" href={style} />
        {live ? <script type="module" src={script} /> : null}
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <header class="bar">
          <a class="home" href="/">
            <img src={icon} alt="" width={26} height={26} />
            Railhead
          </a>
          <nav aria-label="Site">
            <a href="/?q=">Builds</a>
            <a href="/add">Add a build</a>
          </nav>
        </header>
        <main id="main" tabindex={-1}>
          {content}
        </main>
        <footer class="foot">
          <span>Railhead {VERSION}</span>
          <a href="/openapi.json">API description</a>
        </footer>
      </body>
    </html>
  );
  return c.html(html`<!DOCTYPE html>${document}`, status as ContentfulStatusCode, {
    ...HEADERS,
    "cache-control": "no-cache",
    ...headers,
  });
}
