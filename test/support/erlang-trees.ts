/** Small Erlang repositories, one for each way that a build can go. */
import type { RepositoryFile } from "../../cli/dev/repository.ts";

type Files = Record<string, RepositoryFile>;

function settings(members: object): string {
  return JSON.stringify(members);
}

function described(app: string, vsn = '"0.1.0"'): string {
  return `{application, ${app}, [{description, "${app}"}, {vsn, ${vsn}}, {registered, []}, {applications, [kernel, stdlib]}]}.\n`;
}

function module(name: string, body: string): string {
  return `-module(${name}).\n${body}\n`;
}

/** A NIF, a parse transform and a behaviour that others use, an own header by -include_lib, coon's templates. */
export const NATIVE: Files = {
  "coonfig.json": settings({
    name: "fast",
    fullname: "someone/else",
    erlang: ["25", "27", "18"],
    prebuild: [{ shell: "mkdir -p src/gen && cp made.in src/gen/made.erl" }, { shell: "exit 3" }],
    build_vars: ["FLAG", { PAIR: '{a, "b"}' }],
    extra: { z: 1, a: ["ü"] },
  }),
  "coon_locks.json": "{}\n",
  "README.md": "no part of a package\n",
  "made.in": module("made", "-export([word/0]).\nword() -> made."),
  "include/fast.hrl": "-define(WORD, word).\n",
  "src/fast.app.src": `{application, fast, [
  {description, "{{ app.name }} of {{ app.fullname }}"},
  {vsn, {{ app.vsn }} },
  {applications, {{ app.std_apps + app.apps }} },
  {modules, {{ modules }}},
  {env, [
    {nested, {{a, b}, {c, d}}},
    {% if GREETING is defined %}
    {greeting, "{{ GREETING }}"}
    {% elif app.git_tag == '1.0.0' %}
    {greeting, "tagged"}
    {% else %}
    {greeting, "hello"}
    {% endif %}
  ]}
]}.
`,
  "src/a_user.erl": module(
    "a_user",
    `-compile([{parse_transform, z_transform}]).
-behaviour(y_behaviour).
-include_lib("fast/include/fast.hrl").
-export([run/0]).
run() -> {?WORD, ?FLAG, ?PAIR, replace_me, made:word(), fast_nif:add(1, 2)}.`,
  ),
  "src/y_behaviour.erl": module("y_behaviour", "-callback run() -> term()."),
  "src/deep/z_transform.erl": module(
    "z_transform",
    `-export([parse_transform/2]).
parse_transform(Forms, _) -> replace(Forms).
replace(replace_me) -> replaced;
replace(Tuple) when is_tuple(Tuple) -> list_to_tuple(replace(tuple_to_list(Tuple)));
replace([Head | Tail]) -> [replace(Head) | replace(Tail)];
replace(Other) -> Other.`,
  ),
  "src/fast_nif.erl": module(
    "fast_nif",
    `-export([add/2]).
-on_load(load/0).
load() -> erlang:load_nif(filename:join(code:priv_dir(fast), "fast"), 0).
add(_, _) -> erlang:nif_error(not_loaded).`,
  ),
  "c_src/fast.c": `#include <erl_nif.h>
static ERL_NIF_TERM add(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  int a, b;
  if (!enif_get_int(env, argv[0], &a) || !enif_get_int(env, argv[1], &b)) return enif_make_badarg(env);
  return enif_make_int(env, a + b);
}
static ErlNifFunc functions[] = {{"add", 2, add}};
ERL_NIF_INIT(fast_nif, functions, NULL, NULL, NULL, NULL)
`,
};

/** Stands for the vendored build tool: compiles what is in src, and skips dependencies when told to. */
export const MADE: Files = {
  Makefile: "PROJECT = made\ninclude erlang.mk\n",
  "erlang.mk": `all: app
app:
	@test "$(SKIP_DEPS)" = 1
	@mkdir -p ebin
	erlc -o ebin $(sort $(wildcard src/*.erl))
	cp src/$(PROJECT).app.src ebin/$(PROJECT).app
.PHONY: all app
`,
  "src/made.app.src": described("made"),
  "src/made.erl": module("made", "-export([a/0]).\na() -> made."),
};

/** The package's name is not its application's. */
export const REBAR: Files = {
  "rebar.config": "{erl_opts, [debug_info]}.\n",
  "src/the_app.app.src": described("the_app", "git"),
  "src/the_app.erl": module("the_app", "-export([a/0]).\na() -> 1."),
};

