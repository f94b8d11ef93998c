#!/bin/bash
# Makes sure that a Docker engine answers: `engine.sh` prints `running` when one did already, `started` when
# it had to start (and perhaps install) one. Debian and its kin, as root. Safe to run at any time, by many.
set -euo pipefail

host=${DOCKER_HOST:-unix:///var/run/docker.sock}
socket=${host#unix://}
log=/var/log/dockerd.log
settings=/etc/docker/daemon.json

die() { echo "engine.sh: $*" >&2; exit 1; }

answers() { [ "$(curl -s --max-time 5 --unix-socket "$socket" http://docker/_ping 2>/dev/null)" = OK ]; }

await() { # seconds
  local until=$((SECONDS + $1))
  while ! answers; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

# The packages among "$@" that are not installed.
missing() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
  done
}

install() {
  local wanted=(git ca-certificates curl mmdebstrap debian-archive-keyring e2fsprogs iptables) lacking
  command -v dockerd >/dev/null || wanted+=(docker.io)
  [ -d /run/systemd/system ] || mountpoint -q /sys/fs/cgroup || wanted+=(cgroupfs-mount)
  mapfile -t lacking < <(missing "${wanted[@]}")
  [ "${#lacking[@]}" -gt 0 ] || return 0
  echo "installing ${lacking[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2 && apt-get install -qq -y --no-install-recommends "${lacking[@]}" >&2 ||
    die "apt-get could not install ${lacking[*]}: look at the lines above"
}

# Containers outlive a restart of the engine, and builds with them. An operator's own settings stay.
settle() {
  [ ! -e "$settings" ] || return 0
  mkdir -p "$(dirname "$settings")"
  printf '{\n  "live-restore": true\n}\n' >"$settings"
}

start() {
  if [ -d /run/systemd/system ]; then
    systemctl start docker >&2 || die "systemd could not start docker: journalctl -u docker says why"
  else
    mountpoint -q /sys/fs/cgroup || cgroupfs-mount
    setsid --fork dockerd >>"$log" 2>&1 </dev/null 9>&-
  fi
}

if answers; then echo running; exit 0; fi
case $host in unix://*) ;; *) die "no engine answers at $host" ;; esac
[ "$socket" = /var/run/docker.sock ] || die "no engine answers at $socket"
[ ! -S "$socket" ] || [ -r "$socket" -a -w "$socket" ] ||
  die "$socket is there, but this user may not use it: join the group docker, or run as root"
[ "$(id -u)" = 0 ] || die "no Docker engine answers, and only root can start one: start it, or run this as root"
command -v apt-get dpkg-query >/dev/null ||
  die "no Docker engine answers, and this is not Debian: install and start Docker, then run this again"

exec 9>/run/railhead-engine.lock
flock 9
if answers; then echo running; exit 0; fi
settle
install
if ! await 1; then
  start
  await 60 || { [ ! -r "$log" ] || tail -5 "$log" >&2; die "dockerd does not answer after a minute; its log: $log"; }
fi
echo started
