#!/usr/bin/env bash
# as-root.sh WHY COMMAND...: runs COMMAND as root, by sudo if need be, and says so before. WHY completes the sentence
# "root is needed ...". Files that COMMAND leaves in build/ belong to the user who called sudo.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

if [[ $EUID != 0 ]]; then
  why=$1
  shift
  if ! command -v sudo >/dev/null; then
    echo "root is needed $why, and this machine has no sudo. As root, in $PWD: $*" >&2
    exit 1
  fi
  # sudo clears the environment. What Go, the tests and the sensor read goes by a file: a process list and sudo's log would
  # show passwords in arguments.
  settings=$(mktemp)
  trap 'rm -f "$settings"' EXIT
  while read -r name; do
    case $name in
      CI | GO | GO[A-Z]* | *_proxy | *_PROXY | SSL_CERT_* | NODE_EXTRA_CA_CERTS | npm_config_* | SENSOR_TEST_* | SENSOR_BENCH_* | DNSMONSTER_* | NO_COLOR | TERM | COLUMNS)
        printf '%s=%s\0' "$name" "${!name}"
        ;;
    esac
  done < <(compgen -e) >"$settings"
  echo "root is needed $why: sudo $*" >&2
  ask=()
  if [[ ! -t 0 && ! -t 2 ]]; then ask=(-n); fi # nobody can type a password
  sudo "${ask[@]}" -H -- "$0" --settings "$settings" "$why" "$@"
  exit
fi

if [[ $1 == --settings ]]; then
  while IFS= read -r -d '' setting; do export "${setting?}"; done <"$2"
  rm -f "$2"
  shift 2
fi
shift
user=${SUDO_USER:-${DOAS_USER:-root}}
# The sensor leaves nothing in build/. Where nothing is to give back, no shell stands between make's signals and the command.
if [[ $user == root || $1 == ./dnsmonster-sensor ]]; then exec "$@"; fi
giveBack() {
  if [[ -d $top/build && ! -L $top/build ]]; then
    chown -R --no-dereference "$user:" "$top/build" 2>/dev/null || true
  fi
}
trap giveBack EXIT
"$@"
