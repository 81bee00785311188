#!/usr/bin/env bash
# as-root.sh WHY COMMAND...: runs COMMAND as root, by sudo if need be, and says so before. WHY completes the sentence
# "root is needed ...". Files that COMMAND leaves in build/ belong to the user who called sudo.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
why=$1
shift

if [[ $EUID != 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "root is needed $why, and this machine has no sudo. As root, in $PWD: $*" >&2
    exit 1
  fi
  # sudo clears the environment; these are for Go, for the tests and for the sensor.
  keep=()
  while read -r name; do
    case $name in
      CI | GO | GO[A-Z]* | *_proxy | *_PROXY | SSL_CERT_* | SENSOR_TEST_* | SENSOR_BENCH_* | DNSMONSTER_* | NO_COLOR | TERM | COLUMNS) keep+=("$name=${!name}") ;;
    esac
  done < <(compgen -e)
  echo "root is needed $why: sudo $*" >&2
  exec sudo -H -- env "${keep[@]}" "$0" "$why" "$@"
fi

user=${SUDO_USER:-${DOAS_USER:-root}}
giveBack() {
  if [[ $user != root && -d $top/build && ! -L $top/build ]]; then
    chown -R --no-dereference "$user:" "$top/build" 2>/dev/null || true
  fi
}
trap giveBack EXIT
"$@"
