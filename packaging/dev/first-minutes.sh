#!/usr/bin/env bash
# first-minutes.sh [--with-tests] [--keep] [--modes "user sudo root"] [FOLDER]: times what a new user does on a bare Debian,
# from git clone to the first record, and prints a table of seconds and megabytes.
#
# It makes a minimal Debian in FOLDER (a temporary one below /var/tmp) with debootstrap, from the mirror that the host's apt
# uses, and does there what README.md says: apt-get install git make, Go into /usr/local/go (a copy of the host's), clone,
# make build, make run, make install, make uninstall. modes: user types make run, sudo types sudo make run, root is root; each
# begins without checkout and caches. The capture happens in a network namespace of its own. Needs root, debootstrap, 2 GB and
# the network. --with-tests also times the install of what make test needs; --keep leaves the folder.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
die() {
  echo "first-minutes.sh: $*" >&2
  exit 1
}
tests='' keep='' modes="user sudo root" root=''
while [[ $# != 0 ]]; do
  case $1 in
    --with-tests) tests=yes ;;
    --keep) keep=yes ;;
    --modes) modes=${2:?--modes wants a list} && shift ;;
    -*) die "unknown option $1" ;;
    *) root=$1 ;;
  esac
  shift
done
[[ $EUID == 0 ]] || die "run it as root: it makes a Debian and network namespaces"
if [[ -z ${FIRST_MINUTES_INSIDE:-} ]]; then
  root=${root:-$(mktemp -d /var/tmp/first-minutes.XXXXXX)}
  # What is in FOLDER is removed at the end.
  if [[ -n $(ls -A "$root" 2>/dev/null) && ! -e $root/first-minutes ]]; then
    die "$root is not empty, and not a Debian that this script has made: name another folder"
  fi
  "$top/packaging/dev/install-tools.sh" minutes
  mkdir -p "$root"
  touch "$root/first-minutes"
  root=$(cd "$root" && pwd -P)
  # Mounts end with this namespace, whatever happens.
  status=0
  FIRST_MINUTES_INSIDE=yes unshare --mount --propagation private "$0" ${tests:+--with-tests} --keep --modes "$modes" "$root" || status=$?
  if [[ -z $keep ]]; then rm -rf --one-file-system "$root"; else echo "kept: $root" >&2; fi
  exit "$status"
fi
PATH=$PATH:/usr/sbin:/sbin

rows=()
row() { # WHAT SECONDS [MEGABYTES] [NOTE]
  rows+=("$(printf '%-44s %8s %8s  %s' "$1" "$2" "${3:-}" "${4:-}")")
  printf '%s\n' "${rows[-1]}" >&2
}
now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'; }
megabytes() { du -sm --apparent-size "$@" 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }'; }

# --- a bare Debian ---
targets() { apt-get indextargets --format "$1" "Identifier: Packages" "Origin: Debian" | sort -u; }
# shellcheck disable=SC2016 # apt-get expands these
sources=$(targets 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)')
# shellcheck disable=SC2016
read -r mirror release < <(targets '$(REPO_URI) $(RELEASE)' | awk '$2 !~ /-/') || true
[[ -n ${release:-} ]] || die "apt knows no Debian mirror here: apt-get update first"
mkdir -p "$root"
if [[ ! -x $root/usr/bin/apt-get ]]; then
  echo "debootstrap of $release from the host's mirror" >&2
  debootstrap --variant=minbase "$release" "$root" "$mirror" >"$root/debootstrap.log" 2>&1 || die "debootstrap: see $root/debootstrap.log"
