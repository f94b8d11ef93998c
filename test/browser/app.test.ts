/** A web app behind the edge, as a real browser sees it: pages, cookies, uploads, Server-Sent Events, WebSockets. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { TunnelWorld } from "../apps/world.ts";
import { openBrowser } from "../support/chromium.ts";

/** Every name below `localhost` is this machine to a browser; `localhost` alone is the Worker's own. */
const HOST = "shop.localhost";
const UPLOAD_BYTES = 3_000_000;
/** Milliseconds for what a page waits for, on a machine with two busy cores. */
const PATIENCE_MS = 60_000;

const PAGE = `<!doctype html>
<title>Shop</title>
<h1>Shop</h1>
<output id="socket"></output> <output id="events"></output> <output id="upload"></output>
<script>
  const say = (id, text) => (document.getElementById(id).textContent = text);
  const socket = new WebSocket("ws://" + location.host + "/socket", "chat");
  const heard = [];
  socket.onopen = () => { socket.send("hällo"); socket.send(new Uint8Array([1, 2, 3])); };
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    heard.push(typeof data === "string" ? data : new Uint8Array(data).join("-"));
    if (heard.length === 2) socket.close(3001, "enough");
  };
  socket.onclose = ({ code }) => say("socket", [socket.protocol, ...heard, code].join(" "));
  const events = new EventSource("/events");
  const ids = [];
  events.onmessage = ({ data }) => { ids.push(data); if (ids.length === 3) { events.close(); say("events", ids.join(" ")); } };
  fetch("/upload", { method: "POST", body: new Uint8Array(${UPLOAD_BYTES}).fill(7) })
    .then((answer) => answer.text()).then((text) => say("upload", text));
</script>`;

suite("a web app in a browser", () => {
  let world: TunnelWorld;
  let browser: Browser;
  let closeBrowser: () => Promise<void> = async () => {};
  before(async () => {
    const [opened, started] = await Promise.all([TunnelWorld.open(), openBrowser()]);
    world = opened;
    browser = started.browser;
    closeBrowser = started.close;
    world.app.answers.set("", (request, response) => void answer(request, response));
    world.app.sockets.set("/socket", (socket) => {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    });
    await world.deploy("shop", HOST);
  });
  after(async () => {
    await closeBrowser();
    await world?.close();
  });

  async function open(path: string): Promise<Page> {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(`http://${HOST}:${world.port}${path}`);
    return page;
  }

  const shown = (page: Page, id: string) => page.locator(`#${id}:not(:empty)`).innerText();

  test("its page comes with its own headers, and talks over a WebSocket, events and an upload", async () => {
    const page = await open("/");
    assert.equal(await page.title(), "Shop");
    assert.equal(await shown(page, "socket"), "chat hällo 1-2-3 3001");
    assert.equal(await shown(page, "events"), "1 2 3");
    assert.equal(await shown(page, "upload"), `POST ${UPLOAD_BYTES}`);
    await page.close();
  });

  test("its cookies come back to it, and a redirect leads where the app says", async () => {
    const page = await open("/enter");
    assert.equal(new URL(page.url()).pathname, "/cookies");
    assert.equal(await page.locator("body").innerText(), "a=1; b=2");
    await page.close();
  });
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const id of [1, 2, 3]) response.write(`data: ${id}\n\n`);
  } else if (request.url === "/enter") {
    response.writeHead(303, { location: "/cookies", "set-cookie": ["a=1", "b=2"] }).end();
  } else if (request.url === "/cookies") {
    response.end(request.headers.cookie);
  } else if (request.method === "POST") {
    response.end(`POST ${(await buffer(request)).length}`);
  } else {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(PAGE);
  }
}
