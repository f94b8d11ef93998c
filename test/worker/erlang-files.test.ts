import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { problemOf } from "./edge.ts";
import {
  askedOf,
  cloneUrl,
  type ErlangWorld,
  literal,
  openErlangWorld,
  refusal,
  succeed,
} from "./erlang.ts";
import { FAILED } from "./workshop.ts";

const UNKNOWN = "0".repeat(32);
const BYTES = Buffer.from("what a package is made of");

describe("what coon's clients download", { timeout: 180_000 }, () => {
  let world: ErlangWorld;

  before(async () => {
    world = await openErlangWorld();
  });
  after(() => world.close());

  async function text(path: string, init?: RequestInit): Promise<string> {
    return (await world.edge.call(path, init)).text();
  }

  describe("GET /download/{id}", () => {
    test("gives the package under its application's name, whole or in part, for ever", async () => {
      const { id, attempt } = await world.ordered("ada/my-app");
      await succeed(attempt, BYTES);
      await world.listed(id);
      const whole = await world.edge.call(`/download/${id}`);
      assert.equal(whole.status, 200);
      const { headers } = whole;
      assert.equal(headers.get("content-type"), "application/gzip");
      assert.equal(headers.get("content-disposition"), 'attachment; filename="my_app.cp"');
      assert.equal(headers.get("content-length"), `${BYTES.length}`);
      assert.match(headers.get("cache-control") ?? "", /^public, .*immutable/);
      assert.deepEqual(Buffer.from(await whole.arrayBuffer()), BYTES);

      const etag = headers.get("etag") ?? "";
      const part = await world.edge.call(`/download/${id}/`, { headers: { range: "bytes=5-8" } });
      assert.equal(part.status, 206);
      assert.equal(await part.text(), BYTES.toString().slice(5, 9));
      const known = { headers: { "if-none-match": etag } };
      assert.equal((await world.edge.call(`/download/${id}`, known)).status, 304);
      const head = await world.edge.call(`/download/${id}`, { method: "HEAD" });
      assert.equal(head.headers.get("content-length"), `${BYTES.length}`);
      assert.equal(await head.text(), "");
      const beyond = { headers: { range: "bytes=1000-" } };
      assert.equal((await world.edge.call(`/download/${id}`, beyond)).status, 416);

      const dashed = id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
      assert.equal(await text(`/download/${dashed}`), BYTES.toString());
    });

    test("of a project with enot's settings the file ends in .ep", async () => {
      const name = world.newName();
      const { id, attempt } = await world.ordered(name);
      await succeed(attempt, BYTES, { suffix: "ep", facts: { app: "enot_app" } });
      await world.listed(id);
      for (const answer of [
        await world.edge.call(`/download/${id}`),
        await world.post("/get", { full_name: name }),
      ])
        assert.equal(
          answer.headers.get("content-disposition"),
          'attachment; filename="enot_app.ep"',
        );
    });

    test("answers 200 and coon's words where there is nothing", async () => {
      const { id, attempt } = await world.ordered(world.newName());
      const none = async (build: string) =>
        assert.equal(await literal(world.edge.call(`/download/${build}`)), "No build for id");
      await none(id);
      await attempt.finish(FAILED);
      await world.listed(id);
      for (const build of [id, UNKNOWN, "1", "%2e%2e%2fx", "a%00b"]) await none(build);
    });

    test("the record's own link to the file leads to the same bytes", async () => {
      const { id, attempt } = await world.ordered(world.newName());
      const missing = async (path: string) =>
        (await problemOf(await world.edge.call(`/builds/${id}/files/${path}`))).code;
      assert.equal(await missing("x.cp"), "building");
      await succeed(attempt, BYTES);
      await world.listed(id);
      const record = JSON.parse(await text(`/builds/${id}`));
      assert.equal(record.artifact, `${world.edge.url}/download/${id}`);
      const [file] = record.artifacts;
      assert.equal(await text(new URL(file.url).pathname), BYTES.toString());
      assert.equal(await missing("other"), "no_such_file");
    });
  });

  test("a name that was asked for with a mistyped URL is free again once that failed", async () => {
    const full_name = world.newName();
    const typo = {
      full_name,
      clone_url: "https://git.example/ada/mistyped",
      versions: { ref: "1" },
    };
    const { build_ids } = await world.good<{ build_ids: string[] }>(
      world.post("/buildAsync", typo),
    );
    assert.match(
      String(await refusal(world.post("/buildAsync", { ...typo, clone_url: cloneUrl(full_name) }))),
      /tries to overwrite/,
    );
    await (await world.taken(build_ids[0] as string)).attempt.finish(FAILED);
    await world.listed(build_ids[0] as string);
    await world.built(full_name);
    assert.match(String(await refusal(world.post("/buildAsync", typo))), /tries to overwrite/);
    const elsewhere = { ...typo, clone_url: "https://evil.example/ada/mistyped" };
    assert.match(String(await refusal(world.post("/buildAsync", elsewhere))), /Allowed: /);
  });

  describe("POST /rebuild", () => {
    test("a version of Erlang may be a number, and a build that found out nothing is repeated as it was asked", async () => {
      const full_name = world.newName();
      const order = { full_name, clone_url: cloneUrl(full_name), versions: { erl_version: 27 } };
      const { build_ids } = await world.good<{ build_ids: string[] }>(
        world.post("/buildAsync", order),
      );
      const { id, attempt } = await world.taken(build_ids[0] as string);
      assert.equal(askedOf(attempt).erl, "27");
      await attempt.finish(FAILED);
      const again = await world.good<{ build_ids: string[]; versions: object[] }>(
        world.post("/rebuild", { build_id: id }),
      );
      assert.deepEqual(again.versions, [{ erl_version: "27" }]);
      await (await world.taken(again.build_ids[0] as string)).attempt.finish(FAILED);
    });

    test("makes the same version again under a new id, and the old id keeps its bytes", async () => {
      const full_name = world.newName();
      const { id: old, attempt } = await world.ordered(full_name, null, null);
      await succeed(attempt, Buffer.from("old"), {
        facts: { version: "1.2.3", erl_version: "25" },
      });
      const dashed = old.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
      const response = await world.good<{ build_ids: string[] }>(
        world.post("/rebuild", { build_id: dashed }),
      );
      const [id = ""] = response.build_ids;
      assert.deepEqual(response, {
        full_name,
        clone_url: `https://git.example/${full_name}`,
        versions: [{ ref: "1.2.3", erl_version: "25" }],
        build_ids: [id],
      });
      const again = await world.taken(id);
      assert.equal(askedOf(again.attempt).ref, "1.2.3");
      await succeed(again.attempt, Buffer.from("new"));
      await world.listed(id);
      assert.equal(await text(`/download/${old}`), "old");
      assert.equal(await text(`/download/${id}`), "new");
      assert.equal(await (await world.post("/get", { full_name })).text(), "new");
      const [name] = full_name.split("/").slice(1);
      assert.deepEqual(
        (await world.search(`name=${name}`)).map(({ build_id }) => build_id),
        [id],
      );
    });

    test("of what is no package there is nothing to build again", async () => {
      for (const build_id of [UNKNOWN, "x", ""])
        assert.equal(
          await refusal(world.post("/rebuild", { build_id })),
          "Validation failed: No such build!",
        );
    });
  });

  describe("POST /get", () => {
    test("gives the newest package of the first version that there is", async () => {
      const full_name = world.newName();
      await world.built(full_name, "1.0.0", "25", Buffer.from("old"));
      await world.built(full_name, "1.0.0", "25", Buffer.from("1 for 25"));
      await world.built(full_name, "1.0.0", "27", Buffer.from("1 for 27"));
      const broken = await world.ordered(full_name, "2.0.0", "27");
      await broken.attempt.finish(FAILED);
      await world.listed(broken.id);
      const get = async (versions?: unknown) =>
        (await world.post("/get", { full_name, versions })).text();
      assert.equal(await get([{ ref: "1.0.0", erl_version: "25" }]), "1 for 25");
      assert.equal(await get([{ ref: "2.0.0" }, { ref: "1.0.0", erl_version: "25" }]), "1 for 25");
      assert.equal(await get({ ref: "1.0.0" }), "1 for 27");
      assert.equal(await get({ ref: "", erl_version: "" }), "1 for 27");
      assert.equal(await get(), "1 for 27");
      const answer = await world.post("/get/", { full_name });
      assert.equal(answer.headers.get("content-type"), "application/gzip");
      assert.equal(answer.headers.get("cache-control"), "no-store");
    });

    test("answers 200 and coon's words where there is none", async () => {
      const full_name = world.newName();
      await world.built(full_name);
      for (const versions of [{ ref: "9" }, [{ erl_version: "99" }], [{ ref: "1.0.0'--" }]])
        assert.equal(await literal(world.post("/get", { full_name, versions })), "No such build");
      const unknown = { full_name: "eve/nothing" };
      assert.equal(await literal(world.post("/get", unknown)), "No such build");
    });
  });

  describe("GET /build_log", () => {
    test("is the log as text, of what came out well too", async () => {
      for (const outcome of ["succeeded", "failed"] as const) {
        const { id, attempt } = await world.ordered(world.newName());
        await attempt.say(["compiled one", "compiled two"]);
        const log = () => literal(world.edge.call(`/build_log?build_id=${id}`));
        assert.match(await log(), /^compiled one\ncompiled two\n/m);
        if (outcome === "failed") await attempt.finish(FAILED);
        else await succeed(attempt, BYTES);
        await world.listed(id);
        assert.match(await log(), /^compiled one\ncompiled two\n==> Your build/m);
      }
    });

    test("of an unknown build it is coon's words, and without an id a refusal", async () => {
      for (const id of [UNKNOWN, "", "x"])
        assert.equal(
          await literal(world.edge.call(`/build_log/?build_id=${id}`)),
          "No build for id",
        );
      assert.equal((await world.edge.call("/build_log")).status, 400);
    });
  });

  describe("GET /download_erts/{otp}", () => {
    test("a version that no agent has is unknown, in coon's words", async () => {
      for (const otp of ["26", "999", "x", "27%2f..", "27%00", "__proto__", "2".repeat(3_000)])
        assert.equal(await literal(world.edge.call(`/download_erts/${otp}`)), "No such erlang");
    });

    test("is packed once, for all who wait for it, and kept", async () => {
      const head = await world.edge.call("/download_erts/27", { method: "HEAD" });
      assert.match(head.headers.get("content-type") ?? "", /^text\/plain/);
      const crowd = Array.from({ length: 20 }, () => text("/download_erts/27"));
      const attempt = await world.agent.attempt();
      assert.deepEqual(attempt.target, {
        recipe: "erlang",
        asked: { kind: "erts" },
        erl: "27",
        visibility: "public",
      });
      await attempt.upload("27.tar.gz", BYTES);
      await attempt.finish({ outcome: "succeeded" });
      for (const one of await Promise.all(crowd)) assert.equal(one, BYTES.toString());
      const kept = await world.edge.call("/download_erts/27/");
      assert.equal(kept.headers.get("content-type"), "application/gzip");
      assert.equal(await kept.text(), BYTES.toString());
      const part = { headers: { range: "bytes=0-3" } };
      assert.equal((await world.edge.call("/download_erts/27", part)).status, 206);
    });

    test("says why it could not be packed, and tries again for the next one", async () => {
      const answer = world.edge.call("/download_erts/25");
      await (await world.agent.attempt()).finish(FAILED);
      const response = await answer;
      assert.equal(response.status, 400);
      assert.deepEqual(await response.json(), { result: false, response: "build failed: no." });
      const next = text("/download_erts/25");
      const attempt = await world.agent.attempt();
      await attempt.upload("25.tar.gz", BYTES);
      await attempt.finish({ outcome: "succeeded" });
      assert.equal(await next, BYTES.toString());
    });
  });

  describe("GET /badge", () => {
    const badge = async (full_name: string) => {
      const response = await world.edge.call(`/badge?full_name=${encodeURIComponent(full_name)}`);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "image/svg+xml; charset=utf-8");
      assert.equal(response.headers.get("cache-control"), "public, max-age=60");
      const svg = await response.text();
      return { svg, label: /aria-label="([^"]*)"/.exec(svg)?.[1] };
    };

    test("names the newest version that came out well, and is grey before there is one", async () => {
      const full_name = world.newName();
      assert.equal((await badge(full_name)).label, "railhead: no builds");
      await world.built(full_name, "1.0.0");
      await world.built(full_name, "1.1.0");
      const broken = await world.ordered(full_name, "2.0.0");
      await broken.attempt.finish(FAILED);
      await world.listed(broken.id);
      const { svg, label } = await badge(full_name);
      assert.equal(label, "railhead: 1.1.0");
      assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    });

    test("a version cannot put anything into it", async () => {
      const full_name = world.newName();
      const version = "1<2>3";
      await world.built(full_name, version);
      const { svg, label } = await badge(full_name);
      assert.equal(label, "railhead: 1&lt;2&gt;3");
      assert.ok(!svg.includes(version));
    });

    test("without a name that could be one it is a refusal", async () => {
      for (const query of ["", "?full_name=", "?full_name=x"])
        assert.equal((await world.edge.call(`/badge${query}`)).status, 400);
    });
  });

  test("a file that the bucket has lost is missing, not an error", async () => {
    const full_name = world.newName();
    const id = await world.built(full_name);
    const { objects } = await world.edge.bucket.list({ prefix: `builds/${id}/` });
    assert.equal(objects.length, 1);
    for (const { key } of objects) await world.edge.bucket.delete(key);
    assert.equal(await literal(world.edge.call(`/download/${id}`)), "No build for id");
    assert.equal(await literal(world.post("/get", { full_name })), "No such build");
  });
});
