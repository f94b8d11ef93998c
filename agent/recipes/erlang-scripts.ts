/**
 * The shell side of an Erlang build. The functions are ours; which of them are called, and with what, is written by
 * `erlang-compile.ts`, where every word of a repository's is quoted.
 */
import { HOME, OUTPUT, TEMPORARY } from "../workspace.ts";
import { NATIVE_SCRIPT } from "./erlang-native.ts";

/** Exit codes: what failed. Any other than 0 is the shell's own. */
export const BUILD_EXIT = { dependency: 71, package: 72, no_tool: 73, output: 74 } as const;

/** How the log says that an application is being compiled, and how its reader knows. */
export const COMPILING = /^compiling (\S+) with (\S+)\.\.\.$/;

/** Folders of a package: always, and with sources. */
export const MADE_FOLDERS = ["ebin", "priv"] as const;
export const SOURCE_FOLDERS = ["src", "include", "c_src"] as const;

/** Where the agent's own helpers lie in the container. */
const OURS = "/tmp/railhead";

/** Makes a NIF or a port driver of what is in c_src when there is no makefile: priv/<application>.so, as coon does. */
const NIF_MAKEFILE = `
C_SRC_OUTPUT ?= ../priv/$(PROJECT).so
CFLAGS ?= -O3 -std=c99 -Wall
CXXFLAGS ?= -O3 -Wall
FLAGS = -fPIC -I$(ERTS_INCLUDE_DIR) -I$(ERL_INTERFACE_INCLUDE_DIR)
C = $(sort $(shell find . -name '*.c'))
CPP = $(sort $(shell find . -name '*.cc' -o -name '*.cpp' -o -name '*.C'))
OBJECTS = $(addsuffix .o,$(basename $(C) $(CPP)))
$(C_SRC_OUTPUT): $(OBJECTS)
	$(if $(CPP),$(CXX),$(CC)) -shared $(LDFLAGS) -o $@ $^ $(LDLIBS) -L$(ERL_INTERFACE_LIB_DIR) -lei
	@rm -f $(OBJECTS)
%.o: %.c
	$(CC) $(CFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<
%.o: %.cc
	$(CXX) $(CXXFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<
%.o: %.cpp
	$(CXX) $(CXXFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<
%.o: %.C
	$(CXX) $(CXXFLAGS) $(FLAGS) $(CPPFLAGS) -c -o $@ $<
`;

/** Variables that steer the tools, the same for each application. `cpus`: cores that may be used. */
export function buildEnvironment(deps: string, time: number, cpus: number): Record<string, string> {
  return {
    HOME,
    TMPDIR: TEMPORARY,
    LC_ALL: "C.UTF-8",
    TERM: "dumb",
    SOURCE_DATE_EPOCH: String(time),
    // No paths and no options in the modules: the same source gives the same bytes.
    ERL_COMPILER_OPTIONS: "deterministic",
    ERL_FLAGS: `+S ${Math.max(1, Math.floor(cpus))}`,
    ERL_LIBS: deps,
    DEPS_DIR: deps,
    REBAR_OFFLINE: "1",
    RAILHEAD_NATIVE: NATIVE_SCRIPT,
    RAILHEAD_NIF: NIF_MAKEFILE,
  };
}

