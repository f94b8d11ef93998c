/**
 * What runs in the containers that fetch an Erlang package and its dependencies: git, curl, tar, and Erlang's own
 * reader of terms. Nothing of the repository is run: rebar3 would evaluate rebar.config.script, make the makefile.
 */
import { RESULT_FILE } from "../fetch-script.ts";
import { WORKSPACE } from "../workspace.ts";
import type { ErlangSettings } from "./erlang-contracts.ts";
import { majors } from "./erlang-otp.ts";

/** Facts about dependencies, one `key=value` a line. */
export const FACTS_FILE = `${WORKSPACE}/meta/dependencies`;
/** Bytes of a project's file that is looked at. */
const FILE_BYTES = 64 * 1024;
/** Bytes of a Hex package: what hex.pm itself takes is 8 MB packed. */
const HEX_BYTES = 32 * 1024 ** 2;

/** Exit codes of DEPENDENCIES_SCRIPT. The number of the dependency is the fact `failed`. */
export const DEPENDENCY_EXIT = {
  fetch: 111,
  no_such_ref: 112,
  checksum: 113,
  archive: 114,
} as const;

/** The image that sources are fetched in: the newest, for its git. */
export function fetchImage(images: ErlangSettings["images"]): string {
  return images[majors(images).at(-1) ?? ""] ?? "";
}

/**
 * Reads Erlang terms without evaluating anything, and writes them as JSON facts. Each line of the file names the fact,
 * what of the terms is wanted (`all`, or a key) and the file.
 */
const CONSULT = String.raw`
Character = fun(C) when C =:= $"; C =:= $\\ -> [$\\, C];
               (C) when C >= 32, C < 127 -> C;
               (C) when C < 65536 -> io_lib:format("\\u~4.16.0b", [C]);
               (_) -> "?" end,
Text = fun(Characters) -> [$", [Character(C) || C <- Characters], $"] end,
Json = fun J(T) when is_atom(T) -> ["{\"atom\":", Text(atom_to_list(T)), "}"];
           J(T) when is_tuple(T) -> ["{\"tuple\":[", lists:join(",", [J(E) || E <- tuple_to_list(T)]), "]}"];
           J(T) when is_binary(T) ->
               case unicode:characters_to_list(T) of
                   Characters when is_list(Characters) -> Text(Characters);
                   _ -> Text(binary_to_list(T))
               end;
           J([]) -> "[]";
           J(T) when is_list(T) ->
               case io_lib:printable_unicode_list(T) of
                   true -> Text(T);
                   false -> ["[", lists:join(",", [J(E) || E <- T]), "]"]
               end;
           J(T) when is_integer(T) -> integer_to_list(T);
           J(_) -> "null" end,
Array = fun(T) -> ["[", lists:join(",", [Json(E) || E <- T]), "]"] end,
Wanted = fun("all", Terms) -> Array(Terms);
            ("deps", Terms) -> case lists:keyfind(deps, 1, Terms) of
                {_, L} when is_list(L) -> Array(L);
                _ -> "[]" end;
            ("requirements", Terms) -> case lists:keyfind(<<"requirements">>, 1, Terms) of
                {_, L} when is_list(L) -> Array(L);
                _ -> "[]" end end,
Fact = fun(Fact, Value) -> io:put_chars([Fact, "=", Value, "\n"]) end,
{ok, Lines} = file:read_file(os:getenv("RAILHEAD_TERMS")),
lists:foreach(fun(Line) ->
    case string:split(Line, " ", all) of
        [Key, What | Rest] ->
            File = lists:flatten(lists:join(" ", Rest)),
            Bad = fun(Why) -> Fact([hd(string:split(Key, ".")), ".bad"], Text(filename:basename(File) ++ ":" ++ Why)) end,
            try file:consult(File) of
                {ok, Terms} -> Fact(Key, Wanted(What, Terms));
                {error, Why} -> Bad(lists:flatten(file:format_error(Why)))
            catch _:_ -> Bad(" it holds no plain terms")
            end;
        _ -> ok
    end
end, string:split(unicode:characters_to_list(Lines), "\n", all)),
halt().`;

