/**
 * The shell scripts of the Go recipe. They are ours: what a repository decides reaches them as files and exit
 * codes only, what a request decides as checked arguments and environment variables.
 */
import { BEFORE_FILE } from "../fetch-script.ts";
import { OUTPUT } from "../workspace.ts";

/** Where the caches are mounted. */
export const MODULES = "/modcache";
export const COMPILED = "/gocache";
export const STANDARD = "/gostd";

/** Exit code of MODULES_SCRIPT when modules cannot be had, and of DEFAULT_SCRIPT when there is nothing to build. */
const MODULE_FAILURE = 61;
export const NO_MAIN_PACKAGE = 65;

/**
 * The recipe's step in the fetch container: what there is to build, its modules, and a warm cache. Reports
 * `makefile` (its name), `mode` (modules, vendor, gopath, or none without any Go file) and `authorized` URLs.
 */
export const MODULES_SCRIPT = `
standard=${STANDARD}/trimpath
for name in GNUmakefile makefile Makefile; do
  if [ -f $name ]; then
    fact makefile $name
    standard=${STANDARD}/plain
    break
  fi
done

if [ -e $standard/filled ] && [ ! -e "$RAILHEAD_COMPILED" ]; then
  rm -rf "$RAILHEAD_COMPILED.new" && cp -a $standard/build "$RAILHEAD_COMPILED.new" &&
    mv "$RAILHEAD_COMPILED.new" "$RAILHEAD_COMPILED"
fi

go_with() {
  credential=$1
  shift
  if [ -z "$credential" ]; then go "$@" 2>$errors; return; fi
  GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$RAILHEAD_BASE/.extraHeader" \\
    GIT_CONFIG_VALUE_0="Authorization: $credential" go "$@" 2>$errors
}
download() { go_with "$1" mod download; }
tidy() { go_with "$1" mod tidy -e; }

# Modules that a credential brought in stay in the cache: later builds answer for them too.
authorized="$GOMODCACHE/../authorized"
modules() {
  if "$1" ""; then return 0; fi
  if [ -z "$credentials" ] || ! each "$1"; then return 1; fi
  cat "$GOMODCACHE"/cache/vcs/*.info 2>/dev/null | grep -o 'https\\{0,1\\}://[^"[:space:]]*' >>"$authorized"
  return 0
}

mode=modules
if [ -f go.mod ] && [ -f vendor/modules.txt ]; then
  mode=vendor
elif [ -f go.mod ]; then
  nosum=
  if [ ! -e go.sum ] && grep -q require go.mod; then nosum=yes; fi
  modules download || { cat $errors >&2; return ${MODULE_FAILURE}; }
  # For a repository that keeps no go.sum, as its own \`go get\` did.
  if [ -n "$nosum" ]; then go_with "" list -mod=mod -e -deps ./... >/dev/null; fi
elif [ -d vendor ]; then
  mode=gopath
elif [ -n "$(find . -name '*.go' -print -quit)" ]; then
  go mod init "$RAILHEAD_MODULE" 2>$errors && modules tidy || { cat $errors >&2; return ${MODULE_FAILURE}; }
else
  mode=none
fi
fact mode $mode
if [ -f "$authorized" ]; then
  sort -u "$authorized" | while IFS= read -r url; do fact authorized "$url"; done
fi
return 0
`;

/** The repository's own makefile, then what it made: new files, and tracked ones whose content changed. Argument: the make target, if any. */
export const MAKE_SCRIPT = `
make "$@" </dev/null
status=$?
if [ $status -ne 0 ]; then exit $status; fi
export LC_ALL=C
{
  find . -name .git -prune -o \\( -type f -o -type l \\) -print0 | sort -z | comm -z -13 ${BEFORE_FILE} -
  git diff --name-only -z --no-renames --diff-filter=M --ignore-submodules=all 2>/dev/null
} | xargs -0 -r cp -al --parents -t ${OUTPUT} --
`;

/**
 * The default way: the main package at the root, or those below cmd/, or all there are.
 * Arguments: version, commit, date.
 */
export const DEFAULT_SCRIPT = `
set -u
rm -rf ${OUTPUT} && mkdir ${OUTPUT} || exit 70
ldflags="-s -w -buildid= -X 'main.version=$1' -X 'main.commit=$2' -X 'main.date=$3'"
mod=
if [ -f go.mod ] && [ -d vendor ] && [ ! -f vendor/modules.txt ]; then mod=-mod=mod; fi

# Import paths and folders of main packages.
mains() {
  found=$(go list $mod -e -find -f '{{if eq .Name "main"}}{{.ImportPath}} {{.Dir}}{{end}}' "$1") || exit
  found=$(printf '%s\\n' "$found" | sed '/^$/d')
  [ -n "$found" ]
}
mains . || { [ -d cmd ] && mains ./cmd/...; } || mains ./... || {
  echo "There is no main package for $GOOS/$GOARCH. What there is:" >&2
  go list $mod -e -find -f 'package {{.ImportPath}}' ./... | head -n 20 >&2
  exit ${NO_MAIN_PACKAGE}
}

compile() { go build $mod -trimpath -buildvcs=false -ldflags "$ldflags" "$@"; }
paths=$(printf '%s\\n' "$found" | cut -d ' ' -f 1)
all() {
  # Two main packages may have folders of the same name; go would write one over the other.
  if [ -z "$(printf '%s\\n' "$paths" | sed 's|/v[0-9]*$||; s|.*/||' | sort | uniq -d)" ]; then
    compile -o ${OUTPUT}/ $paths
    return
  fi
  printf '%s\\n' "$found" | while read -r path folder; do
    name=$(printf '%s' "\${folder#"$PWD"/}" | tr / -)
    compile -o "${OUTPUT}/$name$(go env GOEXE)" "$path" || exit
  done
}
all || exit 1
if [ "$GOARCH" = wasm ]; then
  for file in ${OUTPUT}/*; do mv "$file" "$file.wasm"; done
fi
`;

/** Fills a standard library cache. Runs only code of the builder image. Arguments: flags and packages of `go build`. */
export const STANDARD_SCRIPT = `
GOCACHE=${STANDARD}/build go build "$@" && touch ${STANDARD}/filled
`;
