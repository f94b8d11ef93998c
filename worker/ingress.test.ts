import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

type Route = { project: string; rule: string };
type Env = {
  RAILHEAD_HOSTS: string;
  ROUTES: { getByName(name: string): { list(): Promise<Route[]> } };
  APPS: { getByName(name: string): { fetch(request: Request): Promise<Response> } };
};
type Context = { waitUntil(work: Promise<unknown>): void };
type Handler = { fetch(request: Request, env: Env, ctx: Context): Promise<Response> };

/** By its name at run time: the Worker's types are another project's. Each call makes an isolate's worth of state. */
async function isolate(): Promise<(site: object) => Handler> {
  const { href } = new URL(`./ingress.ts?${crypto.randomUUID()}`, import.meta.url);
  return (await import(href)).withApps;
}

describe("the way in", () => {
  let handler: Handler;
  let asked: number;
  let failing: boolean;
  let routes: Route[];
  /** What goes on though its client has gone. */
  let outliving: Promise<unknown>[];
  beforeEach(async () => {
    handler = (await isolate())({ fetch: async () => new Response("the Worker's own") });
    [asked, failing, routes] = [0, false, [{ project: "all", rule: "PathPrefix:/" }]];
    outliving = [];
  });

  function get(url: string, hosts: string): Promise<Response> {
    const env: Env = {
      RAILHEAD_HOSTS: hosts,
      ROUTES: {
        getByName: () => ({
          list: async () => {
            asked++;
            if (failing) throw new Error("the object's own words");
            return routes;
          },
        }),
      },
      APPS: { getByName: (name) => ({ fetch: async () => new Response(`the app ${name}`) }) },
    };
    return handler.fetch(new Request(url), env, { waitUntil: (work) => outliving.push(work) });
  }

  async function reads(url: string, hosts: string): Promise<string> {
    return (await get(url, hosts)).text();
  }

  test("on the Worker's own hosts no app is ever asked, nor the object that knows them", async () => {
    for (const [url, hosts] of [
      ["https://railhead.acc.workers.dev/api/tokens", ""],
      ["https://anything.example/", ""],
      ["https://railhead.example/", "railhead.example"],
      ["https://RAILHEAD.example.:443/", "railhead.example"],
      ["http://127.0.0.1:8787/", "127.0.0.1:8787 railhead.example:443"],
      ["https://railhead.example/", "127.0.0.1:8787 railhead.example:443"],
    ] as const)
      assert.equal(await reads(url, hosts), "the Worker's own", `${url} with "${hosts}"`);
    assert.equal(asked, 0);
  });

  test("a rule that names one of them is refused, and says what to do", async () => {
    const { href } = new URL("./api/apps-request.ts", import.meta.url);
    const { checkedRule } = await import(href);
    const toSet = { code: "bad_rule", message: /operator has set RAILHEAD_HOSTS/ };
    for (const host of ["railhead.acc.workers.dev", "shop.example", "localhost"])
      assert.throws(() => checkedRule({ RAILHEAD_HOSTS: "" }, `Host:${host}`), toSet);
    assert.equal(checkedRule({ RAILHEAD_HOSTS: "" }, "Host:shop.localhost"), "Host:shop.localhost");
    const env = { RAILHEAD_HOSTS: "127.0.0.1:8787 railhead.example" };
    const toMove = { code: "bad_rule", message: /own name.*choose another host/ };
    for (const rule of ["Host:127.0.0.1", "Host:a.example,Railhead.example;PathPrefix:/x"])
      assert.throws(() => checkedRule(env, rule), toMove);
    assert.equal(checkedRule(env, "Host(`shop.example`)"), "Host(`shop.example`)");
  });

  test("a rule that was taken once, and would be refused by now, costs no other app its requests", async () => {
    routes = [{ project: "old", rule: "Host:app.1" }, ...routes];
    assert.equal(await reads("https://shop.example/", "railhead.example"), "the app all");
  });

  test("on every other host an app is", async () => {
    assert.equal(await reads("https://shop.example/", "railhead.example"), "the app all");
    assert.equal(await reads("http://shop.localhost:8787/", ""), "the app all");
  });

  test("who asks at the same time waits for one answer, which comes also when the first has gone", async () => {
    const url = "https://shop.example/";
    const both = await Promise.all([1, 2].map(() => reads(url, "railhead.example")));
    assert.deepEqual([both, asked], [["the app all", "the app all"], 1]);
    assert.equal(outliving.length, 1);
  });

  test("while nobody can tell the apps, a stranger reads 503, and the next one is looked up anew", async () => {
    failing = true;
    const refused = await get("https://shop.example/", "railhead.example");
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get("content-type"), "application/problem+json");
    assert.ok(refused.headers.has("retry-after"));
    const problem = await refused.text();
    assert.ok(!problem.includes("the object's own words"), problem);
    failing = false;
    assert.equal(await reads("https://shop.example/", "railhead.example"), "the app all");
  });
});