export const BUILD_FUNCTIONS = `set -u
umask 022
mkdir -p ${OURS} || exit ${BUILD_EXIT.output}
printf '%s' "$RAILHEAD_NATIVE" >${OURS}/native
printf '%s' "$RAILHEAD_NIF" >${OURS}/nif.mk
unset RAILHEAD_NATIVE RAILHEAD_NIF

# Arguments: the application, what compiles it, its folder.
begin() {
  cd -- "$3" || exit ${BUILD_EXIT.output}
  echo "compiling $1 with $2..."
}

# Arguments: its number, the command line, its parameters. coon goes on when one fails.
prebuild() {
  step=$1
  shift
  sh -c "$@" </dev/null || echo "prebuild step $step ended with status $?" >&2
}

# Arguments: the application, then NAME=VALUE for make.
nif() {
  [ -d c_src ] || return 0
  mkdir -p priv
  interface=$(erl -noshell -eval 'io:format("~s", [code:lib_dir(erl_interface)]), halt().')
  application=$1
  shift
  set -- PROJECT="$application" ERTS_INCLUDE_DIR="$(
    erl -noshell -eval 'io:format("~s/erts-~s/include", [code:root_dir(), erlang:system_info(version)]), halt().'
  )" ERL_INTERFACE_INCLUDE_DIR="$interface/include" ERL_INTERFACE_LIB_DIR="$interface/lib" "$@" make -C c_src
  [ -f c_src/Makefile ] || set -- "$@" -f ${OURS}/nif.mk
  env "$@" </dev/null
}

native() { escript ${OURS}/native "$@" </dev/null; }

# A release needs relx, which is no part of the package. An erlang.mk of old may not know a new Erlang that the
# rebar.config beside it is fine with.
erlang_mk() {
  goal=
  if [ -f relx.config ]; then goal=app; fi
  make SKIP_DEPS=1 $goal </dev/null && return
  status=$?
  [ -f rebar.config ] || return $status
  echo "make ended with status $status: going on with rebar.config" >&2
  git clean -fdxq -- ebin
  any_rebar
}

any_rebar() {
  if command -v rebar3 >/dev/null; then
    rebar3_with rebar3
  elif [ -f ./rebar3 ]; then
    rebar3_with escript ./rebar3
  elif command -v rebar >/dev/null; then
    rebar compile skip_deps=true </dev/null
  elif [ -f ./rebar ]; then
    escript ./rebar compile skip_deps=true </dev/null
  else
    echo "There is neither rebar3 nor rebar, in this image or in the repository." >&2
    exit ${BUILD_EXIT.no_tool}
  fi
}

# One application takes its dependencies as they were compiled; several are rebar3's to sort out.
rebar3_with() {
  if [ -d src ]; then
    "$@" bare compile --paths "$DEPS_DIR/*/ebin" </dev/null
  else
    [ -e _checkouts ] || ln -s "$DEPS_DIR" _checkouts
    "$@" compile </dev/null
  fi
}

# Of several applications that rebar3 compiled, the one of these names, or the only one.
choose() {
  [ ! -d src ] && [ -d _build/default/lib ] || return 0
  only=$(ls _build/default/lib)
  for name in "$@" "$only"; do
    made=$PWD/_build/default/lib/$name
    for sources in "apps/$name" "lib/$name"; do
      [ -d "$made" ] && [ -d "$sources" ] || continue
      cd -- "$sources" && take_from "$made" ${MADE_FOLDERS.join(" ")}
      return
    done
  done
}

within() {
  case $(realpath -e -- "$1" 2>/dev/null) in
    "$checkout"/*) ;;
    *) return 1 ;;
  esac
}

# Arguments: a folder, and those of its folders that are taken. What a link in them points to is taken in its place
# when it is in the checkout, too; other links stay, and are left out of the archive.
take_from() {
  from=$1
  shift
  for name in "$@"; do
    [ -d "$from/$name" ] && within "$from/$name" || continue
    [ ! -e "${OUTPUT}/$name" ] || continue
    mkdir -p "${OUTPUT}/$name" && cp -al -- "$from/$name/." "${OUTPUT}/$name" || return
    find "${OUTPUT}/$name" -type l | while IFS= read -r link; do
      target=$(realpath -e -- "$from/$name\${link#"${OUTPUT}/$name"}" 2>/dev/null) && within "$target" || continue
      rm -- "$link"
      if [ -d "$target" ]; then mkdir "$link" && cp -al -- "$target/." "$link"; else cp -L -- "$target" "$link"; fi
    done
  done
}

# Arguments: files and folders of the package.
stage() {
  rm -rf ${OUTPUT} && mkdir ${OUTPUT} || return
  checkout=$(realpath -e -- "$PWD") || return
  locks=$1
  shift
  if [ -f "$locks" ] && [ ! -L "$locks" ]; then cp -l -- "$locks" ${OUTPUT}; fi
  choose "$project" "$package"
  take_from "$PWD" "$@"
}
`;