fi
printf '%s\n' "$sources" >"$root/etc/apt/sources.list"
for f in /etc/apt/apt.conf.d/* /etc/apt/apt.conf; do
  if [[ -f $f ]] && grep -q Acquire "$f"; then cp "$f" "$root/etc/apt/apt.conf.d/"; fi
done
for f in /etc/resolv.conf /etc/hosts; do cp --dereference "$f" "$root$f"; done
mkdir -p "$root/usr/local/share/ca-certificates" "$root/etc/ssl/certs"
cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
if [[ ! -e $root/etc/ssl/certs/ca-certificates.crt ]]; then cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
env | grep -iE '^(https?|no)_proxy=' >"$root/etc/environment" || true
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
# What is committed; the folder may be a worktree, which cannot be cloned from inside.
rm -rf "$root/srv/origin"
git -c safe.directory='*' clone -q --bare "$top" "$root/srv/origin"

inside() { chroot "$root" su - "$1" -c "$2"; }
logged() { # USER COMMAND: quiet unless it fails
  inside "$1" "$2" >"$root/tmp/log" 2>&1 || {
    tail -n 30 "$root/tmp/log" >&2
    die "$2, as $1: failed"
  }
}

# --- once: what README.md wants on the machine ---
from=$(now)
logged root "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -y -o APT::Keep-Downloaded-Packages=true install git make sudo"
row "apt-get update, install git make sudo" "$(since "$from")" "$(grep -oE 'Need to get [0-9.,]+ [kM]B' "$root/tmp/log" | awk '{ print $4 }' || true)" "downloaded"
logged root "id tester >/dev/null 2>&1 || { useradd --create-home --shell /bin/bash tester; echo 'tester ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/tester; }"
logged root "grep -q secure_path /etc/sudoers && ! sudo sh -c 'command -v go'"

# What the program says without Go is part of the first minutes, too.
rm -rf "$root/usr/local/go"
chroot "$root" chown -R tester: /srv/origin
logged tester "rm -rf none && git clone -q file:///srv/origin none"
inside tester "cd none && make build" >"$root/tmp/none" 2>&1 && die "make build passed without Go"
printf 'without Go: %s\n' "$(head -n 1 "$root/tmp/none")" >&2
logged tester "rm -rf none"

goroot=$("$top/packaging/dev/go.sh" env GOROOT)
from=$(now)
cp -r "$goroot" "$root/usr/local/go"
if proxy=$("$top/packaging/dev/go.sh" env GOPROXY) && [[ -n $proxy ]]; then echo "GOPROXY=$proxy" >>"$root/usr/local/go/go.env"; fi
row "Go into /usr/local/go, copied" "$(since "$from")" "$(megabytes "$root/usr/local/go")" "$("$goroot/bin/go" version | awk '{ print $3 }'), on disk"

# A query for www.example.org A, again and again until the file holds a record.
cat >"$root/tmp/ask.sh" <<'A'
for _ in $(seq 600); do
  [ ! -s "$1" ] || exit 0
  printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03org\x00\x00\x01\x00\x01' 2>/dev/null >/dev/udp/127.0.0.1/53
  sleep 0.1
done
exit 1
A

files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./srv -o -path './home/*' \
  -o -path './root/*' -o -path './run/*' \) -prune -o -print | LC_ALL=C sort); }

firstRecord() { # USER COMMAND
  rm -f "$root/tmp/records" "$root/tmp/stderr"
  : >"$root/tmp/records"
  chmod 666 "$root/tmp/records"
  # shellcheck disable=SC2016 # the inner shell expands them
  unshare --net --mount --propagation private bash -c '
    root=$1 user=$2 command=$3
    ip link set lo up
    mount -t sysfs sysfs "$root/sys"
    chroot "$root" su - "$user" -c "$command" >"$root/tmp/records" 2>"$root/tmp/stderr" &
    capture=$!
    bash "$root/tmp/ask.sh" "$root/tmp/records" 2>/dev/null || { tail -n 30 "$root/tmp/stderr" >&2; exit 1; }
    date +%s.%N >"$root/tmp/first"
    # Only this namespace has the sensor that we started.
    for p in $(ps -e -o pid=); do
      [ "$(readlink "/proc/$p/ns/net" 2>/dev/null)" = "$(readlink /proc/self/ns/net)" ] &&
        [ "$(cat "/proc/$p/comm" 2>/dev/null)" = dnsmonster-sens ] && kill -INT "$p"
    done
    wait "$capture"' - "$root" "$1" "$2" || die "$2, as $1: no record"
  awk -v from="$3" -v to="$(<"$root/tmp/first")" 'BEGIN { printf "%.1f", to - from }'
}

mode() { # user | sudo | root
  local user=tester sudo='' home=/home/tester
  case $1 in
    sudo) sudo="sudo " ;;
    root) user=root home=/root ;;
    user) ;;
    *) die "unknown mode $1: user, sudo or root" ;;
  esac
  local dir=$home/dnsmonster-sensor begin
  local at="$root$dir"
  chroot "$root" rm -rf /home/tester/{dnsmonster-sensor,go,.cache} /root/{dnsmonster-sensor,go,.cache}
  chroot "$root" chown -R "$user": /srv/origin
  begin=$(now)
  from=$begin
  logged "$user" "git clone -q file:///srv/origin dnsmonster-sensor"
  row "$1: git clone" "$(since "$from")" "$(megabytes "$at/.git")" "of git objects"
  from=$(now)
  local cpu TIMEFORMAT='%U %S'
  { time logged "$user" "cd dnsmonster-sensor && ${sudo}make build"; } 2>"$root/tmp/cpu" || die "$(<"$root/tmp/cpu")"
  cpu=$(awk '{ printf "%.0f", $1 + $2 }' "$root/tmp/cpu")
  row "$1: ${sudo}make build" "$(since "$from")" "$(find "$root$home/go/pkg/mod/cache/download" -name '*.zip' -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum / 1e6 }')" \
    "of modules downloaded; $cpu s of processor time; $(megabytes "$root$home/go" "$root$home/.cache") on disk"
  from=$(now)
  local took
  took=$(firstRecord "$user" "cd dnsmonster-sensor && ${sudo}make run IFACE=lo" "$from")
  row "$1: ${sudo}make run, to the first record" "$took"
  row "$1: git clone to the first record" "$(awk -v from="$begin" -v to="$(<"$root/tmp/first")" 'BEGIN { printf "%.1f", to - from }')"
  if [[ $user != root ]]; then
    local foreign
    foreign=$(find "$root$home" -user root | wc -l)
    row "$1: files of root in the user's home" "" "" "$foreign"
    [[ $foreign == 0 ]] || die "$(find "$root$home" -user root | head -n 5)"
  fi
  files >"$root/tmp/before"
  from=$(now)
  logged "$user" "cd dnsmonster-sensor && ${sudo:-$([[ $user == root ]] || echo 'sudo ')}make install"
  row "$1: make install" "$(since "$from")" "$(megabytes "$root/usr/local/bin/dnsmonster-sensor" "$root/usr/local/share/doc/dnsmonster-sensor")"
  logged "$user" "dnsmonster-sensor --version"
  from=$(now)
  logged "$user" "cd dnsmonster-sensor && ${sudo:-$([[ $user == root ]] || echo 'sudo ')}make uninstall"
  files >"$root/tmp/after"
  row "$1: make uninstall" "$(since "$from")" "" "$(comm -3 "$root/tmp/before" "$root/tmp/after" | wc -l) files differ from before"
  cmp -s "$root/tmp/before" "$root/tmp/after" || die "$(comm -3 "$root/tmp/before" "$root/tmp/after" | head -n 5)"
}
for m in $modes; do mode "$m"; done

if [[ -n $tests ]]; then
  chroot "$root" chown -R tester: /srv/origin
  logged tester "[ -d dnsmonster-sensor ] || git clone -q file:///srv/origin dnsmonster-sensor"
  from=$(now)
  logged tester "cd dnsmonster-sensor && packaging/dev/install-tools.sh test"
  row "tools of make test" "$(since "$from")" "$(grep -oE '[0-9]+ MB to download' "$root/tmp/log" | tail -n 1 | cut -d' ' -f1)" "of Debian packages downloaded"
fi

printf '\n%-44s %8s %8s\n' "$release, $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)" seconds MB
printf '%s\n' "${rows[@]}"
