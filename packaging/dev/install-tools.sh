#!/usr/bin/env bash
# install-tools.sh run|test|kernels|race|bench|generate|lint|libpcap|captures|minutes: installs the missing tools of the make target with
# this name (captures: userspace/worker/testdata/make.sh, minutes: packaging/dev/first-minutes.sh) with apt. If nothing is missing,
# it needs no network, no root and no time. Otherwise it says what it installs and how much that downloads, and asks sudo for root
# if need be. It starts no daemons: the tests start their own.
#   run       make demo: a DNS server and a client in network namespaces
#   test      servers, load generators and network tools for the tests; and the compiler, to compare what is committed
#   kernels   the emulator for old kernels; it needs the tools of test, too
#   race      the compiler that the race detector needs
#   bench     a DNS server, a load generator and a recorder for make bench and bench-live
#   generate  the compiler for bpf/
#   lint      the formatter of C, and what make lint needs to look at the build with libpcap
#   libpcap   make build-libpcap: the compiler and libpcap
#   captures  servers and dissectors for recording the tests' captures again
#   minutes   a bare Debian in a folder, to time the first minutes of a new user
set -euo pipefail

# One line per tool: groups, a command or file that shows that it is installed, Debian package.
tools() {
  cat <<'T'
run,test,bench,captures ip iproute2
run,test,bench,captures knotd knot
run,test,bench,captures kdig knot-dnsutils
test knotc knot
test kxdpgun knot-dnsutils
test,bench,captures dnsperf dnsperf
test,bench,captures unbound unbound
test unbound-control unbound
test,captures named bind9
test rndc bind9-utils
test,captures dnsdist dnsdist
test /usr/share/doc/knot-module-dnstap knot-module-dnstap
test kresd knot-resolver
test pdns_recursor pdns-recursor
test rec_control pdns-recursor
test,bench fstrm_capture fstrm-bin
test,bench ethtool ethtool
test,bench,captures tcpdump tcpdump
test editcap wireshark-common
test mergecap wireshark-common
test dumpcap wireshark-common
test dnstap-ldns dnstap-ldns
test fstrm_dump fstrm-bin
test zstd zstd
test lz4 lz4
test promtool prometheus
test /usr/lib/postgresql/15/bin/postgres postgresql-15
test clickhouse-server clickhouse-server
test /usr/share/java/zookeeper.jar zookeeper
test java default-jre-headless
test npm npm
test docker-compose docker-compose
test qemu-aarch64-static qemu-user-static
test qemu-arm-static qemu-user-static
test jq jq
test git git
test man man-db
test mandoc mandoc
test fish fish
test zsh zsh
test systemd-analyze systemd
kernels qemu-system-x86_64 qemu-system-x86
test xz xz-utils
race,test,lint,libpcap gcc gcc
race,test,lint,libpcap /usr/include/stdlib.h libc6-dev
test,lint,libpcap /usr/include/pcap.h libpcap-dev
test,generate clang clang
test,generate llvm-strip llvm
test,generate /usr/include/bpf/bpf_helpers.h libbpf-dev
test,generate /usr/include/linux/bpf.h linux-libc-dev
test,generate,lint clang-format clang-format
captures knsupdate knot-dnsutils
captures dig bind9-dnsutils
captures tshark tshark
captures /usr/lib/python3/dist-packages/scapy python3-scapy
minutes debootstrap debootstrap
T
}

die() {
  echo "install-tools.sh: $*" >&2
  exit 1
}

