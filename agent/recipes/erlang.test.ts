import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { erlangTargetSchema } from "../../shared/recipes/erlang.ts";
import { archiveFiles, archiveMembers } from "../../test/support/archive.ts";
import { finish } from "../../test/support/docker.ts";
import {
  CPP_NATIVE,
  CPP_REBAR,
  depending,
  FAILING,
  MADE,
  NATIVE,
  OUTDATED,
  REBAR,
  scripted,
  tool,
  UMBRELLA,
} from "../../test/support/erlang-trees.ts";
import {
  type BuildRequest,
  changedImage,
  type Ended,
  type ErlangWorld,
  erlangWorld,
  REMOTE,
} from "../../test/support/erlang-world.ts";

describe("an Erlang build", { concurrency: false }, () => {
  let world: ErlangWorld;
  /** Of coon's own kind, for OTP 27. */
  let fast: Ended;

  before(async () => {
    world = await erlangWorld();
    const trees = {
      ...{ fast: NATIVE, made: MADE, rebarred: REBAR, umbrella: UMBRELLA, failing: FAILING },
      ...{ outdated: OUTDATED, cpp: CPP_NATIVE, cpp_rebar: CPP_REBAR },
      user: depending("user", REMOTE, { fast: "ada/fast", the_app: "ada/rebarred" }),
      unlucky: depending("unlucky", REMOTE, { failing: "ada/failing" }),
    };
    for (const [name, files] of Object.entries(trees))
      await world.repository(`ada/${name}`, [{ files, tag: "1.0.0" }]);
    fast = await world.build({ path: "ada/fast", erl: "27" });
  });
  after(() => world[Symbol.asyncDispose]());

  /** Builds, looks at what came of it, and cleans up. */
  async function built<R>(
    request: BuildRequest,
    look: (ended: Ended, files: Map<string, Buffer>) => Promise<R> | R,
  ): Promise<R> {
    const ended = await world.build(request);
    try {
      return await look(ended, await filesOf(ended));
    } finally {
      await world.clean(ended);
    }
  }

  async function bytesOf({ made: [made] }: Ended): Promise<Buffer> {
    return made === undefined ? Buffer.alloc(0) : readFile(made.file);
  }

  async function filesOf(ended: Ended): Promise<Map<string, Buffer>> {
    return ended.made.length === 0 ? new Map() : archiveFiles(await bytesOf(ended));
  }

  /** Unpacks the package as its clients do, and runs an expression with it on the code path. */
  async function evaluates(ended: Ended, expression: string): Promise<string> {
    const { app, erl_version = "" } = ended.learnt.package ?? {};
    const { docker, settings } = world;
    const owner = docker.owner();
    const command = ["erl", "-noshell", "-pa", `/${app}/ebin`, "-eval"];
    const handle = await docker.host.create(
      docker.spec(owner, "", {
        image: settings.images[erl_version] ?? "",
        command: [...command, `io:format("~p", [${expression}]), halt().`],
        mounts: [{ ...(await docker.workspace(owner, 2 ** 26)), target: `/${app}` }],
      }),
    );
    await handle.put(`/${app}`, gunzipSync(await bytesOf(ended)));
    const { stdout, stderr } = await finish(handle);
    await docker.host.clean(owner);
    return stdout + stderr;
  }

  test("of coon's own kind makes a package that runs: NIF, parse transform, variables, prebuilt sources", async () => {
    assert.equal(fast.failure, null);
    assert.equal(await evaluates(fast, "a_user:run()"), '{word,true,{a,"b"},replaced,made,3}');
  });

  test("writes the description of the application from coon's template", async () => {
    const app = String((await filesOf(fast)).get("ebin/fast.app"));
    assert.match(app, /"fast of ada\/fast"/);
    assert.match(app, /\{vsn,"1.0.0"\}/);
    assert.match(app, /\{modules,\[a_user,fast_nif,made,y_behaviour,z_transform\]\}/);
    assert.match(app, /\{nested,\{\{a,b\},\{c,d\}\}\},\s*\{greeting,"tagged"\}/);
  });

  test("holds what coon's clients look for, and nothing else", async () => {
    const { made, log } = fast;
    assert.equal(made.length, 1);
    assert.deepEqual([made[0]?.name, made[0]?.content_type], ["fast.cp", "application/gzip"]);
    assert.deepEqual(
      (await archiveMembers(await bytesOf(fast))).map(({ name }) => name),
      [
        ...["c_src/", "c_src/fast.c", "coon_locks.json", "coonfig.json"],
        ...["ebin/", "ebin/a_user.beam", "ebin/fast.app", "ebin/fast_nif.beam", "ebin/made.beam"],
        ...["ebin/y_behaviour.beam", "ebin/z_transform.beam", "include/", "include/fast.hrl"],
        ...["priv/", "priv/fast.so", "src/", "src/a_user.erl", "src/deep/z_transform.erl"],
        ...["src/fast.app.src", "src/fast_nif.erl", "src/gen/made.erl", "src/y_behaviour.erl"],
      ],
    );
    const failed = log.find(({ msg }) => msg === "prebuild step 2 ended with status 3");
    assert.equal(failed?.stream, "stderr");
  });

  test("writes coon's settings anew, sorted, with what was found out", async () => {
    const text = String((await filesOf(fast)).get("coonfig.json"));
    assert.match(text, /^\{\n {4}"app_vsn": "1\.0\.0",\n {4}"auto_build_order": true,\n/);
    assert.match(text, /"extra": \{\n {8}"a": \[\n {12}"\\u00fc"\n {8}\],\n {8}"z": 1\n {4}\}/);
    const { fullname, url, tag, name, with_source } = JSON.parse(text);
    assert.deepEqual(
      [fullname, url, tag, name, with_source],
      ["ada/fast", `https://${REMOTE}/ada/fast`, "1.0.0", "fast", true],
    );
  });

  test("gives the same bytes twice", async () => {
    const again = await built({ path: "ada/fast", erl: "27" }, ({ made }) => made[0]?.sha256);
    assert.match(again ?? "", /^[0-9a-f]{64}$/);
    assert.equal(again, fast.made[0]?.sha256);
  });

  test("is for the first version of the author's list that the agent has; the others follow", async () => {
    await built({ path: "ada/fast", notify: true }, async (ended) => {
      const { learnt, failure } = ended;
      assert.equal(failure, null);
      assert.deepEqual(
        { ...learnt.package, commit: "" },
        { version: "1.0.0", commit: "", erl_version: "25", app: "fast" },
      );
      assert.deepEqual(
        learnt.follow?.map(({ ref, erl, why }) => [ref, erl, why]),
        [
          ["1.0.0", "27", "version"],
          ["1.0.0", "18", "version"],
        ],
      );
      assert.equal(learnt.committer, "railhead@example.com");
      assert.match(await evaluates(ended, "a_user:run()"), /,made,3\}$/);
    });
  });

  test("compiles dependencies of either kind before what needs them, and has them built as packages", async () => {
    await built({ path: "ada/user" }, ({ failure, learnt }, files) => {
      assert.equal(failure, null);
      assert.match(String(files.get("ebin/user.app")), /\[kernel,stdlib,fast,the_app\]/);
      assert.ok([...files.keys()].every((name) => !name.includes("fast")));
      assert.deepEqual(
        learnt.follow?.map(({ namespace, name, ref, erl, why }) => [
          namespace,
          name,
          ref,
          erl,
          why,
        ]),
        [
          ["ada", "fast", "1.0.0", "27", "dependency"],
          ["ada", "rebarred", "1.0.0", "27", "dependency"],
        ],
      );
    });
  });

  test("says which dependency does not compile", async () => {
    await built({ path: "ada/unlucky" }, ({ failure }) => {
      assert.equal(failure?.class, "dependency_error");
      assert.match(
        failure?.message ?? "",
        /^The dependency failing does not compile: .*missing\/0/,
      );
    });
  });

  test("with erlang.mk is make's", async () => {
    await built({ path: "ada/made" }, async (ended, files) => {
      assert.equal(ended.failure, null);
      assert.equal(ended.made[0]?.name, "made.cp");
      assert.equal(ended.learnt.committer, undefined);
      assert.equal(ended.learnt.package?.erl_version, "27");
      assert.equal(await evaluates(ended, "made:a()"), "made");
      assert.equal(JSON.parse(String(files.get("coonfig.json"))).app_vsn, "0.1.0");
    });
  });

  test("with rebar.config is rebar3's, and is named like the application", async () => {
    await built({ path: "ada/rebarred" }, async (ended, files) => {
      assert.equal(ended.failure, null);
      assert.equal(ended.made[0]?.name, "the_app.cp");
      assert.equal(ended.learnt.package?.app, "the_app");
      assert.match(String(files.get("ebin/the_app.app")), /\{vsn,"1\.0\.0"\}/);
      assert.equal(await evaluates(ended, "the_app:a()"), "1");
    });
  });

  test("goes on with rebar.config where the repository's erlang.mk fails", async () => {
    await built({ path: "ada/outdated" }, ({ failure, made, log }, files) => {
      assert.equal(failure, null);
      assert.equal(made[0]?.name, "the_app.cp");
      assert.ok(!files.has("ebin/half.beam"));
      assert.ok(log.some(({ msg }) => /^make ended with status 2: going on/.test(msg)));
    });
  });

  test("makes a NIF of C++ and C, without a makefile and by the one that rebar3 calls", async () => {
    for (const path of ["ada/cpp", "ada/cpp_rebar"])
      await built({ path }, async (ended, files) => {
        assert.equal(ended.failure, null, path);
        assert.ok(files.has("c_src/nif.cpp") && files.has("priv/cpp.so"));
        assert.equal(await evaluates(ended, "cpp:word()"), "word");
      });
  });

  test("without the image's rebar3 is its rebar's, or the tool's that the repository brings along", async () => {
    const from = world.settings.images[27] ?? "";
    const remove = 'rm "$(command -v rebar3)"';
    await using none = await changedImage(from, remove);
    await using old = await changedImage(
      from,
      `${remove}\ncat >/usr/bin/rebar <<'REBAR'\n${tool("of the image")}REBAR\nchmod +x /usr/bin/rebar`,
    );
    await using other = await erlangWorld({ images: { 27: none.name, 26: old.name } });
    const cases = [
      ["27", { rebar3: tool("rebar3") }, "rebar3 bare compile --paths "],
      ["27", { rebar: tool("rebar") }, "rebar compile skip_deps=true"],
      ["26", { rebar: tool("rebar") }, "of the image compile skip_deps=true"],
      ["27", {}, null],
    ] as const;
    for (const [at, [erl, files, by]] of cases.entries()) {
      const path = `ada/brings${at}`;
      await other.repository(path, [{ files: { ...REBAR, ...files }, tag: "1.0.0" }]);
      const ended = await other.build({ path, erl });
      if (by === null) {
        assert.equal(ended.failure?.class, "no_build_system");
        assert.match(ended.failure?.message ?? "", /neither rebar3 nor rebar/);
      } else {
        assert.equal(ended.failure, null, by);
        const made = await filesOf(ended);
        assert.ok(made.has("ebin/the_app.beam") && made.has("ebin/the_app.app"));
        assert.ok(String(made.get("priv/made_by")).startsWith(by), by);
      }
    }
  });

  test("of several applications packs the one that is called like the package", async () => {
    await built({ path: "ada/umbrella" }, ({ failure, made }, files) => {
      assert.equal(failure, null);
      assert.equal(made[0]?.name, "umbrella.cp");
      assert.deepEqual(
        [...files.keys()],
        [
          ...["coonfig.json", "ebin/umbrella.app", "ebin/umbrella.beam", "priv/note.txt"],
          ...["src/umbrella.app.src", "src/umbrella.erl"],
        ],
      );
    });
  });

  test("that does not compile ends with the compiler's own line, and the other versions follow", async () => {
    await built({ path: "ada/failing" }, ({ failure, made, learnt, log }) => {
      assert.equal(failure?.class, "compile_error");
      assert.match(
        failure?.message ?? "",
        /^src\/failing\.erl:3:8: function missing\/0 undefined\.$/,
      );
      assert.deepEqual(made, []);
      assert.equal(learnt.package?.app, null);
      assert.deepEqual(
        learnt.follow?.map(({ erl }) => erl),
        ["27"],
      );
      assert.ok(log.some(({ msg, stream }) => /missing\/0/.test(msg) && stream === "stderr"));
    });
  });

  test("without a build system that we know says so in the words of old", async () => {
    await world.repository("ada/bare", [{ files: { "README.md": "nothing" }, tag: "1.0.0" }]);
    await built({ path: "ada/bare" }, ({ failure }) => {
      assert.equal(failure?.class, "no_build_system");
      assert.match(
        failure?.message ?? "",
        /^Unknown build system in project ada\/bare\. It has no /,
      );
    });
  });

  test("for versions of which the agent has none says which it has, and the rest follow", async () => {
    const files = { ...FAILING, "enot_config.json": '{"name": "failing", "erlang": ["18", "19"]}' };
    await world.repository("ada/old", [{ files, tag: "1.0.0" }]);
    await built({ path: "ada/old" }, ({ failure, learnt }) => {
      assert.equal(failure?.class, "agent_refused");
      assert.match(failure?.message ?? "", /Erlang\/OTP 18, 19, and this agent has 25, 27/);
      assert.equal(learnt.package?.erl_version, "18");
      assert.deepEqual(
        learnt.follow?.map(({ erl }) => erl),
        ["19"],
      );
    });
  });

  test("publishes links that lead within the repository as files, and nothing of the host, the image or the network", async () => {
    const evil = scripted(
      "evil",
      "mkdir priv && ln -s ../src/evil.erl priv/in && ln -s /etc/passwd priv/out && ln -s ../src priv/dir",
      "ln -s ../../../../.. priv/up && mkfifo priv/pipe && echo x >priv/su && chmod 6755 priv/su",
      `git ls-remote ${world.git.url}/ada/made.git >&2 || echo no network >priv/seen`,
      "touch /usr/lib/erlang/x || echo read-only >>priv/seen; id -u >>priv/seen",
    );
    await world.repository("eve/evil", [{ files: evil, tag: "1.0.0" }]);
    await built({ path: "eve/evil" }, ({ failure, log, made }, files) => {
      assert.equal(failure, null);
      assert.equal(made[0]?.name, "evil.ep");
      assert.deepEqual(
        [...files.keys()].filter((name) => name.startsWith("priv/")),
        ["priv/dir/evil.app.src", "priv/dir/evil.erl", "priv/in", "priv/seen", "priv/su"],
      );
      assert.deepEqual(files.get("priv/in"), files.get("src/evil.erl"));
      assert.equal(String(files.get("priv/seen")), "no network\nread-only\n1000\n");
      assert.ok(log.some(({ msg }) => /^Left out of the archive: .*priv\/out/.test(msg)));
    });
  });

  test("with a name that no application may have is told so", async () => {
    const { "src/named.app.src": described, ...rest } = scripted("named");
    await world.repository("eve/named", [
      { files: { ...rest, "src/..named.app.src": described ?? "" }, tag: "1.0.0" },
    ]);
    await built({ path: "eve/named" }, ({ failure }) => {
      assert.equal(failure?.class, "config_error");
      assert.match(failure?.message ?? "", /"\.\.named" cannot be an application's name/);
    });
  });

  test("of a runtime system gives that release's erts folder, the same each time", async () => {
    const once = async () => {
      const ended = await world.erts("25");
      try {
        const [made] = ended.made;
        assert.match(made?.name ?? "", /^erts-13\.[0-9.]+\.tar\.gz$/);
        const members = await archiveMembers(await readFile(made?.file ?? ""));
        const folder = made?.name.replace(".tar.gz", "");
        assert.ok(members.some(({ name }) => name === `${folder}/bin/beam.smp`));
        assert.ok(members.every(({ name }) => name.startsWith(`${folder}/`)));
        return made?.sha256;
      } finally {
        await world.clean(ended);
      }
    };
    assert.equal(await once(), await once());
  });

  test("is refused for a git host or an OTP release that the agent's operator does not allow", () => {
    const target = (remote: string, erl: string | null) =>
      erlangTargetSchema.parse({
        recipe: "erlang",
        asked: {
          ...{ kind: "package", remote, path: ["ada", "fast"], namespace: "ada", name: "fast" },
          ...{ ref: null, notify: false, depth: 0 },
        },
        erl,
        visibility: "public",
      });
    const { recipe } = world;
    assert.deepEqual(recipe.labels?.(), { erlang: "25,27" });
    assert.equal(recipe.refuses(target(REMOTE, "25")), null);
    assert.equal(recipe.refuses(target(REMOTE, null)), null);
    assert.match(recipe.refuses(target("other.example", "25")) ?? "", /allows git\.example/);
    assert.match(recipe.refuses(target(REMOTE, "18")) ?? "", /no Erlang\/OTP 18, but 25, 27/);
  });
});