/** A NIF of C++ and C. */
const CPP: Files = {
  "src/cpp.app.src": described("cpp"),
  "src/cpp.erl": module(
    "cpp",
    `-export([word/0]).
-on_load(load/0).
load() -> erlang:load_nif(filename:join(code:priv_dir(cpp), "cpp"), 0).
word() -> erlang:nif_error(not_loaded).`,
  ),
  "c_src/nif.cpp": `#include <erl_nif.h>
#include <string>
#include <vector>
#include "deep/letters.h"
static ERL_NIF_TERM word(ErlNifEnv *env, int, const ERL_NIF_TERM[]) {
  std::vector<std::string> letters{"w", "o", last_letters()};
  std::string made;
  for (const auto &each : letters) made += each;
  return enif_make_atom(env, made.c_str());
}
static ErlNifFunc functions[] = {{"word", 0, word, 0}};
ERL_NIF_INIT(cpp, functions, nullptr, nullptr, nullptr, nullptr)
`,
  "c_src/deep/letters.h": `#ifdef __cplusplus
extern "C"
#endif
const char *last_letters(void);
`,
  "c_src/deep/letters.c": `#include "letters.h"
const char *last_letters(void) { return "rd"; }
`,
};

/** Without a makefile, as coon compiles it. */
export const CPP_NATIVE: Files = { ...CPP, "enot_config.json": settings({ name: "cpp" }) };

/** By a makefile of its own that rebar3 calls. */
export const CPP_REBAR: Files = {
  ...CPP,
  "rebar.config": `{pre_hooks, [{compile, "make -C c_src"}]}.\n`,
  "c_src/Makefile": `INCLUDE = $(shell erl -noshell -eval 'io:format("~s/usr/include", [code:root_dir()]), halt().')
../priv/cpp.so: nif.cpp deep/letters.c
	mkdir -p ../priv
	$(CC) -fPIC -c -o /tmp/letters.o deep/letters.c
	$(CXX) -fPIC -shared -I$(INCLUDE) -o $@ nif.cpp /tmp/letters.o
`,
};

/**
 * A build tool as repositories bring it along: an escript that compiles what is in src into ebin. It says with which
 * arguments it was called, and what it is.
 */
export function tool(name: string): string {
  return `#!/usr/bin/env escript
main(Arguments) ->
    [ok = filelib:ensure_dir(Folder) || Folder <- ["ebin/", "priv/"]],
    [{ok, _} = compile:file(File, [{outdir, "ebin"}]) || File <- filelib:wildcard("src/*.erl")],
    [{ok, _} = file:copy(File, "ebin/" ++ filename:basename(File, ".src")) || File <- filelib:wildcard("src/*.app.src")],
    ok = file:write_file("priv/made_by", lists:join(" ", ["${name}" | Arguments])).
`;
}

/** Its build tool is too old for the Erlang at hand. */
export const OUTDATED: Files = {
  ...REBAR,
  Makefile: "include erlang.mk\n",
  "erlang.mk": "all:\n\t@mkdir ebin; touch ebin/half.beam; echo too old >&2; exit 1\n",
};

/** Two applications in one repository, one of them called like it. */
export const UMBRELLA: Files = {
  "rebar.config": "{erl_opts, [debug_info]}.\n",
  "apps/umbrella/src/umbrella.app.src": described("umbrella"),
  "apps/umbrella/src/umbrella.erl": module("umbrella", "-export([a/0]).\na() -> other:a()."),
  "apps/umbrella/priv/note.txt": "hello\n",
  "apps/other/src/other.app.src": described("other"),
  "apps/other/src/other.erl": module("other", "-export([a/0]).\na() -> 2."),
};

export const FAILING: Files = {
  "enot_config.json": settings({ name: "failing", erlang: ["25", "27"] }),
  "src/failing.app.src": described("failing"),
  "src/failing.erl": module("failing", "-export([a/0]).\na() -> missing()."),
};

/** Needs what its dependencies compile to, not only their sources. `deps`: application and `owner/repo` of each. */
export function depending(name: string, remote: string, deps: Record<string, string>): Files {
  return {
    "coonfig.json": settings({
      name,
      erlang: ["27"],
      deps: Object.entries(deps).map(([app, path]) => ({
        ...{ name: app, url: `https://${remote}/${path}`, tag: "1.0.0" },
      })),
    }),
    [`src/${name}.app.src`]: `{application, ${name}, [{vsn, "1"}, {applications, {{ app.std_apps + app.apps }}}]}.\n`,
    [`src/${name}.erl`]: module(
      name,
      `-compile({parse_transform, z_transform}).
-include_lib("fast/include/fast.hrl").
-behaviour(y_behaviour).
-export([run/0]).
run() -> {?WORD, replace_me}.`,
    ),
  };
}

/** A native package whose prebuild steps are these. */
export function scripted(name: string, ...steps: string[]): Files {
  return {
    "enot_config.json": settings({ name, prebuild: steps.map((shell) => ({ shell })) }),
    [`src/${name}.app.src`]: described(name),
    [`src/${name}.erl`]: module(name, "-export([a/0]).\na() -> 1."),
  };
}