group=${1:-}
groups='run|test|kernels|race|bench|generate|lint|libpcap|captures|minutes'
[[ $# == 1 && $group =~ ^($groups)$ ]] || die "usage: install-tools.sh $groups"
here=$(cd "$(dirname "$0")" && pwd)

# Debian has no package of this one. The user builds it; the tests of root find it in build/tools.
statsd() {
  local tools=$here/../../build/tools
  ! command -v statsd_exporter >/dev/null && [[ ! -x $tools/statsd_exporter ]] || return 0
  [[ $EUID != 0 || ! -x $("$here/go.sh" env GOPATH)/bin/statsd_exporter ]] || return 0
  echo "building statsd_exporter into build/tools (about 18 MB of Go modules to download)"
  "$here/as-user.sh" mkdir -p "$tools"
  "$here/as-user.sh" env GOBIN="$(cd "$tools" && pwd)" "$here/go.sh" install github.com/prometheus/statsd_exporter@v0.31.0
}
if [[ $group == test ]]; then statsd; fi

# Nor of these. They are fetched with a package of the list, so they come last.
fetched() {
  [[ $group == test ]] || return 0
  "$here/as-user.sh" "$here/chdb.sh"
  "$here/as-user.sh" "$here/grafana-types.sh"
}

# These folders are not in the PATH of users other than root.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

names=() packages=()
while read -r groups name package; do
  [[ ,$groups, == *,$group,* ]] || continue
  case $name in
    /*) [[ ! -e $name ]] || continue ;;
    *) ! command -v "$name" >/dev/null || continue ;;
  esac
  names+=("$name")
  [[ " ${packages[*]:-} " == *" $package "* ]] || packages+=("$package")
done < <(tools)
if [[ ${#names[@]} == 0 ]]; then
  fetched
  exit
fi

if ! command -v apt-get >/dev/null; then
  die "missing: ${names[*]}. This machine has no apt-get: install them yourself. Debian has them in the packages ${packages[*]}."
fi
# size prints how much apt-get would download, in MB, with the packages that these need; nothing if the lists are missing.
size() {
  apt-get -qq -y -o Debug::NoLocking=1 --print-uris --no-install-recommends install "${packages[@]}" 2>/dev/null |
    awk '$3 > 0 { sum += $3; n++ } END { if (n) printf " (%d packages with what they need, %.0f MB to download)", n, sum / 1e6 }'
}
if [[ $EUID != 0 ]]; then
  echo "missing: ${names[*]}. To install: ${packages[*]}$(size)"
  command -v sudo >/dev/null || die "this machine has no sudo. As root: apt-get install --no-install-recommends ${packages[*]}"
  "$here/as-root.sh" "to install them" "$0" "$group" || die "not installed. As root: apt-get install --no-install-recommends ${packages[*]}"
  exit
fi

# Two instances would take each other's policy-rc.d for the machine's.
exec 9>/run/lock/dnsmonster-sensor-install-tools
flock 9

# Maintainer scripts ask policy-rc.d before they start a daemon; 101 means no.
policy=/usr/sbin/policy-rc.d
saved=$policy.before-install-tools
mark='# install-tools.sh: no daemons while it runs'
restore() {
  if [[ -e $policy ]] && grep -qxF "$mark" "$policy"; then rm -f "$policy"; fi
  if [[ -e $saved || -L $saved ]]; then mv -f "$saved" "$policy"; fi
}
restore # after a killed run
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [[ -e $policy || -L $policy ]]; then mv "$policy" "$saved"; fi
printf '%s\n' '#!/bin/sh' "$mark" 'exit 101' >"$policy"
chmod 755 "$policy"

install() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    install --no-install-recommends "${packages[@]}" </dev/null 9>&-
}
log=$(mktemp)
download=$(size) || true
if [[ -z $download ]]; then
  echo "reading Debian's package lists"
  apt-get -q update >"$log" 2>&1 9>&- || true
  download=$(size) || true
fi
echo "installing ${packages[*]}$download"
if ! install >>"$log" 2>&1; then
  # The machine's package lists are outdated.
  apt-get -q update >>"$log" 2>&1 9>&- || true
  install >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    rm -f "$log"
    die "apt-get could not install ${packages[*]}"
  }
fi
rm -f "$log"
fetched 9>&-
