import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { archiveMembers } from "../support/archive.ts";
import { type DockerWorld, dockerWorld } from "../support/docker.ts";
import { evaluate } from "../support/erlang-run.ts";
import { depending, FAILING, NATIVE } from "../support/erlang-trees.ts";
import { otpImages } from "../support/erlang-world.ts";
import { folderFiles } from "../support/fixtures.ts";
import { type HexRepository, hexRepository } from "../support/hex.ts";
import { REAL_PACKAGES, RealPrograms } from "../support/real-programs.ts";
import { openStack, type TestStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const REMOTE = "git.example";

/** Of rebar3: a header, and who needs it to be compiled. */
const LIBRARY = {
  "rebar.config": "{deps, []}.\n",
  "include/library.hrl": "-define(WORD, read).\n",
  "src/library.app.src": "{application, library, [{vsn, git}, {applications, [kernel]}]}.\n",
  "src/library.erl": "-module(library).\n",
};
const READER = {
  "rebar.config": `{deps, [{library, {git, "https://${REMOTE}/demo/library.git", {tag, "2.0.0"}}}]}.\n`,
  "src/reader.app.src": "{application, reader, [{vsn, git}, {applications, [library]}]}.\n",
  "src/reader.erl":
    '-module(reader).\n-include_lib("library/include/library.hrl").\n-export([word/0]).\nword() -> ?WORD.\n',
};

type Entry = {
  build_id: string;
  success: boolean;
  path: string;
  version: string;
  erl_version: string;
};

describe("Erlang packages, as coon's clients ask for them", { concurrency: false }, () => {
  let stack: TestStack;
  let docker: DockerWorld;
  let images: Record<string, string>;
  let hex: HexRepository;

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), "railhead-e2e-"));
    try {
      hex = await hexRepository();
      await using programs = new RealPrograms();
      const filesOf = async (name: keyof typeof REAL_PACKAGES) => {
        await programs.unpackOrig(REAL_PACKAGES[name], join(folder, name));
        return folderFiles(join(folder, name));
      };
      // What Debian itself builds this lager with.
      await hex.publish({ name: "goldrush", version: "0.1.9", files: await filesOf("goldrush") });
      stack = await openStack({
        repositories: {
          "demo/fast": [{ files: NATIVE, tag: "1.0.0", annotated: true }],
          "demo/user": [{ files: depending("user", REMOTE, { fast: "demo/fast" }), tag: "1.0.0" }],
          "demo/failing": [{ files: FAILING, tag: "1.0.0" }],
          "demo/library": [{ files: LIBRARY, tag: "2.0.0" }],
          "demo/reader": [{ files: READER, tag: "1.0.0" }],
          "real/jose": [{ files: await filesOf("jose"), tag: "1.11.10", annotated: true }],
          "real/lager": [{ files: await filesOf("lager"), tag: "3.9.2" }],
        },
        agentSettings: { RAILHEAD_AGENT_HEX: hex.url },
      });
    } finally {
      await rm(folder, { recursive: true });
    }
    docker = await dockerWorld();
    images = await otpImages();
  });
  after(async () => {
    await docker?.[Symbol.asyncDispose]();
    await stack?.close();
    await hex?.[Symbol.asyncDispose]();
  });

  /** coon's envelope, whatever is in it. */
  async function coon(path: string, body?: object) {
    const init = { body: JSON.stringify(body) };
    const response = await (body === undefined ? stack.fetch(path) : stack.post(path, init));
    const { result, response: answer } = (await response.json()) as {
      result: boolean;
      response: unknown;
    };
    assert.equal(response.status, result ? 200 : 400);
    return { result, answer };
  }

  function order(full_name: string, ...versions: object[]) {
    return { full_name, clone_url: `https://${REMOTE}/${full_name}.git`, versions };
  }

  async function built(full_name: string, ...versions: object[]): Promise<void> {
    const { result, answer } = await coon("/buildSync", order(full_name, ...versions));
    assert.ok(result, String(answer));
  }

  async function search(name: string): Promise<Entry[]> {
    return (await coon(`/search?name=${name}`)).answer as Entry[];
  }

  async function bytesOf(name: string, erl: string): Promise<Buffer> {
    const found = (await search(name)).find(({ erl_version }) => erl_version === erl);
    assert.ok(found?.success, `${name} for ${erl} is there`);
    return stack.bytes(found.path);
  }

  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

  test("the newest tag is built for each version of its settings that there is, and runs in each", async () => {
    const { full_name, clone_url } = order("demo/fast");
    const { result, answer } = await coon("/buildAsync", { full_name, clone_url });
    assert.ok(result, String(answer));
    assert.equal((answer as { build_ids: string[] }).build_ids.length, 1);
    const found = await until(
      "three versions of fast",
      async () => {
        const entries = await search("fast");
        return entries.length === 3 ? entries : null;
      },
      180_000,
    );
    assert.deepEqual(
      found.map(({ version, erl_version, success }) => [version, erl_version, success]).sort(),
      [
        ["1.0.0", "18", false],
        ["1.0.0", "25", true],
        ["1.0.0", "27", true],
      ],
    );
    for (const erl of ["25", "27"]) {
      const package_ = await bytesOf("fast", erl);
      const said = await evaluate(docker, images[erl] ?? "", { fast: package_ }, "a_user:run()");
      assert.equal(said, '{word,true,{a,"b"},replaced,made,3}');
    }
  });

  test("a version that no agent has is a failed build that says which there are", async () => {
    const missing = (await search("fast")).find(({ erl_version }) => erl_version === "18");
    const log = await (await stack.fetch(missing?.path ?? "")).text();
    assert.match(log, /No agent has erlang=18.*25.*27/);
    const { answer } = await coon(
      "/buildSync",
      order("demo/fast", { ref: "1.0.0", erl_version: "19" }),
    );
    assert.match(String(answer), /^build failed: No agent has erlang=19/);
  });

  test("a rebuild has the same bytes under another id, and a file name and length", async () => {
    const before = (await search("fast")).find(({ erl_version }) => erl_version === "27");
    assert.ok(before);
    const old = sha256(await stack.bytes(before.path));
    const { answer } = await coon("/rebuild", { build_id: before.build_id });
    const [id = ""] = (answer as { build_ids: string[] }).build_ids;
    assert.notEqual(id, before.build_id);
    assert.equal((await stack.ended(id)).record.state, "succeeded");
    const response = await stack.fetch(`/download/${id}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(response.headers.get("content-type"), "application/gzip");
    assert.equal(response.headers.get("content-disposition"), 'attachment; filename="fast.cp"');
    assert.equal(Number(response.headers.get("content-length")), bytes.length);
    assert.equal(sha256(bytes), old);
    assert.equal(sha256(await stack.bytes(before.path)), old);
  });

  test("a dependency is compiled first, and is a package of its own already", async () => {
    await built("demo/user", { ref: "1.0.0", erl_version: "27" });
    const packages = { user: await bytesOf("user", "27"), fast: await bytesOf("fast", "27") };
    assert.equal(
      await evaluate(docker, images["27"] ?? "", packages, "user:run()"),
      "{word,replaced}",
    );
    const fast = await coon("/builds", { full_name: "demo/fast", versions: { erl_version: "27" } });
    assert.equal((fast.answer as unknown[]).length, 2, "the first build and its rebuild");
  });

  test("rebar3 finds a dependency that git brought", async () => {
    await built("demo/reader", { ref: "1.0.0", erl_version: "25" });
    const packages = { reader: await bytesOf("reader", "25") };
    assert.equal(await evaluate(docker, images["25"] ?? "", packages, "reader:word()"), "read");
  });

  test("what does not compile says where, in the answer, the search and the log", async () => {
    const versions = [{ ref: "1.0.0", erl_version: "27" }];
    const { result, answer } = await coon("/buildSync", order("demo/failing", ...versions));
    assert.equal(result, false);
    assert.match(String(answer), /^build failed: .*failing\.erl:3.*missing\/0 undefined/s);
    const [entry] = await search("failing");
    assert.equal(entry?.success, false);
    assert.match(await (await stack.fetch(entry?.path ?? "")).text(), /missing\/0 undefined/);
  });

  test("jose, of erlang.mk and rebar3, is built for 25 and 27 and computes", async () => {
    await built(
      "real/jose",
      { ref: "1.11.10", erl_version: "25" },
      { ref: "1.11.10", erl_version: "27" },
    );
    const hash = `jose_jwa_sha3:sha3_256(<<"railhead">>) =:= crypto:hash(sha3_256, <<"railhead">>)`;
    const said = ["25", "27"].map(async (erl) =>
      evaluate(docker, images[erl] ?? "", { jose: await bytesOf("jose", erl) }, hash),
    );
    assert.deepEqual(await Promise.all(said), ["true", "true"]);
  });

  test("lager, with a dependency from Hex, is built without a network and runs", async () => {
    await built("real/lager", { ref: "3.9.2", erl_version: "27" });
    const packages = { lager: await bytesOf("lager", "27") };
    const expression = `{application:load(lager), lager_util:level_to_num(error)}`;
    assert.equal(await evaluate(docker, images["27"] ?? "", packages, expression), "{ok,8}");
  });

  test("a version's runtime system is packed at the first download, and kept", async () => {
    const [first, second] = [
      await stack.bytes("/download_erts/27"),
      await stack.bytes("/download_erts/27"),
    ];
    const names = (await archiveMembers(first)).map(({ name }) => name);
    assert.ok(
      names.some((name) => /^erts-[\d.]+\/bin\/beam\.smp$/.test(name)),
      String(names),
    );
    assert.equal(sha256(first), sha256(second));
    assert.equal(await (await stack.fetch("/download_erts/19")).text(), "No such erlang");
  });
});
