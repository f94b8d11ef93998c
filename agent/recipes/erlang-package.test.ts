import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { PackageAsked } from "../../shared/recipes/erlang.ts";
import { archiveFiles } from "../../test/support/archive.ts";
import type { FetchedPackage, PackageConfig, ResolvedRef } from "./erlang-contracts.ts";
import { pack } from "./erlang-package.ts";

const ASKED: PackageAsked = {
  kind: "package",
  remote: "git.example",
  path: ["group", "fork"],
  namespace: "ada",
  name: "tool",
  ref: null,
  notify: false,
  depth: 0,
};
const TAGGED: ResolvedRef = { version: "1.2", commit: "0".repeat(40), kind: "tag" };
const ENOT: PackageConfig = {
  ...{ file: "enot_config.json", members: {}, name: null, app_vsn: null, erlang: [] },
  ...{ with_source: true, prebuild: [], parse_transforms: [], deps: [] },
};

describe("a package", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "railhead-pack-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Packs what a build left: contents by name. */
  async function packed(
    left: Record<string, string>,
    {
      config = null,
      resolved = TAGGED,
      wants = [],
    }: {
      config?: PackageConfig | null;
      resolved?: ResolvedRef;
      wants?: FetchedPackage["wants"];
    } = {},
  ) {
    const files = await Promise.all(
      Object.entries(left).map(async ([name, content], at) => {
        const file = join(folder, String(at));
        await writeFile(file, content);
        return { name, file, size: Buffer.byteLength(content), executable: false, seen: null };
      }),
    );
    const fetched: FetchedPackage = {
      ...{ folder: "/x", time: 0, system: "native", dependencies: [] },
      ...{ config, wants },
    };
    const signal = new AbortController().signal;
    const options = { folder, fetched, asked: ASKED, resolved, signal };
    const { app, made } = await pack({ files, dropped: [] }, options);
    const members = await archiveFiles(await readFile(made.file));
    return {
      app,
      made,
      members,
      settings: JSON.parse(String(members.get("coonfig.json") ?? "{}")),
    };
  }

  test("leaves out what no package holds, and settings that the build wrote itself", async () => {
    const { members } = await packed({
      "ebin/tool.app": "",
      "test/a.erl": "",
      "coonfig.json": "forged",
      "coon_locks.json": "{}",
      "enot_locks.json": "{}",
      ebin2: "",
    });
    assert.deepEqual([...members.keys()], ["coon_locks.json", "coonfig.json", "ebin/tool.app"]);
  });

  test("has no sources when the author wants none in it", async () => {
    const config = { ...ENOT, with_source: false };
    const { members, made } = await packed({ "ebin/tool.app": "", "src/a.erl": "" }, { config });
    assert.deepEqual([...members.keys()], ["ebin/tool.app", "enot_config.json"]);
    assert.equal(made.name, "tool.ep");
  });

  test("without coon's settings has some: its dependencies, where it comes from, its version", async () => {
    const git = { kind: "git" as const, remote: "git.example", path: ["bob", "lib"] };
    const { settings } = await packed(
      { "ebin/tool.app": '{application, tool, [{vsn, "3.4"}]}.' },
      {
        wants: [
          { app: "tagged", ...git, ref: "2.0", as: "tag" },
          { app: "branched", ...git, ref: "main", as: "any" },
          { app: "plain", ...git, ref: null, as: "any" },
          {
            app: "hexed",
            kind: "hex",
            package: "h",
            version: "1.0.0",
            sha256: null,
            checksum: null,
          },
        ],
      },
    );
    assert.deepEqual(settings, {
      app_vsn: "3.4",
      auto_build_order: true,
      deps: [
        { name: "tagged", tag: "2.0", url: "https://git.example/bob/lib" },
        { branch: "main", name: "branched", url: "https://git.example/bob/lib" },
        { name: "plain", url: "https://git.example/bob/lib" },
        { name: "hexed", tag: "1.0.0" },
      ],
      disable_prebuild: false,
      erlang: [],
      fullname: "ada/tool",
      name: "tool",
      override: false,
      tag: "1.2",
      url: "https://git.example/group/fork",
      with_source: true,
    });
  });

  test("of a branch says so, and of a bare commit says neither tag nor branch", async () => {
    const of = async (kind: ResolvedRef["kind"]) => {
      const { settings } = await packed(
        { "ebin/tool.app": "" },
        { resolved: { ...TAGGED, version: "main", kind } },
      );
      return [settings.tag, settings.branch];
    };
    assert.deepEqual(await of("branch"), [undefined, "main"]);
    assert.deepEqual(await of("commit"), [undefined, undefined]);
  });

  test("is named like its application; of several, like the one that the package is called", async () => {
    assert.equal((await packed({ "ebin/other.app": "" })).made.name, "other.cp");
    assert.equal((await packed({ "ebin/a.app": "", "ebin/tool.app": "" })).app, "tool");
    const named = { ...ENOT, name: "a" };
    const both = { "ebin/a.app": "", "ebin/b.app": "" };
    assert.equal((await packed(both, { config: named })).app, "a");
    await assert.rejects(packed(both), { class: "config_error", message: /a, b/ });
  });

  test("is none without an application, or with a name that none may have", async () => {
    await assert.rejects(packed({ "src/a.erl": "" }), { class: "nothing_made" });
    for (const name of ["Tool", "..", "a b", "a@b", "-rf", "x".repeat(200)])
      await assert.rejects(packed({ [`ebin/${name}.app`]: "" }), { class: "config_error" });
  });
});
