import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { hostileRequests, parseOpenApi } from "../support/hostile-values.ts";
import { ADMIN_TOKEN } from "./edge.ts";
import {
  type Answer,
  cloneUrl,
  type ErlangWorld,
  literal,
  openErlangWorld,
  refusal,
} from "./erlang.ts";
import { FAILED } from "./workshop.ts";

const POSTS = ["/buildAsync", "/buildSync", "/rebuild", "/builds", "/versions", "/get"];
const BUILDING = POSTS.slice(0, 3);
/** Builds that one caller may start here in a minute. */
const RATE = 5;

describe("what coon's face refuses", { timeout: 180_000 }, () => {
  let world: ErlangWorld;
  let token: string;

  before(async () => {
    world = await openErlangWorld({
      vars: { RAILHEAD_OPEN_BUILDS: "false", RAILHEAD_RATE_PER_MINUTE: `${RATE}` },
    });
    token = await newToken();
  });
  after(() => world.close());

  async function newToken(scope = "build"): Promise<string> {
    const answer = await world.post(
      "/api/tokens",
      { scope },
      { authorization: `Bearer ${ADMIN_TOKEN}` },
    );
    return ((await answer.json()) as { token: string }).token;
  }

  function bearer(value: string) {
    return { authorization: `Bearer ${value}` };
  }

  test("building needs a token where the operator says so, and searching and downloading none", async () => {
    const full_name = world.newName();
    const order = { full_name, clone_url: cloneUrl(full_name), build_id: "0".repeat(32) };
    for (const path of BUILDING) {
      const none = await world.post(path, order);
      assert.equal(none.headers.get("www-authenticate"), 'Bearer realm="railhead"');
      assert.match(String(await refusal(none, 401)), /token with scope build/);
      assert.match(String(await refusal(world.post(path, order, bearer("rh_x")), 401)), /unknown/);
      const wrong = world.post(path, order, bearer(await newToken("deploy")));
      assert.match(String(await refusal(wrong, 403)), /scope deploy; build or admin/);
    }
    for (const path of ["/builds", "/versions"])
      assert.deepEqual(await world.good(world.post(path, order)), []);
    assert.equal(await literal(world.post("/get", order)), "No such build");
    assert.deepEqual(await world.search("name="), []);
    const answer = world.post("/buildAsync", { ...order, versions: { ref: "1" } }, bearer(token));
    const { build_ids } = await world.good<{ build_ids: string[] }>(answer);
    await (await world.taken(build_ids[0] as string)).attempt.finish(FAILED);
  });

  test("more builds than a minute allows are 429, and what was begun before is named", async () => {
    const hasty = await newToken();
    const full_name = world.newName();
    const versions = Array.from({ length: RATE + 1 }, (_, i) => ({ ref: `1.0.${i}` }));
    const order = { full_name, clone_url: cloneUrl(full_name), versions };
    const answer = await world.post("/buildAsync", order, bearer(hasty));
    assert.match(answer.headers.get("retry-after") ?? "", /^\d+$/);
    const said = String(await refusal(answer, 429));
    const begun = said.match(/[0-9a-f]{32}/g) ?? [];
    assert.equal(begun.length, RATE, said);
    for (const id of begun) await (await world.taken(id)).attempt.finish(FAILED);
  });

  test("the first GET packs a runtime system for anybody; once that failed, only for who may build", async () => {
    const first = world.edge.call("/download_erts/27");
    await (await world.agent.attempt()).finish(FAILED);
    assert.equal((await first).status, 400);
    assert.match(String(await refusal(world.edge.call("/download_erts/27"), 401)), /token/);
    const again = world.edge.call("/download_erts/27", { headers: bearer(token) });
    await (await world.agent.attempt()).finish(FAILED);
    assert.equal((await again).status, 400);
  });

  test("an Erlang that no agent has is a build that failed and says which there are", async () => {
    const full_name = world.newName();
    const versions = { ref: "1.0.0", erl_version: "99" };
    const order = { full_name, clone_url: cloneUrl(full_name), versions };
    const said = String(await refusal(world.post("/buildSync", order, bearer(await newToken()))));
    assert.match(said, /^build failed: .*99.*25.*27/);
    const [listed] = await world.builds({ full_name });
    assert.deepEqual([listed?.result, `build failed: ${listed?.message}`], [false, said]);
  });

  test("what is no request is 400 with a sentence", async () => {
    const whole = { full_name: "ada/x", clone_url: cloneUrl("ada/x"), build_id: "x" };
    const without = (member: keyof typeof whole) =>
      Object.fromEntries(Object.entries(whole).filter(([name]) => name !== member));
    const send = (path: string, body: string) =>
      world.edge.call(path, { method: "POST", body, headers: bearer(token) });
    for (const path of POSTS)
      for (const body of ["", "{", "null", "[]", "1", '"x"', "\u0000", "[".repeat(30_000)])
        assert.match(String(await refusal(send(path, body))), /^Validation failed: .{5}/s, path);
    const wrong: [path: string, body: object, said: RegExp][] = [
      ["/buildAsync", without("full_name"), /: "full_name" is missing\.$/],
      ["/buildAsync", without("clone_url"), /: "clone_url" is missing\.$/],
      ["/buildSync", { ...whole, clone_url: 1 }, /clone_url/],
      ["/buildAsync", { ...whole, notify_email: "yes" }, /notify_email/],
      ["/buildAsync", { ...whole, versions: "1.0.0" }, /versions/],
      ["/buildAsync", { ...whole, versions: [1] }, /versions\.0/],
      ["/buildAsync", { ...whole, versions: [{ ref: 1 }] }, /versions\.0\.ref/],
      ["/buildAsync", { ...whole, versions: [{ ref: "--all" }] }, /"--all" cannot be a tag/],
      ["/buildAsync", { ...whole, versions: { erl_version: "20.3" } }, /"20\.3" is no Erlang/],
      ["/buildAsync", { ...whole, versions: Array(33).fill({}) }, /versions/],
      ["/rebuild", without("build_id"), /build_id/],
      ["/rebuild", { build_id: 1 }, /build_id/],
      ["/builds", {}, /full_name/],
      ["/versions", { full_name: null }, /full_name/],
      ["/get", { full_name: [] }, /full_name/],
    ];
    for (const [path, body, said] of wrong)
      assert.match(String(await refusal(send(path, JSON.stringify(body)))), said, path);
    const success = world.post("/builds?success=maybe", { full_name: "ada/x" });
    assert.match(String(await refusal(success)), /success/);
    const large = await send("/get", "x".repeat(2 ** 20));
    assert.match(String(await refusal(large, 413)), /at most/);
  });

  test("methods and paths that it does not have are refused in its envelope", async () => {
    for (const path of POSTS)
      assert.match(String(await refusal(world.edge.call(path), 405)), /Use/);
    for (const path of ["/search", "/badge", "/download/x", "/last_builds"])
      assert.match(String(await refusal(world.post(path, {}), 405)), /Use GET/);
    for (const path of ["/download", "/download/", "/download/a/b", "/search/x"])
      assert.match(String(await refusal(world.edge.call(path), 404)), /openapi\.json/);
  });

  test("whatever is put into its members and parameters, it is no fault of ours", async () => {
    const document = parseOpenApi(await (await world.edge.call("/openapi.json")).json());
    const routes = [...POSTS, "/search", "/last_builds", "/build_log", "/badge"];
    const paths = Object.entries(document.paths).filter(
      ([path]) => routes.includes(path) || path.startsWith("/download"),
    );
    assert.equal(paths.length, routes.length + 2);
    let sent = 0;
    for (const request of hostileRequests({ ...document, paths: Object.fromEntries(paths) })) {
      const { method, path, headers, body } = request;
      const response = await world.edge.call(path, {
        method,
        headers: { ...headers, ...bearer(token) },
        ...(body === null ? {} : { body: new Uint8Array(Buffer.from(body)) }),
      });
      const what = `${method} ${path.slice(0, 100)} ${String(body ?? "").slice(0, 100)}`;
      const text = await response.text();
      sent++;
      if (response.status === 200 || method === "HEAD") continue;
      assert.ok(response.status >= 400 && response.status < 500, `${what}: ${response.status}`);
      const { result, response: said } = JSON.parse(text) as Answer;
      assert.deepEqual([result, typeof said], [false, "string"], what);
    }
    assert.ok(sent > 500, `${sent}`);
  });
});
