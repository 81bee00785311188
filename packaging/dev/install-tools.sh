#!/usr/bin/env bash
# install-tools.sh run|test|test-all|bench|generate|lint|captures: installs with apt what the make targets of these names
# (captures: userspace/worker/testdata/make.sh) call, where it is missing. Where all is there it needs no network, no root and
# no time. No daemon is started: the tests start their own.
#   run       make demo: a DNS server and a client in network namespaces
#   test      servers, load generators and network tools for the tests; and the compiler, to compare what is committed
#   test-all  the same, and the emulator for old kernels
#   bench     a DNS server, a load generator and a recorder for make bench and bench-live
#   generate  the compiler for bpf/
#   lint      the formatter of bpf/
#   captures  servers and dissectors that make the tests' captures anew
set -euo pipefail

# One line for each: groups, what shows that it is there (a command, or a file), Debian's package.
tools() {
  cat <<'T'
run,test,test-all,bench,captures ip iproute2
run,test,test-all,bench,captures knotd knot
run,test,test-all,captures kdig knot-dnsutils
test,test-all knotc knot
test,test-all kxdpgun knot-dnsutils
test,test-all,bench,captures dnsperf dnsperf
test,test-all,bench ethtool ethtool
test,test-all,bench,captures tcpdump tcpdump
test,test-all editcap wireshark-common
test,test-all mergecap wireshark-common
test,test-all dumpcap wireshark-common
test,test-all zstd zstd
test,test-all lz4 lz4
test,test-all promtool prometheus
test,test-all /usr/lib/postgresql/15/bin/postgres postgresql-15
test,test-all man man-db
test,test-all mandoc mandoc
test,test-all fish fish
test,test-all zsh zsh
test,test-all systemd-analyze systemd
test-all qemu-system-x86_64 qemu-system-x86
test,test-all xz xz-utils
test,test-all,generate clang clang
test,test-all,generate llvm-strip llvm
test,test-all,generate /usr/include/bpf/bpf_helpers.h libbpf-dev
test,test-all,generate /usr/include/linux/bpf.h linux-libc-dev
test,test-all,generate,lint clang-format clang-format
captures knsupdate knot-dnsutils
captures unbound unbound
captures named bind9
captures dig bind9-dnsutils
captures dnsdist dnsdist
captures tshark tshark
captures /usr/lib/python3/dist-packages/scapy python3-scapy
T
}

die() {
  echo "install-tools.sh: $*" >&2
  exit 1
}

group=${1:-}
[[ $# == 1 && $group =~ ^(run|test|test-all|bench|generate|lint|captures)$ ]] || die "usage: install-tools.sh run|test|test-all|bench|generate|lint|captures"

# What Debian does not have comes through the Go module proxy, into the folder of `go install`.
if [[ $group == test* ]] && command -v go >/dev/null && ! command -v statsd_exporter >/dev/null &&
  [[ ! -x $(go env GOPATH)/bin/statsd_exporter ]]; then
  GOBIN=$(go env GOPATH)/bin go install github.com/prometheus/statsd_exporter@v0.31.0
fi

# Debian keeps the administrator's commands where other users' PATH does not look.
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
[[ ${#names[@]} != 0 ]] || exit 0

if ! command -v apt-get >/dev/null; then
  die "missing: ${names[*]}. This machine has no apt-get: install them yourself. Debian has them in the packages ${packages[*]}."
fi
if [[ $EUID != 0 ]]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    exec sudo -n -- env ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$0" "$group"
  fi
  die "missing: ${names[*]}. As root: apt-get install --no-install-recommends ${packages[*]}"
fi

# Two of us would take each other's policy for the machine's.
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
restore # after one that was killed
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
echo "installing ${packages[*]}"
log=$(mktemp)
if ! install >"$log" 2>&1; then
  # The machine's lists are missing, or older than what the mirror has.
  apt-get -q update >>"$log" 2>&1 9>&- || true
  install >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    rm -f "$log"
    die "apt-get could not install ${packages[*]}"
  }
fi
rm -f "$log"
