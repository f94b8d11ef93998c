/** The pages, as a browser without JavaScript gets them, on workerd. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { linksOf } from "../support/markup.ts";
import { until } from "../support/until.ts";
import { succeed } from "./erlang.ts";
import { type Fields, Reader } from "./reader.ts";
import { FAILED, openWorkshop, type Workshop } from "./workshop.ts";

const HOSTILE = `"><script>alert('1')</script><img src=x onerror=alert(1)>`;

describe("the pages", { timeout: 120_000 }, () => {
  let shop: Workshop;
  let reader: Reader;

  before(async () => {
    shop = await openWorkshop();
    reader = new Reader(shop.edge);
  });
  after(() => shop.close());

  const repository: Fields[number] = ["repository", "https://git.example/o/tool"];
  const go: Fields = [repository, ["recipe", "go"]];

  test("a browser gets pages where everybody else gets what they always got", async () => {
    const { id, attempt } = await shop.post();
    await attempt.finish(FAILED);
    await reader.page("/");
    await reader.page(`/builds/${id}`);
    for (const accept of [
      undefined,
      "*/*",
      "application/json",
      "application/json, text/html;q=0.9",
    ]) {
      const headers: Record<string, string> = accept === undefined ? {} : { accept };
      const record = await shop.edge.call(`/builds/${id}`, { headers });
      assert.match(record.headers.get("content-type") ?? "", /^application\/json/, accept);
      assert.match(record.headers.get("vary") ?? "", /\baccept\b/);
      const front = await shop.edge.call("/", { headers });
      assert.match(await front.text(), /^peroku \d+\.\d+\.\d+\n.*\bRailhead\b.*curl .*\n$/);
      const missing = await shop.edge.call("/nothing", { headers });
      assert.match(missing.headers.get("content-type") ?? "", /^application\/problem\+json/);
    }
    const log = await reader.get(`/builds/${id}/logs`);
    assert.match(log.headers.get("content-type") ?? "", /^text\/plain/);
  });

  test("every page is well-formed, and every link on every page answers", async () => {
    const made = await shop.post();
    await made.attempt.upload("tool_linux_amd64.tar.gz", Buffer.from("x"));
    await made.attempt.finish({ outcome: "succeeded" });
    const running = await shop.post();
    await until("the end to be listed", async () =>
      (await reader.page("/p/git.example/o/tool")).includes("tool_linux_amd64.tar.gz"),
    );
    const seen = new Set<string>();
    const wanted = ["/", "/?q=", "/add?repository=git.example/o/tool", `/builds/${running.id}`];
    for (let path = wanted.pop(); path !== undefined; path = wanted.pop()) {
      if (seen.has(path) || path.endsWith("/logs")) continue;
      seen.add(path);
      const response = await reader.get(path);
      assert.ok(response.status < 400, `${path}: ${response.status}`);
      if (!/^text\/html/.test(response.headers.get("content-type") ?? "")) continue;
      for (const link of linksOf(await reader.checked(response, 200)))
        if (!link.startsWith("#")) wanted.push(link.replace(shop.edge.url, ""));
    }
    assert.ok(seen.size >= 10, `${[...seen]}`);
    await running.attempt.finish(FAILED);
  });

  test("the file that a program's page names is the one for the platform that most have; lists show what they are sorted by", async () => {
    const ids: string[] = [];
    for (const platform of ["linux/amd64", "darwin/arm64"]) {
      const { id, attempt } = await shop.post(`/git.example/o/tool/${platform}/v1.27.0`);
      await attempt.upload(`tool_${platform.replace("/", "_")}.tar.gz`, Buffer.from(platform));
      await attempt.finish({ outcome: "succeeded" });
      ids.push(id);
    }
    const html = await until("both to be listed", async () => {
      const shown = await reader.page("/p/git.example/o/tool");
      const isWhole = ids.every((id) => shown.includes(`/builds/${id}`));
      return isWhole && (shown.match(/v1\.27\.0\/tool_/g) ?? []).length > 2 ? shown : null;
    });
    assert.match(html, /curl -fOJL [^\n]*linux\/amd64\/v1\.\d+\.0/);
    assert.doesNotMatch(html, /curl -fOJL [^\n]*darwin/);
    const front = await reader.page("/");
    for (const id of ids) assert.ok(front.includes((await shop.record(id)).queued_at), front);
  });

  test("whatever strangers write is shown as text", async () => {
    const { id, attempt } = await shop.post();
    await attempt.say([HOSTILE], "stdout");
    await attempt.say([HOSTILE], "stderr");
    await attempt.phase("fetch");
    await attempt.finish({ ...FAILED, reason: HOSTILE });
    const q = encodeURIComponent(HOSTILE);
    for (const [path, status] of [
      [`/builds/${id}`, 200],
      [`/?q=${q}&recipe=${q}`, 200],
      [`/?q=x&cursor=${q}`, 400],
      [`/add?repository=${q}&recipe=${q}`, 400],
      [`/add?repository=${encodeURIComponent(`https://git.example/o/${HOSTILE}`)}`, 400],
      [`/p/${q}/${q}`, 404],
      [`/p/%ff/%`, 404],
      [`/${q}`, 404],
      [`/git.example/o/tool/linux/amd64/${q}`, 400],
      [`/git.example/o/tool/linux/amd64/${encodeURIComponent("<b>x")}`, 404],
    ] as const) {
      const html = await reader.page(path, status);
      assert.ok(!html.includes("<script>") && !html.includes("<img src=x"), path);
    }
    const build = await reader.page(`/builds/${id}`);
    assert.equal(build.split("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;").length - 1, 4);
  });

  test("a build's page says all there is without a script: state, reason, files, the end of the log", async () => {
    const running = await shop.post();
    for (let at = 0; at < 3_000; at += 300)
      await running.attempt.say(
        Array.from({ length: 300 }, (_, i) => `line ${at + i + 1} of many`),
      );
    const live = await reader.page(`/builds/${running.id}`);
    assert.match(live, /Running/);
    assert.match(live, /line 3000 of many/);
    assert.doesNotMatch(live, /line 1 of many/);
    assert.match(live, /<p id="log-earlier" class="hint">Earlier lines/);
    assert.match(live, /Cancel the build/);
    const bytes = Buffer.alloc(5_000, "x");
    await running.attempt.upload("tool_linux_amd64.tar.gz", bytes);
    await running.attempt.finish({ outcome: "succeeded" });
    const record = await shop.record(running.id);
    const made = await reader.page(`/builds/${running.id}`);
    assert.match(made, /Succeeded/);
    assert.match(made, /4\.9 KiB/);
    assert.ok(made.includes(record.artifacts[0]?.sha256 ?? "?"));
    assert.ok(made.includes(`curl -fOJL &#39;${record.artifacts[0]?.url}`));
    const moved = await until("the log to be moved", async () => {
      const html = await reader.page(`/builds/${running.id}`);
      return html.includes("Complete.") ? html : null;
    });
    assert.match(moved, /line 3000 of many/);
    assert.match(moved, /Your build is successful\./);
    assert.doesNotMatch(moved, /line 1 of many/);

    const failed = await shop.post();
    await failed.attempt.finish({ ...FAILED, reason: "Repair it and build the next tag." });
    const told = await reader.page(`/builds/${failed.id}`);
    assert.match(told, /Failed.*Repair it and build the next tag\..*Build it again/s);
    assert.match(await reader.page(`/builds/${failed.id}?log=none`), /Failed/);
  });

  test("search finds by word and recipe", async () => {
    assert.match(await reader.page("/?q=tool"), /git\.example\/o\/tool/);
    assert.match(await reader.page("/?q=tool&recipe=go"), /git\.example\/o\/tool/);
    assert.match(await reader.page("/?q=tool&recipe=erlang"), /Nothing was found/);
    assert.match(await reader.page("/?q=nowhere"), /Nothing was found/);
  });

  test("a repository's tags are offered, and what is ticked is built", async () => {
    const form = await reader.page("/add?repository=git.example/o/tool&recipe=go");
    assert.match(form, /v1\.29\.0.*v1\.28\.0/s);
    assert.doesNotMatch(form, /v1\.9\.0/);
    assert.match(form, /The newest tags are listed/);
    const one = await reader.toBuild("/add", [...go, ["pick", "v1.29.0 linux/arm64"]]);
    const record = await shop.record(one);
    assert.equal(
      record.artifact.split("/o/")[1],
      "tool/linux/arm64/v1.29.0/tool_linux_arm64.tar.gz",
    );
    await (await shop.agent.attempt()).finish(FAILED);

    const several: Fields = [
      ["pick", "v1.28.0 linux/amd64"],
      ["pick", "v1.28.0 plan9/mips"],
      ["other", "v99"],
      ["other-variant", "linux/amd64"],
    ];
    const html = await reader.checked(await reader.send("/add", [...go, ...several]), 200);
    assert.equal(linksOf(html).filter((link) => link.startsWith("/builds/")).length, 1);
    assert.match(html, /no GOOS\/GOARCH pair/);
    assert.match(html, /has no tag or branch v99/);
    await (await shop.agent.attempt()).finish(FAILED);
  });

  test("an Erlang package is built for the versions that agents have, shown by its name, and built again", async () => {
    const form = await reader.page("/add?repository=git.example/o/tool&recipe=erlang");
    assert.match(form, /Its own choice.*Erlang 25.*Erlang 27/s);
    const erlang: Fields = [repository, ["recipe", "erlang"]];
    const id = await reader.toBuild("/add", [...erlang, ["pick", "v1.1.0 27"]]);
    const attempt = await shop.agent.attempt();
    assert.equal(attempt.build, id);
    assert.ok(attempt.target.recipe === "erlang" && attempt.target.asked.kind === "package");
    assert.equal(attempt.target.asked.notify, false);
    await succeed(attempt, Buffer.from("package"));
    const html = await until("the package to be listed", async () => {
      const response = await reader.get("/p/o/tool");
      return response.ok ? reader.checked(response, 200) : null;
    });
    assert.match(html, /Erlang 27.*v1\.1\.0.*Succeeded.*tool\.cp/s);
    assert.ok(html.includes(`](${shop.edge.url}/p/o/tool)`), "the badge in Markdown");
    assert.match(html, /&quot;tag&quot;: &quot;v1\.1\.0&quot;/);
    for (const link of linksOf(html))
      assert.ok((await reader.get(link.replace(shop.edge.url, ""))).status < 400, link);

    const again = await reader.toBuild(`/builds/${id}/rebuild`, []);
    assert.notEqual(again, id);
    await (await shop.agent.attempt()).finish(FAILED);
    const both = await reader.send("/add", [...erlang, ["pick", "v1.2.0 27"], ["pick", "v1.2.0 "]]);
    const links = linksOf(await reader.checked(both, 200)).filter((link) => /builds/.test(link));
    assert.equal(links.filter((link) => link.startsWith("/builds/")).length, 2);
    for (let i = 0; i < 2; i++) await (await shop.agent.attempt()).finish(FAILED);
  });

  test("forms cancel and rebuild; what cannot be done is a page that says so", async () => {
    const { id, attempt } = await shop.post();
    const cancelling = reader.toBuild(`/builds/${id}/cancel`, []);
    await attempt.cancelled();
    await attempt.finish({ outcome: "cancelled" });
    assert.equal(await cancelling, id);
    assert.match(await reader.page(`/builds/${id}`), /Cancelled.*Build it again/s);
    const over = await reader.checked(await reader.send(`/builds/${id}/cancel`, []), 409);
    assert.match(over, /nothing to cancel/);
    const again = await reader.toBuild(`/builds/${id}/rebuild`, []);
    assert.notEqual(again, id);
    const second = await shop.agent.attempt();
    const early = await reader.checked(await reader.send(`/builds/${again}/rebuild`, []), 409);
    assert.match(early, /cannot be repeated/);
    await second.finish(FAILED);
  });

  test("a form that is wrong is refused with a sentence", async () => {
    const many = Array.from(
      { length: 40 },
      (_, i) => ["pick", `v1.${i}.0 linux/amd64`] as [string, string],
    );
    for (const [fields, status, sentence] of [
      [go, 400, /Nothing was ticked/],
      [[...go, ...many], 400, /At most 32/],
      [[...go, ["other-variant", "linux/amd64"]], 400, /but not written/],
      [[...go, ["pick", "v99.0.0 linux/amd64"]], 404, /Nearest tags: v1\./],
      [[...go, ["pick", "nonsense"]], 400, /./],
      [
        [
          ["repository", "https://nowhere.example/o/tool"],
          ["pick", "v1 linux/amd64"],
        ],
        403,
        /Allowed/,
      ],
      [[["pick", "v1 linux/amd64"]], 400, /address of the repository/],
      [[...go, ["pick", `v1.0.0 ${"x".repeat(70_000)}`]], 413, /at most/],
      [[...go, ["pick", "v1.0.0 linux/amd64"], ["token", "rh_\u0000"]], 401, /no token/],
    ] as [Fields, number, RegExp][]) {
      const html = await reader.checked(await reader.send("/add", fields), status);
      assert.match(html, sentence);
      assert.doesNotMatch(html, /body is malformed/);
      const written = fields.find(([name]) => name === "repository")?.[1] ?? "";
      const kept = new URLSearchParams({ repository: written, recipe: "go" });
      // What cannot be read as a form, or holds no token, was not looked at further.
      if (status !== 413 && status !== 401) assert.ok(linksOf(html).includes(`/add?${kept}`), html);
    }
    const typed = new URLSearchParams({ repository: "git.example", recipe: "erlang" });
    const mistyped = await reader.page(`/add?${typed}`, 400);
    assert.match(mistyped, /<h1>The form cannot be sent like this.*The address of the repository/s);
    assert.ok(linksOf(mistyped).includes(`/add?${typed}`));
    const json = await reader.send("/add", [], { "content-type": "application/json" });
    await reader.checked(json, 415);
    for (const id of ["x", "0".repeat(32)])
      for (const verb of ["cancel", "rebuild"])
        await reader.checked(await reader.send(`/builds/${id}/${verb}`, []), 404);
  });

  test("a form of another site does nothing", async () => {
    const { id, attempt } = await shop.post();
    for (const headers of [
      { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
      { origin: "null", "sec-fetch-site": "cross-site" },
      { origin: "https://evil.example", "sec-fetch-site": "same-site" },
      { origin: "", "sec-fetch-site": "" },
    ])
      for (const path of [`/builds/${id}/cancel`, "/add"]) {
        const response = await reader.send(path, [...go, ["pick", "v1.0.0 linux/386"]], headers);
        assert.match(
          await reader.checked(response, 403),
          /<h1>This form came from .*another site/s,
        );
      }
    assert.equal((await shop.record(id)).state, "running");
    await attempt.finish(FAILED);
  });

  test("a long list is shown twenty at a time, each build once", async () => {
    const listed = async (): Promise<string[]> => {
      const answer = await shop.edge.call("/api/builds?limit=100");
      return ((await answer.json()) as { builds: { build_id: string }[] }).builds.map(
        ({ build_id }) => build_id,
      );
    };
    while ((await listed()).length <= 20) await (await shop.post()).attempt.finish(FAILED);
    const all = (await listed()).map((id) => `/builds/${id}`);
    const shown: string[] = [];
    for (let path: string | undefined = "/?q="; path !== undefined; ) {
      const links = linksOf(await reader.page(path));
      const builds = links.filter((link) => /^\/builds\//.test(link));
      assert.ok(builds.length <= 20);
      shown.push(...builds);
      path = links.find((link) => link.includes("cursor="));
    }
    assert.deepEqual(shown, all);
    const front = linksOf(await reader.page("/")).filter((link) => /^\/builds\//.test(link));
    assert.deepEqual(front, all.slice(0, 20));
  });

  test("files beside the pages are kept for ever under their hash, and checked under any other name", async () => {
    const links = linksOf(await reader.page("/add"));
    const assets = links.filter((link) => link.startsWith("/assets/"));
    assert.equal(assets.length, 3, `${assets}`);
    for (const path of assets) {
      const response = await reader.get(path);
      const etag = response.headers.get("etag") ?? "";
      assert.match(response.headers.get("cache-control") ?? "", /immutable/);
      const bare = path.replace(/\?.*/, "?v=old");
      const checked = await shop.edge.call(bare, { headers: { "if-none-match": etag } });
      assert.equal(checked.status, 304);
      assert.equal(checked.headers.get("cache-control"), "no-cache");
    }
    assert.match((await reader.get("/favicon.svg")).headers.get("content-type") ?? "", /svg/);
  });
});
