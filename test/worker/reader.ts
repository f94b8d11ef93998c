/** A browser without JavaScript: it reads pages, every one of them checked, and sends their forms. */
import assert from "node:assert/strict";
import { markupFaults } from "../support/markup.ts";
import type { Edge } from "./edge.ts";

/** As Chromium and Firefox send it. */
const HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
export type Fields = [name: string, value: string][];

export class Reader {
  readonly #edge: Edge;

  constructor(edge: Edge) {
    this.#edge = edge;
  }

  get(path: string): Promise<Response> {
    return this.#edge.call(path, { headers: { accept: HTML } });
  }

  /** A page, checked. */
  async page(path: string, status = 200): Promise<string> {
    return this.checked(await this.get(path), status);
  }

  async checked(response: Response, status: number): Promise<string> {
    const html = await response.text();
    assert.equal(response.status, status, html);
    assert.match(response.headers.get("content-type") ?? "", /^text\/html; charset=utf-8$/i);
    const policy = response.headers.get("content-security-policy") ?? "";
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; /);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.match(response.headers.get("vary") ?? "", /\baccept\b/);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.deepEqual(markupFaults(html), []);
    return html;
  }

  /** A form as the page's own browser sends it. */
  send(path: string, fields: Fields, headers: Record<string, string> = {}): Promise<Response> {
    const { origin } = new URL(this.#edge.url);
    const sent = { accept: HTML, origin, "sec-fetch-site": "same-origin", ...headers };
    return this.#edge.call(path, {
      method: "POST",
      headers: sent,
      body: new URLSearchParams(fields),
    });
  }

  /** Sends a form that leads to a build, and answers its id. */
  async toBuild(path: string, fields: Fields): Promise<string> {
    const response = await this.send(path, fields);
    assert.equal(response.status, 303, await response.text());
    const id = /^\/builds\/([0-9a-f]{32})$/.exec(response.headers.get("location") ?? "")?.[1];
    assert.ok(id);
    return id;
  }
}
