#!/usr/bin/env bash
# install-tools.sh run|test|kernels|race|bench|generate|lint|captures: installs the missing tools of the make target with this
# name (captures: userspace/worker/testdata/make.sh) with apt. If nothing is missing, it needs no network, no root and no time.
# It starts no daemons: the tests start their own.
#   run       make demo: a DNS server and a client in network namespaces
#   test      servers, load generators and network tools for the tests; and the compiler, to compare what is committed
#   kernels   the emulator for old kernels; it needs the tools of test, too
#   race      the compiler that the race detector needs
#   bench     a DNS server, a load generator and a recorder for make bench and bench-live
#   generate  the compiler for bpf/
#   lint      the formatter of bpf/
#   captures  servers and dissectors for recording the tests' captures again
set -euo pipefail

# One line per tool: groups, a command or file that shows that it is installed, Debian package.
tools() {
  cat <<'T'
run,test,bench,captures ip iproute2
run,test,bench,captures knotd knot
run,test,captures kdig knot-dnsutils
test knotc knot
test kxdpgun knot-dnsutils
test,bench,captures dnsperf dnsperf
test,bench ethtool ethtool
test,bench,captures tcpdump tcpdump
test editcap wireshark-common
test mergecap wireshark-common
test dumpcap wireshark-common
test zstd zstd
test lz4 lz4
test promtool prometheus
test /usr/lib/postgresql/15/bin/postgres postgresql-15
test jq jq
test man man-db
test mandoc mandoc
test fish fish
test zsh zsh
test systemd-analyze systemd
kernels qemu-system-x86_64 qemu-system-x86
test xz xz-utils
race gcc gcc
race /usr/include/stdlib.h libc6-dev
test,generate clang clang
test,generate llvm-strip llvm
test,generate /usr/include/bpf/bpf_helpers.h libbpf-dev
test,generate /usr/include/linux/bpf.h linux-libc-dev
test,generate,lint clang-format clang-format
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
[[ $# == 1 && $group =~ ^(run|test|kernels|race|bench|generate|lint|captures)$ ]] || die "usage: install-tools.sh run|test|kernels|race|bench|generate|lint|captures"

# Debian has no package of this one; go install puts it into its usual folder.
if [[ $group == test ]] && command -v go >/dev/null && ! command -v statsd_exporter >/dev/null &&
  [[ ! -x $(go env GOPATH)/bin/statsd_exporter ]]; then
  GOBIN=$(go env GOPATH)/bin go install github.com/prometheus/statsd_exporter@v0.31.0
fi

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
echo "installing ${packages[*]}"
log=$(mktemp)
if ! install >"$log" 2>&1; then
  # The machine's package lists are missing or outdated.
  apt-get -q update >>"$log" 2>&1 9>&- || true
  install >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    rm -f "$log"
    die "apt-get could not install ${packages[*]}"
  }
fi
rm -f "$log"
