import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { RepositoryFile } from "../../cli/dev/repository.ts";
import { collect } from "../../test/support/docker.ts";
import { type Ended, fetchOf } from "../../test/support/erlang-fetch.ts";
import { type ErlangWorld, erlangWorld, REMOTE } from "../../test/support/erlang-world.ts";
import { type HexRepository, hexRepository } from "../../test/support/hex.ts";
import type { Owner } from "../docker/contracts.ts";
import { workspaceVolume } from "../docker/contracts.ts";
import { WORKSPACE } from "../workspace.ts";
import type { ResolvedRef } from "./erlang-contracts.ts";

/** An application of one module. */
function application(name: string, more: Record<string, RepositoryFile> = {}) {
  return {
    [`src/${name}.app.src`]: `{application, ${name}, [{vsn, "1"}, {applications, [kernel, stdlib]}]}.\n`,
    [`src/${name}.erl`]: `-module(${name}).\n-export([hello/0]).\nhello() -> ${name}.\n`,
    ...more,
  };
}

describe("the sources of an Erlang package", { concurrency: 2 }, () => {
  let hex: HexRepository;
  let world: ErlangWorld;
  const owners: Owner[] = [];

  before(async () => {
    hex = await hexRepository();
    world = await erlangWorld({ hex: hex.url });
    await world.repository("ada/leaf", [
      { files: application("leaf", { "rebar.config": "{deps, []}.\n" }), tag: "1.0.0" },
      { files: application("leaf", { "rebar.config": "{deps, []}.\n" }), tag: "1.1.0" },
    ]);
    await world.repository("ada/middle", [
      {
        files: application("middle", {
          "rebar.config": `{deps, [{leaf, ".*", {git, "git://${REMOTE}/ada/leaf.git", {tag, "1.1.0"}}}]}.\n`,
        }),
        tag: "2.0.0",
        annotated: true,
      },
    ]);
  });

  after(async () => {
    for (const owner of owners) await world.docker.host.clean(owner);
    await world[Symbol.asyncDispose]();
    await hex[Symbol.asyncDispose]();
  });

  /** Of the ref's meaning, or of this one. */
  function fetched(path: string, ref: string | null = null, known: ResolvedRef | null = null) {
    const owner = world.docker.owner();
    owners.push(owner);
    return fetchOf(world, owner, { path, ref, known });
  }

  /** A new package of these files. */
  async function packageOf(path: string, files: Record<string, RepositoryFile>): Promise<Ended> {
    const [commit = ""] = await world.repository(path, [{ files, tag: "1.0.0" }]);
    return fetched(path, "1.0.0", { version: "1.0.0", commit, kind: "tag" });
  }

  /** The same, of which the fetch must fail. */
  async function failed(path: string, files: Record<string, RepositoryFile>) {
    const { failure, log } = await packageOf(path, files);
    assert.ok(failure, `${path} failed`);
    return { class: failure.class, reason: failure.message, log: JSON.stringify(log) };
  }

  /** What a shell in the workspace prints. */
  async function inside({ owner, fetched }: Ended, script: string): Promise<string> {
    const handle = await world.docker.host.create(
      world.docker.spec(owner, script, {
        phase: `look-${Math.round(performance.now())}`,
        image: world.settings.images["27"] ?? "",
        working_dir: fetched?.folder ?? WORKSPACE,
        mounts: [{ volume: workspaceVolume(owner), target: WORKSPACE, read_only: true }],
      }),
    );
    await handle.start();
    const { stdout, stderr } = await collect(handle.output());
    assert.equal((await handle.wait()).code, 0, stderr.toString());
    return stdout.toString().trim();
  }

  test("no ref is the newest version among the tags, or the default branch where there is none", async () => {
    const newest = await fetched("ada/leaf");
    assert.equal(newest.resolved?.version, "1.1.0");
    assert.equal(newest.fetched?.system, "rebar3");
    const [commit] = await world.repository("ada/untagged", [{ files: application("untagged") }]);
    const { resolved } = await fetched("ada/untagged");
    assert.deepEqual(resolved, { version: "main", commit, kind: "branch" });
  });

  test("a ref is a tag, else a branch, else a whole commit", async () => {
    const commits = await world.repository("ada/refs", [
      { files: application("refs"), tag: "1.0.0", annotated: true },
      { files: application("refs", { more: "" }), branch: "feature/x" },
    ]);
    const of = async (ref: string) => (await fetched("ada/refs", ref)).resolved;
    assert.deepEqual(await of("1.0.0"), { version: "1.0.0", commit: commits[0], kind: "tag" });
    const branch = { version: "feature/x", commit: commits[1], kind: "branch" };
    assert.deepEqual(await of("feature/x"), branch);
    const whole = commits[0] as string;
    assert.deepEqual(await of(whole), { version: whole, commit: whole, kind: "commit" });
  });

  test("a ref that is not there is told with those that are", async () => {
    const { failure } = await fetched("ada/leaf", "1.2.0");
    assert.equal(failure?.class, "no_such_version");
    assert.match(failure?.message ?? "", /no tag or branch 1\.2\.0\. There are .*1\.1\.0/);
    const nowhere = await fetched("ada/nowhere");
    assert.equal(nowhere.failure?.class, "clone_error");
    assert.match(
      nowhere.failure?.message ?? "",
      /https:\/\/git\.example\/ada\/nowhere\.git.*not found\. Check/,
    );
    assert.equal(JSON.stringify(nowhere.log).includes(world.git.url), false);
  });

  test("a branch is taken as it is now, and the log warns that it may be another later", async () => {
    const deps: string[] = [];
    const warnings: string[] = [];
    for (const [app, ref] of Object.entries({ one: '{branch, "next"}', two: '"next"' })) {
      const commits = [{ files: application(app), branch: "next" }];
      const [tip] = await world.repository(`ada/${app}`, commits);
      deps.push(`{${app}, {git, "https://${REMOTE}/ada/${app}", ${ref}}}`);
      warnings.push(
        `${app} is the branch next as it is now, ${tip}: a later build may get another. Name a tag or a commit.`,
      );
    }
    const { failure, log } = await packageOf("ada/follows", {
      "rebar.config": `{deps, [${deps}]}.\n`,
    });
    assert.equal(failure, null);
    assert.deepEqual(
      log.flatMap(({ level, msg }) => (level === "warning" ? [msg] : [])),
      warnings,
    );
  });

  test("git dependencies of rebar.config are there, with theirs, each after what it needs", async () => {
    const ended = await packageOf(
      "ada/top",
      application("top", {
        "rebar.config": `{erl_opts, [debug_info]}.\n{deps, [
            {middle, {git, "https://${REMOTE}/ada/middle", {tag, "2.0.0"}}},
            {leaf, {git, "git@${REMOTE}:ada/leaf.git", {tag, "1.0.0"}}}]}.\n`,
        "rebar.config.script": 'file:write_file("/build/ran", ""), CONFIG.\n',
        deps: { link: "/build/home" },
      }),
    );
    assert.equal(ended.failure, null);
    assert.deepEqual(
      ended.fetched?.dependencies.map(({ app, system }) => [app, system]),
      [
        ["leaf", "rebar3"],
        ["middle", "rebar3"],
      ],
    );
    const said = ended.log.filter(({ level }) => level === "warning").map(({ msg }) => msg);
    assert.match(said.join(), /middle wants leaf 1\.1\.0, but 1\.0\.0 is taken/);
    assert.equal(
      await inside(
        ended,
        "git -C deps/leaf describe --tags; ls /build/ran 2>&1 | tail -c 26; ls /build/home",
      ),
      "1.0.0\nNo such file or directory",
    );
  });

  test("a native package says what it depends on, and what is built besides it", async () => {
    await hex.publish({ name: "packed", version: "1.0.0", files: application("packed") });
    const { fetched: got, failure } = await packageOf(
      "ada/native",
      application("native", {
        "coonfig.json": JSON.stringify({
          name: "native",
          app_vsn: "3.0",
          erlang: ["27", 25],
          with_source: false,
          prebuild: [{ shell: "echo hello" }],
          deps: [
            { name: "middle", url: `https://${REMOTE}/ada/middle.git`, tag: "2.0.0" },
            { name: "ada/leaf", url: `https://${REMOTE}/ada/leaf`, branch: "main" },
            { name: "packed", tag: "v1.0.0" },
          ],
          unknown: { kept: true },
        }),
      }),
    );
    assert.equal(failure, null);
    assert.equal(got?.system, "native");
    assert.deepEqual(got?.config?.erlang, ["27", "25"]);
    assert.deepEqual(got?.config?.members.unknown, { kept: true });
    assert.deepEqual(
      got?.dependencies.map(({ app }) => app),
      ["leaf", "middle", "packed"],
    );
    assert.deepEqual(got?.config?.deps, [
      { remote: REMOTE, path: ["ada", "middle"], namespace: "ada", name: "middle", ref: "2.0.0" },
    ]);
  });

  test("Hex packages are taken as the lock says, and refused when they are anything else", async () => {
    const inner = await hex.publish({
      name: "inner",
      version: "0.3.0",
      files: application("inner"),
    });
    const outer = await hex.publish({
      ...{ name: "outer", version: "1.2.3", files: application("outer") },
      requirements:
        '[{<<"inner">>,[{<<"app">>,<<"inner">>},{<<"optional">>,false},{<<"requirement">>,<<"~> 0.3">>}]}]',
    });
    const lock = (sum: string) => `{"1.2.0",
[{<<"inner">>,{pkg,<<"inner">>,<<"0.3.0">>},1},
 {<<"leaf">>,{git,"https://${REMOTE}/ada/leaf.git",{ref,"${"0".repeat(40)}"}},0},
 {<<"outer">>,{pkg,<<"outer">>,<<"1.2.3">>},0}]}.
[{pkg_hash,[{<<"inner">>, <<"${inner.inner.toUpperCase()}">>},{<<"outer">>, <<"${outer.inner}">>}]},
{pkg_hash_ext,[{<<"inner">>, <<"${inner.outer.toUpperCase()}">>},{<<"outer">>, <<"${sum}">>}]}].\n`;
    const [, tip = ""] = await world.repository("ada/leaf2", [
      { files: application("leaf") },
      { files: application("leaf", { "rebar.config": "" }) },
    ]);
    const files = (sum: string) =>
      application("locked", {
        "rebar.config": `{deps, [{outer, "~> 1.0"}, {leaf, {git, "https://${REMOTE}/ada/leaf2"}}]}.\n`,
        "rebar.lock": lock(sum)
          .replace("ada/leaf.git", "ada/leaf2.git")
          .replace("0".repeat(40), tip),
      });
    const ended = await packageOf("ada/locked", files(outer.outer));
    assert.equal(ended.failure, null);
    assert.deepEqual(
      ended.fetched?.dependencies.map(({ app, system }) => [app, system]),
      [
        ["inner", "rebar3"],
        ["leaf", "rebar3"],
        ["outer", "rebar3"],
      ],
    );
    assert.equal(await inside(ended, "cat deps/inner/src/inner.erl | head -1"), "-module(inner).");
    const tampered = await failed("ada/tampered", files("0".repeat(64)));
    assert.equal(
      tampered?.reason,
      "The dependency outer 1.2.3 is not what its checksum says: what was fetched is not used.",
    );
  });

  test("dependencies of erlang.mk are read from plain assignments", async () => {
    const { fetched: got, failure } = await packageOf(
      "ada/made",
      application("made", {
        "erlang.mk": "app:\n",
        Makefile: `PROJECT = made\nV = 1.1.0\nDEPS = leaf \\\n  middle # both\ndep_leaf = git https://${REMOTE}/ada/leaf $(V)\ndep_middle = git https://${REMOTE}/ada/middle 2.0.0\nTEST_DEPS = $(shell touch /build/ran)\ninclude erlang.mk\n`,
      }),
    );
    assert.equal(failure, null);
    assert.equal(got?.system, "erlang.mk");
    assert.deepEqual(
      got?.dependencies.map(({ app }) => app),
      ["leaf", "middle"],
    );
  });

  test("what cannot be fetched is a sentence about the dependency", async () => {
    const cases: [string, string, RegExp][] = [
      ["tag", git("ada/leaf", "9.9.9"), /^The dependency dep 9\.9\.9 is not in its repository: /],
      [
        "gone",
        git("ada/gone", "1"),
        /^The dependency dep 1 could not be .*git\.example\/ada\/gone/,
      ],
      [
        "hex",
        '{dep, "1.0.0"}',
        /^The dependency dep 1\.0\.0 could not be fetched: .*404\. Hex, the package repository, has no such/,
      ],
    ];
    for (const [name, dep, reason] of cases) {
      const failure = await failed(`ada/bad-${name}`, { "rebar.config": `{deps, [${dep}]}.\n` });
      assert.equal(failure.class, "dependency_error", name);
      assert.match(failure.reason, reason);
      for (const { url } of [world.git, hex]) assert.equal(failure.log.includes(url), false);
    }
    function git(path: string, tag: string): string {
      return `{dep, {git, "https://${REMOTE}/${path}", {tag, "${tag}"}}}`;
    }
  });

  test("a dependency's submodule reaches no other service of the host", async () => {
    await world.repository("ada/spy", [
      {
        files: {
          ".gitmodules": `[submodule "lib"]\n\tpath = lib\n\turl = ${hex.url}/tarballs\n`,
          lib: { submodule: "a".repeat(40) },
        },
        tag: "1.0.0",
      },
    ]);
    const deps = `{deps, [{spy, {git, "https://${REMOTE}/ada/spy", {tag, "1.0.0"}}}]}.\n`;
    const { failure, log } = await packageOf("ada/spied", { "rebar.config": deps });
    assert.match(failure?.message ?? "", /^The dependency spy 1\.0\.0 could not be fetched: /);
    // Where nothing listens: the proxy that such addresses are sent to.
    assert.match(log.map(({ msg }) => msg).join("\n"), /127\.0\.0\.1 port 1\b/);
  });

  test("a config that cannot be read is told with its place, and a link is none", async () => {
    const cases: [string, Record<string, RepositoryFile>, RegExp][] = [
      ["large", { "coonfig.json": " ".repeat(70_000) }, /^coonfig\.json is too large/],
      ["terms", { "rebar.config": "{deps, [}.\n" }, /^rebar\.config:1: syntax error/],
    ];
    for (const [name, files, reason] of cases) {
      const failure = await failed(`ada/config-${name}`, files);
      assert.equal(failure.class, "config_error", name);
      assert.match(failure.reason, reason);
    }
    const link = await packageOf("ada/config-link", { "coonfig.json": { link: "/etc/passwd" } });
    assert.equal(link.fetched?.system, null);
  });
});