/** Environment of both scripts. */
export const CONSULT_ENVIRONMENT: Record<string, string> = {
  RAILHEAD_CONSULT: CONSULT,
  RAILHEAD_TERMS: `${WORKSPACE}/meta/terms`,
};

/**
 * `describe PREFIX PREFERRED` tells what the project in this folder is: its build system (`rebar3` before erlang.mk
 * where that is PREFERRED), and what its files say. `consult` then reads the terms that it found.
 */
const DESCRIBE = `
plain() { [ -f "$1" ] && ! [ -L "$1" ]; }
readable() {
  plain "$1" || return 1
  if [ "$(stat -c %s "$1")" -le ${FILE_BYTES} ]; then return 0; fi
  fact "$prefix.large" "$1"
  return 1
}
content() { if readable "$2"; then fact "$1" "$(base64 -w0 <"$2")"; fi; }
terms() { if readable "$3"; then echo "$1 $2 $PWD/$3" >>"$RAILHEAD_TERMS"; fi; }

makefile() {
  for file in GNUmakefile makefile Makefile; do
    if plain "$file"; then return 0; fi
  done
  return 1
}
native() { # file locks
  fact "$prefix.system" native
  fact "$prefix.file" "$1"
  content "$prefix.config" "$1"
  content "$prefix.locks" "$2"
}
erlang_mk() {
  plain erlang.mk && makefile || return 1
  fact "$prefix.system" erlang.mk
  content "$prefix.makefile" "$file"
}
rebar3() {
  plain rebar.config || return 1
  fact "$prefix.system" rebar3
  terms "$prefix.deps" deps rebar.config
  terms "$prefix.lock" all rebar.lock
}
describe() {
  prefix=$1
  if plain coonfig.json; then native coonfig.json coon_locks.json
  elif plain enot_config.json; then native enot_config.json enot_locks.json
  elif [ "$2" = rebar3 ]; then rebar3 || erlang_mk
  else erlang_mk || rebar3
  fi
}
# In a folder of nobody's: Erlang would take code from the one it is started in.
consult() {
  if ! [ -s "$RAILHEAD_TERMS" ]; then return 0; fi
  (cd / && erl -noinput -boot no_dot_erlang -eval "$RAILHEAD_CONSULT")
}
`;

/** The recipe's step after the fetch of the package itself, see `fetchScript`. */
export const PACKAGE_SCRIPT = `
${DESCRIBE}
rm -f "$RAILHEAD_TERMS"
describe package make
consult >>${RESULT_FILE} || return 70
fact mail "$(git show -s --format=%ce "$RAILHEAD_COMMIT" | head -c 320)"
return 0
`;

/**
 * Fetches what $RAILHEAD_WANTED says, a dependency a line: number, application, then `git URL KIND REF` or
 * `hex PACKAGE VERSION SHA256 CHECKSUM`, with `-` for what is not known; every word was checked by the agent.
 */
