import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RecipeFailure } from "./contracts.ts";
import { Dependencies } from "./erlang-deps.ts";
import { mailAddress, readProject } from "./erlang-project.ts";
import type { Want } from "./erlang-wants.ts";

const REMOTES = { "git.example": "http://127.0.0.1:4000" };

function native(config: string, more: Record<string, string> = {}) {
  return {
    "package.system": "native",
    "package.file": "coonfig.json",
    "package.config": Buffer.from(config).toString("base64"),
    ...more,
  };
}

function make(makefile: string) {
  return {
    "package.system": "erlang.mk",
    "package.makefile": Buffer.from(makefile).toString("base64"),
  };
}

const atom = (name: string) => ({ atom: name });
const tuple = (...tuple: unknown[]) => ({ tuple });

function rebar(...deps: unknown[]) {
  return { "package.system": "rebar3", "package.deps": JSON.stringify(deps) };
}

const project = (facts: Record<string, string>) =>
  readProject(facts, "package", "the package", REMOTES);

/** What stands in the way of fetching them. */
function refused(facts: Record<string, string>): string {
  const dependencies = new Dependencies();
  dependencies.add(null, project(facts).wants);
  return complaint("dependency_error", () => dependencies.inOrder());
}

function complaint(kind: string, body: () => unknown): string {
  try {
    body();
  } catch (error) {
    assert.ok(error instanceof RecipeFailure, String(error));
    assert.equal(error.class, kind);
    return error.message;
  }
  return assert.fail("it was taken");
}

function hex(app: string, version = "1.0.0"): Want {
  return { app, kind: "hex", package: app, version, sha256: null, checksum: null };
}

