#!/bin/bash
# Makes sure that a recipe's builder image is on the host, and prints its reference as the last line:
#
#   prepare.sh [go [REFERENCE]]     the image wanted, golang:1 by default
#   prepare.sh erlang [MAJOR]       the one of this OTP version, erlang:27 by default
#
# The image that is on the host serves; else it is pulled; else, without a registry in reach, one like it is
# built from distribution packages as railhead/<recipe>:<version>, which takes a minute and must be root.
# Several may run at once.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
socket=${socket#unix://}
# The distribution that has each OTP version.
declare -A otp_suites=([25]=bookworm [27]=trixie)
# Seconds without a byte after which a pull is given up: a registry out of reach never sends one.
pull_silence=20
# Bytes below which a base archive cannot be whole: the engine imports a cut one without complaint.
base_least=40000000

die() { echo "prepare.sh: $*" >&2; exit 1; }
say() { echo "$*" >&2; }

api() { # method path [curl options]
  local method=$1 path=$2
  shift 2
  curl -sS --fail-with-body --unix-socket "$socket" -X "$method" "http://docker$path" "$@"
}

on_host() { api GET "/images/$1/json" >/dev/null 2>&1; }

image_id() { api GET "/images/$1/json" 2>/dev/null | sed -n 's/^{"Id":"\(sha256:[0-9a-f]*\)".*/\1/p' || true; }

# True when REFERENCE was built from these very sources.
is_current() { # reference digest
  api GET "/images/$1/json" 2>/dev/null | grep -qF "\"railhead.source\":\"$2\""
}

pull() { # reference
  local name=$1 tag=latest
  case ${1##*/} in *:*) name=${1%:*} tag=${1##*:} ;; esac
  say "pulling $1"
  api POST "/images/create?fromImage=$name&tag=$tag" --speed-limit 1 --speed-time "$pull_silence" >/dev/null 2>&1 || true
  on_host "$1"
}

# The address of the machine's own Debian mirror: what serves here is not always the public one.
mirror() {
  local found
  found=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' | grep -v security | head -n 1) || true
  [ -n "$found" ] || die "no Debian mirror is named in /etc/apt: add one, or load an image with docker load"
  echo "$found"
}

# Runs a function that makes THING while no other run of this script makes the same.
alone() { # thing function [arguments]
  local lock=/run/lock held
  [ -w $lock ] || lock=${TMPDIR:-/tmp}
  exec {held}>"$lock/railhead-$1-$(id -u).lock"
  flock "$held"
  "${@:2}"
  exec {held}>&-
}

# A slim Debian made by mmdebstrap, as the distribution's own image is.
build_base() { # suite
  local suite=$1 base=railhead/base:$1 digest work
  digest=$({ mirror; declare -f build_base; } | sha256sum | cut -c 1-64)
  if is_current "$base" "$digest"; then return 0; fi
  [ "$(id -u)" = 0 ] || die "only root can build an image from packages: run this as root, or load one with docker load"
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap debian-archive-keyring"
  say "building $base from $(mirror)"
  work=$(mktemp -d "$scratch/base.XXXX")
  cat >"$work/dpkg.cfg" <<'CFG'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/groff/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
force-unsafe-io
CFG
  cat >"$work/apt.cfg" <<'CFG'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
CFG
  mkdir -p "$work/tree/etc/apt/apt.conf.d"
  cat >"$work/tree/etc/apt/apt.conf.d/docker-clean" <<'CFG'
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
CFG
  TMPDIR=$work mmdebstrap --quiet --variant=minbase --dpkgopt="$work/dpkg.cfg" --aptopt="$work/apt.cfg" \
    --format=tar "$suite" "$work/base.tar" "deb $(mirror) $suite main" >&2
  tar -C "$work/tree" -rf "$work/base.tar" --owner=0 --group=0 ./etc/apt/apt.conf.d/docker-clean
  [ "$(stat -c %s "$work/base.tar")" -gt "$base_least" ] || die "the base archive came out too small: run this again"
  api POST "/images/create?fromSrc=-&repo=${base%:*}&tag=$suite&changes=LABEL%20railhead.source=$digest" \
    -H 'Content-Type: application/x-tar' -T "$work/base.tar" >/dev/null
  rm -rf "$work"
}

# Builds images/RECIPE on the suite's base with the classic builder, over the API: no client plugin is needed.
build_recipe() { # recipe tag suite
  local digest answer old
  # Who cannot make a new base keeps the image that an administrator made.
  if [ "$(id -u)" != 0 ] && on_host "$2"; then return 0; fi
  alone "base-$3" build_base "$3"
  digest=$({ mirror; declare -f build_base; echo "$3"; cat "$here/$1/Dockerfile"; } | sha256sum | cut -c 1-64)
  if is_current "$2" "$digest"; then return 0; fi
  old=$(image_id "$2")
  say "building $2"
  answer=$(tar -C "$here/$1" -c . | api POST "/build?t=$2&rm=1&forcerm=1&buildargs=%7B%22SUITE%22%3A%22$3%22%7D&labels=%7B%22railhead.source%22%3A%22$digest%22%7D" \
    -H 'Content-Type: application/x-tar' --data-binary @-) || die "the engine refused to build $2: $answer"
  if grep -q '"errorDetail"' <<<"$answer"; then die "$2 does not build: $(tail -n 3 <<<"$answer")"; fi
  [ -z "$old" ] || api DELETE "/images/$old" >/dev/null 2>&1 || true
}

image() { # recipe reference own suite
  if [ "$2" != "$3" ] && { on_host "$2" || { ! on_host "$3" && pull "$2"; }; }; then
    echo "$2"
  elif [ -n "$4" ]; then
    build_recipe "$1" "$3" "$4"
    echo "$3"
  else
    die "$2 cannot be pulled, and the distribution packages of no suite are known to have it: docker load it"
  fi
}

recipe=${1:-go}
case $recipe in
  go) version=1 reference=${2:-golang:1} suite=trixie ;;
  erlang) version=${2:-27} reference=erlang:$version suite=${otp_suites[$version]:-} ;;
  *) die "no image is known for the recipe $recipe: usage: prepare.sh [go [REFERENCE] | erlang [MAJOR]]" ;;
esac
api GET /_ping >/dev/null 2>&1 || die "no Docker engine answers at $socket: run engine.sh first"

# In memory where there is room: twice as fast.
scratch=/dev/shm
[ -w $scratch ] && [ "$(df --output=avail -k $scratch | tail -n 1)" -gt 1000000 ] || scratch=${TMPDIR:-/tmp}
scratch=$(mktemp -d "$scratch/railhead.XXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
alone "$recipe-$version" image "$recipe" "$reference" "railhead/$recipe:$version" "$suite"