export const DEPENDENCIES_SCRIPT = `set -u
umask 022
mkdir -p ${WORKSPACE}/meta || exit 70
errors=${WORKSPACE}/meta/errors
printf '%s' "$RAILHEAD_GITCONFIG" >"$GIT_CONFIG_GLOBAL"
: >${FACTS_FILE}
: >"$RAILHEAD_TERMS"
fact() { printf '%s=%s\\n' "$1" "$2" >>${FACTS_FILE}; }
${DESCRIBE}
give_up() { # status
  fact failed "$number"
  cat $errors >&2
  exit "$1"
}
get() { git fetch -q --depth 1 --no-tags -- "$url" "$1" 2>$errors; }
missing() { grep -Eqi "find remote ref|not our ref|unadvertised object|remote did not send" $errors; }

tag() { get "+refs/tags/$ref:refs/tags/$ref"; }
branch() { get "+refs/heads/$ref:refs/remotes/origin/$ref" && fact "$number.branch" "the branch $ref"; }
commit() {
  case $ref in *[!0-9a-f]*) return 1 ;; esac
  case \${#ref} in
    40 | 64) get "$ref" ;;
    # Hosts take no beginning of a commit's name.
    *) git fetch -q -- "$url" '+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*' 2>$errors &&
      git rev-parse -q --verify "$ref^{commit}" >/dev/null && tip=$ref ;;
  esac
}
from_git() { # url kind ref
  url=$1 ref=$3 tip=FETCH_HEAD
  git init -q --template= . || exit 70
  git remote add origin "$url" || exit 70
  if [ "$ref" = - ]; then get HEAD && fact "$number.branch" "the default branch"
  elif [ "$2" = any ]; then tag || { missing && branch; } || { missing && commit; }
  else "$2"
  fi || { if missing; then give_up ${DEPENDENCY_EXIT.no_such_ref}; fi; give_up ${DEPENDENCY_EXIT.fetch}; }
  git checkout -q --detach "$tip" 2>$errors || give_up ${DEPENDENCY_EXIT.fetch}
  if [ -f .gitmodules ]; then
    git submodule --quiet update --init --recursive --depth 1 2>$errors || give_up ${DEPENDENCY_EXIT.fetch}
  fi
  fact "$number.commit" "$(git rev-parse HEAD)"
}

# The format of a package: hexpm/specifications, "package_tarball.md".
from_hex() { # package version sha256 checksum
  outer=${WORKSPACE}/meta/hex/$app
  mkdir -p "$outer" || exit 70
  curl -sS --fail --proto =http,https --max-filesize ${HEX_BYTES} --retry 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 \\
    -o "$outer.tar" "$RAILHEAD_HEX/tarballs/$1-$2.tar" 2>$errors || give_up ${DEPENDENCY_EXIT.fetch}
  if [ "$3" != - ] && [ "$(sha256sum <"$outer.tar" | cut -d ' ' -f 1)" != "$3" ]; then give_up ${DEPENDENCY_EXIT.checksum}; fi
  tar -xf "$outer.tar" -C "$outer" --no-same-owner 2>$errors || give_up ${DEPENDENCY_EXIT.archive}
  for file in VERSION CHECKSUM metadata.config contents.tar.gz; do
    plain "$outer/$file" || { echo "the package holds no $file" >$errors; give_up ${DEPENDENCY_EXIT.archive}; }
  done
  sum=$(cat "$outer/VERSION" "$outer/metadata.config" "$outer/contents.tar.gz" | sha256sum | cut -d ' ' -f 1)
  if [ "$4" != - ]; then wanted=$4; else wanted=$(head -c 64 "$outer/CHECKSUM" | tr A-F a-f); fi
  [ "$sum" = "$wanted" ] || give_up ${DEPENDENCY_EXIT.checksum}
  tar -xzf "$outer/contents.tar.gz" --no-same-owner 2>$errors || give_up ${DEPENDENCY_EXIT.archive}
  prefix=$number
  (cd "$outer" && terms "$number.requirements" requirements metadata.config)
}

# Not through a link of the repository's.
if [ -L "$RAILHEAD_DEPS" ]; then rm "$RAILHEAD_DEPS"; fi
mkdir -p "$RAILHEAD_DEPS" || exit 70
while read -r number app kind first second third fourth; do
  : >$errors
  folder=$RAILHEAD_DEPS/$app
  rm -rf "$folder" && mkdir "$folder" && cd "$folder" || exit 70
  "from_$kind" "$first" "$second" "$third" "$fourth"
  if ! describe "$number" rebar3 && [ -d src ]; then fact "$number.system" rebar3; fi
done <<WANTED
$RAILHEAD_WANTED
WANTED
consult >>${FACTS_FILE} || exit 70
exit 0
`;
