#!/bin/sh
# Deploys the current folder as a web app, from CI or wherever there is no Node.js; needs curl and tar.
#
#   PEROKU_TOK=… sh deploy.sh URL PROJECT RULE
#   curl -fsSL …/deploy.sh | PEROKU_TOK=… sh -s URL PROJECT RULE
#
# Sends all of the folder but .git and .peroku.json, prints the deploy's log, and exits 0 only when the new version serves.

# Everything is inside functions: a script that comes down a pipe must be whole before it begins.
set -u

fail() {
  printf 'deploy.sh: %s\n' "$*" >&2
  exit 1
}

encode() {
  printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# curl with the token from standard input: arguments are seen by everybody on the machine.
request() {
  token=$(printf %s "$PEROKU_TOK" | sed 's/[\\"]/\\&/g')
  curl -sS -K - "$@" <<END
header = "Authorization: Bearer $token"
END
}

# The string that is called $2 in the JSON document $1.
member() {
  printf %s "$1" | tr -d '\n' |
    sed -n 's/.*[{,]"'"$2"'": *"\([^"\\]*\(\\.[^"\\]*\)*\)".*/\1/p' | sed 's/\\\(["\\]\)/\1/g'
}

post() {
  query="project=$(encode "$project")&rule=$(encode "$rule")"
  answer=$(request -X POST -T "$tar" -H 'Content-Type: application/gzip' -H 'Accept: application/json' \
    -w '\n%{http_code}' "$url/run?$query") || fail "$url cannot be reached."
  status=$(printf %s "$answer" | tail -n 1)
  answer=$(printf %s "$answer" | sed '$d')
  if [ "$status" != 200 ]; then
    said=$(member "$answer" detail)
    fail "refused ($status): ${said:-$answer}"
  fi
  logid=$(member "$answer" logid)
  [ -n "$logid" ] || fail "$url did not answer as Railhead does."
}

# The log may be cut off before the end: how it ended is the build's to say.
follow() {
  curl -sSN -H 'Accept: text/plain' "$url/builds/$logid/logs?follow=1"
  missed=0
  while :; do
    if answer=$(curl -sSf "$url/builds/$logid"); then missed=0; else missed=$((missed + 1)); fi
    [ "$missed" -lt 30 ] || fail "$url is away; ask it for /builds/$logid later."
    state=$(member "$answer" state)
    case $state in
      succeeded) return ;;
      failed | cancelled | timed_out) fail "the deploy of $project ended as $state: the log above says why." ;;
    esac
    sleep 2
  done
}

main() {
  [ $# = 3 ] || fail "usage: PEROKU_TOK=… deploy.sh URL PROJECT RULE"
  [ -n "${PEROKU_TOK:-}" ] || fail "PEROKU_TOK must hold the token."
  case $PEROKU_TOK in
    *[[:space:]]*) fail "PEROKU_TOK must hold one token and nothing else." ;;
  esac
  project=$2 rule=$3
  case $1 in
    http://* | https://*) url=${1%/} ;;
    *) url=https://${1%/} ;;
  esac
  tar=$(mktemp) || fail "no temporary file can be made."
  trap 'rm -f "$tar"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  tar -czf "$tar" --exclude=.git --exclude=.peroku.json . || fail "the folder cannot be packed."
  post
  follow
  printf '%s is live.\n' "$project"
}

main "$@"