describe("what an Erlang project depends on", () => {
  test("every way in which rebar.config names a git dependency is known", () => {
    const git = (...at: unknown[]) => tuple(atom("git"), "https://git.example/ada/dep.git", ...at);
    const wanted = (dep: unknown) => {
      const [want] = project(rebar(dep)).wants;
      return want?.kind === "git" ? [want.app, want.as, want.ref] : want;
    };
    const dep = atom("dep");
    assert.deepEqual(wanted(tuple(dep, git(tuple(atom("tag"), "1.0.0")))), ["dep", "tag", "1.0.0"]);
    assert.deepEqual(wanted(tuple(dep, git(tuple(atom("branch"), "main")))), [
      "dep",
      "branch",
      "main",
    ]);
    assert.deepEqual(wanted(tuple(dep, git(tuple(atom("ref"), "abc123")))), [
      "dep",
      "any",
      "abc123",
    ]);
    assert.deepEqual(wanted(tuple(dep, ".*", git("1.0.0"))), ["dep", "any", "1.0.0"]);
    assert.deepEqual(wanted(tuple(dep, ".*", git(""), [atom("raw")])), ["dep", "any", null]);
    assert.deepEqual(wanted(tuple(dep, git())), ["dep", "any", null]);
  });

  test("a Hex package has an exact version, under its own or another name", () => {
    const wanted = (dep: unknown) => project(rebar(dep)).wants[0];
    assert.deepEqual(wanted(tuple(atom("dep"), "1.2.3")), hex("dep", "1.2.3"));
    assert.deepEqual(wanted(tuple(atom("dep"), "== 1.2.3")), hex("dep", "1.2.3"));
    const renamed = tuple(atom("dep"), "1.2.3", tuple(atom("pkg"), atom("other")));
    assert.deepEqual(wanted(renamed), { ...hex("dep", "1.2.3"), package: "other" });
  });

  test("a lock says the version, and what was added since is taken as it is written", () => {
    const config = [tuple(atom("dep"), "~> 1.0"), tuple(atom("added"), "2.0.0")];
    const entry = tuple("dep", tuple(atom("pkg"), "dep", "1.2.3"), 0);
    const lock = { "package.lock": JSON.stringify([tuple("1.2.0", [entry]), []]) };
    const { wants } = project({ ...rebar(...config), ...lock });
    assert.deepEqual(wants, [hex("dep", "1.2.3"), hex("added", "2.0.0")]);
    // As rebar3 wrote it once, and where there is nothing to lock.
    const old = { "package.lock": JSON.stringify([[entry]]) };
    assert.deepEqual(project({ ...rebar(), ...old }).wants, [hex("dep", "1.2.3")]);
    assert.deepEqual(project({ ...rebar(), "package.lock": "[[]]" }).wants, []);
  });

  test("what does not say which commit or version is refused with what to do", () => {
    const git = (url: string, ref = "1") =>
      rebar(tuple(atom("dep"), tuple(atom("git"), url, tuple(atom("tag"), ref))));
    const cases: [Record<string, string>, RegExp][] = [
      [
        rebar(tuple(atom("dep"), "~> 1.0")),
        /^dep, wanted by the package, is wanted as ~> 1\.0, which is no exact version: commit rebar\.lock/,
      ],
      [rebar(atom("dep")), /is wanted without a version: commit rebar\.lock/],
      [
        rebar(tuple(atom("dep"), tuple(atom("hg"), "https://git.example/a/b"))),
        /neither a git repository nor Hex/,
      ],
      [rebar(7), /written in a way that is not known/],
      [
        rebar(tuple(atom("Dep"), "1.0.0")),
        /Dep, wanted by the package, is no OTP application's name/,
      ],
      [rebar(tuple("../../etc", "1.0.0")), /is no OTP application's name/],
      [
        git("https://evil.example/a/b"),
        /is at evil\.example, from which this agent does not build: its operator allows git\.example/,
      ],
      [git("--upload-pack=touch /tmp/x"), /agent does not build/],
      [git("https://ada:secret@git.example/a/b"), /holds a credential/],
      [git("https://git.example/a/b", "1; touch /tmp/x"), /which is no tag, branch or commit/],
      [git("https://git.example/a/b", "-1"), /which is no tag, branch or commit/],
      [make("ifdef X\nDEPS = a\nendif\n"), /depends on more than plain assignments say/],
      [make("DEPS = $(shell cat deps)\n"), /depends on more than plain assignments say/],
      [make("DEPS = dep\n"), /has no plain dep_dep in the makefile: say dep_dep = git URL TAG/],
      [make("DEPS = dep\ndep_dep = ln ../x\n"), /is fetched by ln: only git and hex are known/],
      [
        native('{"deps": [{"name": "ada/dep"}]}'),
        /^dep, wanted by the package, has neither a url nor a tag/,
      ],
    ];
    for (const [facts, reason] of cases) assert.match(refused(facts), reason);
  });

  test("a dependency that nobody says well enough is no error when somebody else does", () => {
    const dependencies = new Dependencies();
    dependencies.add(null, project(rebar(tuple(atom("dep"), "~> 1.0"))).wants);
    dependencies.add("other", [hex("dep")]);
    dependencies.add(null, [hex("other")]);
    assert.deepEqual(
      dependencies.inOrder().map(({ app }) => app),
      ["dep", "other"],
    );
  });

  test("dependencies that need each other are named in a circle", () => {
    const dependencies = new Dependencies();
    dependencies.add(null, [hex("a")]);
    dependencies.add("a", [hex("b")]);
    dependencies.add("b", [hex("a")]);
    const reason = complaint("dependency_error", () => dependencies.inOrder());
    assert.equal(reason, "Dependencies need each other: a → b → a.");
  });

  test("a package has so many dependencies and no more", () => {
    const dependencies = new Dependencies();
    const many = Array.from({ length: 200 }, (_, at) => hex(`a${at}`));
    assert.match(
      complaint("dependency_error", () => dependencies.add(null, many)),
      /more than 128/,
    );
  });

  test("erlang.mk's plain assignments are followed through variables and lines", () => {
    const { wants } = project(
      make(`V = 2.0
DEPS = one \\
  two
DEPS += three # not four
TEST_DEPS = five
dep_one = git https://git.example/ada/one $(V)
dep_two = hex 1.2.3
dep_three_commit = abc1234
dep_three = git https://git.example/ada/three main
all:
\tDEPS = six
`),
    );
    assert.deepEqual(
      wants.map((want) => [want.app, want.kind === "git" ? want.ref : want.kind]),
      [
        ["one", "2.0"],
        ["two", "hex"],
        ["three", "abc1234"],
      ],
    );
  });
});

test("a makefile whose variables come to billions is refused, not expanded", () => {
  const makefile = `DEPS = ${"$(A)".repeat(5_000)}\nA = ${"$(B)".repeat(5_000)}\nB = ${"$(C)".repeat(5_000)}\n`;
  const [want] = project(make(makefile)).wants;
  assert.equal(want?.kind, "open");
});

describe("coonfig.json", () => {
  test("a wrong member is told with its place", () => {
    const cases: [string, RegExp][] = [
      ["{", /^coonfig\.json is no JSON: /],
      ["[]", /^coonfig\.json: the whole: /],
      ['{"name": "../x"}', /^coonfig\.json: name: /],
      [
        '{"prebuild": [{"shell": 1}]}',
        /^coonfig\.json: prebuild\.0\.shell: only shell steps are known/,
      ],
      ['{"deps": [{"url": "x"}]}', /^coonfig\.json: deps\.0\.name: /],
      ['{"with_source": "yes"}', /^coonfig\.json: with_source: /],
    ];
    for (const [config, reason] of cases)
      assert.match(
        complaint("config_error", () => project(native(config))),
        reason,
      );
  });

  test("what it leaves out has coon's defaults", () => {
    const { config, wants } = project(native("{}"));
    assert.deepEqual(wants, []);
    assert.equal(config?.with_source, true);
    assert.deepEqual(config?.erlang, []);
  });

  test("a dependency on a branch is taken at the commit that the locks file says", () => {
    const commit = "a".repeat(40);
    const locked = (key: string, lock: string) => {
      const locks = Buffer.from(JSON.stringify({ [key]: lock })).toString("base64");
      const deps = [{ name: "dep", url: "https://git.example/ada/dep.git", branch: "a-b" }];
      const [want] = project(native(JSON.stringify({ deps }), { "package.locks": locks })).wants;
      return want?.kind === "git" ? [want.as, want.ref] : want;
    };
    assert.deepEqual(locked("ada/dep", `a-b-${commit}`), ["commit", commit]);
    assert.deepEqual(locked("dep", `a-b-${commit}`), ["commit", commit]);
    assert.deepEqual(locked("dep", `main-${commit}`), ["branch", "a-b"], "of another branch");
    assert.deepEqual(locked("dep", "a-b-c"), ["branch", "a-b"], "no commit");
  });
});

test("only an address that mail could be sent to is a committer's", () => {
  assert.equal(mailAddress("ada@railhead.example "), "ada@railhead.example");
  for (const nobody of [
    "",
    "ada",
    "1+ada@users.noreply.github.com",
    "noreply@github.com",
    "root@localhost",
    "a@b\nBcc: c@d.example",
  ])
    assert.equal(mailAddress(nobody), null, nobody);
});
