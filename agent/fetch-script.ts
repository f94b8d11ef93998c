/**
 * The shell script of the fetch container: git, and nothing that the repository could make it run. What it is told
 * comes in checked environment variables (RAILHEAD_…); credentials come on stdin, one Authorization value a line.
 */

/** Facts for the agent, one `key=value` a line. */
export const RESULT_FILE = "/build/meta/result";
/** Every path of the checkout but `.git`, sorted, NUL-terminated: what is there later and not in it is new. */
export const BEFORE_FILE = "/build/meta/before";

/** Exit codes of git's part; any other is that of the recipe's own step. */
export const FETCH_EXIT = { clone: 101, no_such_commit: 102, submodule: 103 } as const;

/**
 * @param then shell commands for the finished checkout, run in it. `fact KEY VALUE` reports to the agent; `each
 * FUNCTION` calls one with each credential, or an empty one, until it succeeds; `$errors` names a file for stderr.
 */
export function fetchScript(then: string): string {
  return `${GIT}
after() {
${then}
}
after
status=$?
find . -name .git -prune -o ! -type d -print0 | LC_ALL=C sort -z >${BEFORE_FILE} || exit 70
exit $status
`;
}

const GIT = `set -u
umask 022
find /build -mindepth 1 -delete || exit 70
mkdir -p /build/meta /build/home /build/tmp /build/out "$RAILHEAD_DIR" && cd "$RAILHEAD_DIR" || exit 70
errors=/build/meta/errors
printf '%s' "$RAILHEAD_GITCONFIG" >"$GIT_CONFIG_GLOBAL"
: >${RESULT_FILE}

fact() { printf '%s=%s\n' "$1" "$2" >>${RESULT_FILE}; }
fail() { cat $errors >&2; exit "$1"; }

# git with a credential, of which argv holds the name of a variable, and only git's own environment the value.
with() {
  credential=$1
  shift
  if [ -z "$credential" ]; then git "$@"; return; fi
  RAILHEAD_AUTHORIZATION="Authorization: $credential" \
    git --config-env="http.$RAILHEAD_BASE/.extraHeader=RAILHEAD_AUTHORIZATION" "$@"
}

credentials=$(cat)
used=
each() {
  if [ -z "$credentials" ]; then "$1" ""; return; fi
  set -f
  IFS='
'
  set -- "$1" $credentials
  unset IFS
  set +f
  step=$1
  shift
  for used in "$@"; do
    if "$step" "$used"; then return 0; fi
  done
  return 1
}

points_at_commit() { [ "$(git rev-parse -q --verify "$1^{commit}")" = "$RAILHEAD_COMMIT" ]; }

# The tag with its object, for git describe; the commit itself when there is no tag, or when it moved.
obtain() {
  if [ -n "$RAILHEAD_TAG" ]; then
    tag="refs/tags/$RAILHEAD_TAG"
    if with "$1" fetch -q --depth 1 --no-tags -- "$RAILHEAD_URL" "+$tag:$tag" 2>$errors; then
      if points_at_commit "$tag"; then return 0; fi
    elif ! grep -q 'find remote ref' $errors; then
      return 1
    fi
  fi
  with "$1" fetch -q --depth 1 --no-tags -- "$RAILHEAD_URL" "$RAILHEAD_COMMIT" 2>$errors
}

git init -q --template= --object-format="$RAILHEAD_FORMAT" . || exit 70
# Relative submodules are resolved against it, and makefiles ask for it.
git remote add origin "$RAILHEAD_ORIGIN" || exit 70

if ! each obtain; then
  grep -Eqi 'not our ref|unadvertised object|find remote ref|remote did not send' $errors && fail ${FETCH_EXIT.no_such_commit}
  fail ${FETCH_EXIT.clone}
fi
if [ -n "$used" ]; then fact authorized "$RAILHEAD_URL"; fi
git checkout -q --detach "$RAILHEAD_COMMIT" 2>$errors || fail ${FETCH_EXIT.clone}
if [ -n "$RAILHEAD_TAG" ] && ! points_at_commit "refs/tags/$RAILHEAD_TAG"; then
  git tag -f "$RAILHEAD_TAG" "$RAILHEAD_COMMIT" >/dev/null || exit 70
  fact moved 1
fi

submodules() { with "$1" submodule --quiet update --init --recursive --depth 1 2>$errors; }
if [ -f .gitmodules ] && ! submodules ""; then
  if [ -z "$credentials" ] || ! each submodules; then fail ${FETCH_EXIT.submodule}; fi
  # The credential went to every repository on its host: who reads what is built must be able to read each.
  git submodule --quiet foreach --recursive 'git config remote.origin.url' | while IFS= read -r url; do
    fact authorized "$url"
  done
fi

fact time "$(git show -s --format=%ct "$RAILHEAD_COMMIT")"
if grep -qs 'filter=lfs' .gitattributes; then fact lfs 1; fi
`;
