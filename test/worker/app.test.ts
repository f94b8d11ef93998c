import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Problem } from "../../shared/problem.ts";

/** The frame of the Worker's app, as far as a test needs it. */
type App = {
  get(path: string, handler: () => Response): void;
  post(path: string, handler: () => Response): void;
  request(path: string, init?: RequestInit, env?: unknown): Promise<Response>;
};

/** Loaded by its name at run time: the Worker's types are another project's. */
async function createApp(): Promise<App> {
  const { href } = new URL("../../worker/app.ts", import.meta.url);
  const module = (await import(href)) as { createApp(): App };
  return module.createApp();
}

const ENV = { RAILHEAD_TOKEN: "t".repeat(32), RAILHEAD_SECRET: "s".repeat(32) };

async function answer(
  thrown: unknown,
  headers: Record<string, string> = {},
): Promise<{ response: Response; text: string; logged: string[] }> {
  const app = await createApp();
  app.get("/x", () => {
    throw thrown;
  });
  const logged: string[] = [];
  const original = console.error;
  console.error = (line: string) => logged.push(line);
  try {
    const response = await app.request("/x", { headers }, ENV);
    return { response, text: await response.text(), logged };
  } finally {
    console.error = original;
  }
}

describe("errors of the edge", () => {
  const problem = new Problem("no_such_version", "There is no v9. Nearest: v8.", {
    members: { nearest: ["v8"], status: "never this" },
    headers: { "retry-after": "3" },
  });

  test("a problem is RFC 9457, with a code and members of its own", async () => {
    const { response, text, logged } = await answer(problem);
    assert.equal(response.status, 404);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("retry-after"), "3");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.deepEqual(JSON.parse(text), {
      type: "urn:railhead:problem:no_such_version",
      title: "No such version",
      status: 404,
      detail: "There is no v9. Nearest: v8.",
      code: "no_such_version",
      nearest: ["v8"],
    });
    assert.deepEqual(logged, []);
  });

  test("curl, and whoever prefers plain text, gets the sentence alone", async () => {
    const curl = { "user-agent": "curl/8.9.1", accept: "*/*" };
    for (const [headers, plain] of [
      [curl, true],
      [{ "user-agent": "curl/8.9.1" }, true],
      [{ ...curl, accept: "application/json" }, false],
      [{ "user-agent": "Wget/1.21", accept: "*/*" }, false],
      [{ accept: "text/plain" }, true],
      [{ accept: "text/plain, application/json;q=0.5" }, true],
      [{ accept: "application/json, text/plain;q=0.5" }, false],
      [{ accept: "text/plain, application/problem+json" }, false],
      [{ accept: "text/html,application/xhtml+xml,*/*;q=0.8" }, false],
      [{ accept: ";;;=,," }, false],
    ] as [Record<string, string>, boolean][]) {
      const { response, text } = await answer(problem, headers);
      const type = response.headers.get("content-type");
      if (plain) {
        assert.equal(type, "text/plain; charset=utf-8", JSON.stringify(headers));
        assert.equal(text, "There is no v9. Nearest: v8.\n");
      } else assert.equal(type, "application/problem+json", JSON.stringify(headers));
    }
  });

  test("what nobody expected is a 500 with an id, one line in the log, and no word of the inside", async () => {
    const { response, text, logged } = await answer(new TypeError("secret inside"));
    assert.equal(response.status, 500);
    const body = JSON.parse(text);
    assert.equal(body.code, "internal");
    assert.doesNotMatch(text, /secret inside|TypeError|\.ts/);
    assert.equal(logged.length, 1);
    const line = JSON.parse(logged[0] ?? "");
    assert.equal(line.request_id, body.request_id);
    assert.equal(line.error, "TypeError: secret inside");
    assert.ok(body.detail.includes(body.request_id));
  });

  test("an object that is too busy is 503 and worth a retry", async () => {
    const { response, text } = await answer(Object.assign(new Error("x"), { overloaded: true }));
    assert.equal(response.status, 503);
    assert.ok(Number(response.headers.get("retry-after")) > 0);
    assert.equal(JSON.parse(text).code, "overloaded");
  });

  test("unknown paths are 404, wrong methods 405 with Allow, large bodies 413", async () => {
    const app = await createApp();
    app.get("/x", () => new Response("x"));
    app.post("/x", () => new Response("x"));
    assert.equal((await app.request("/y", {}, ENV)).status, 404);
    const wrong = await app.request("/x", { method: "DELETE" }, ENV);
    assert.equal(wrong.status, 405);
    assert.equal(wrong.headers.get("allow"), "GET, HEAD, POST");
    const body = "x".repeat(70_000);
    assert.equal((await app.request("/x", { method: "POST", body }, ENV)).status, 413);
    const chunked = { method: "POST", body: new Blob([body]).stream(), duplex: "half" as const };
    assert.equal((await app.request("/x", chunked, ENV)).status, 413);
  });

  test("without its secrets the Worker refuses to serve", async () => {
    const app = await createApp();
    app.get("/x", () => new Response("x"));
    app.get("/healthz", () => new Response("ok"));
    for (const name of ["RAILHEAD_TOKEN", "RAILHEAD_SECRET"]) {
      const response = await app.request("/x", {}, { ...ENV, [name]: undefined });
      assert.equal(response.status, 503);
      assert.match(await response.text(), new RegExp(name));
    }
    assert.equal((await app.request("/healthz", {}, {})).status, 200);
  });
});
