#!/usr/bin/env bash
# record-dnstap.sh resolver FILE [FRAMES]: records at least FRAMES frames (default 1,000,000) of unbound into a Frame Streams
# file: queries and responses of its clients, and its own to an authoritative server.
# record-dnstap.sh servers FOLDER [QUERIES]: records unbound, named, Knot DNS, Knot Resolver, dnsdist and PowerDNS Recursor, each
# into a file of its own, while they answer QUERIES queries (default 500) over UDP, TCP, IPv4 and IPv6.
# It needs root, for a network namespace without any link, and the tools of install-tools.sh test.
set -euo pipefail
usage() {
  sed -n '2,6s/^# //p' "$0" >&2
  exit 1
}
[[ $# -ge 2 && $1 =~ ^(resolver|servers)$ ]] || usage
[[ $EUID == 0 ]] || {
  echo "record-dnstap.sh: needs root, to make a network namespace" >&2
  exit 1
}
here=$(cd "$(dirname "$0")" && pwd)
configs=$here/../../test/lab/dnstap
PATH=$PATH:/usr/sbin:/sbin
if [[ -z ${RECORD_DNSTAP_INSIDE:-} ]]; then
  export RECORD_DNSTAP_INSIDE=1
  exec unshare --net --uts --mount --propagation private "$0" "$@"
fi
ip link set lo up
hostname ns.example.org # most servers take it for their identity

# The servers see an own /run: their sockets are those of docs/dnstap.md.
mount -t tmpfs none /run
dir=$(mktemp -d /run/record-dnstap.XXXXXX)
jobs=()
stop() {
  local pid=$1
  kill "$pid" 2>/dev/null || return 0
  wait "$pid" 2>/dev/null || true
}
trap 'for j in "${jobs[@]}"; do stop "$j"; done' EXIT

# template FILE SNIPPET...: a configuration with the lines that turn dnstap on.
template() {
  local file=$configs/$1 lines=""
  shift
  for s in "$@"; do lines+=$(cat "$configs/$s")$'\n'; done
  local text
  text=$(sed -e "s|@DIR@|$dir|g; s|@ADDR@|127.0.0.1|g; s|@ADDR6@|::1|g" "$file")
  if [[ $text == *@SERVER@* ]]; then
    case $file in
      *unbound*) printf '%s\n%s' "${text/@SERVER@/}" "$lines" ;;
      *) printf '%s\n' "${text/@SERVER@/$lines}" ;;
    esac
  else
    printf '%s\n%s' "$lines" "$text"
  fi
}

# await WHAT COMMAND...: at most half a minute.
await() {
  local what=$1
  shift
  for _ in {1..600}; do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.05
  done
  echo "record-dnstap.sh: not within 30 seconds: $what" >&2
  tail -n 20 "$dir"/*.log >&2
  exit 1
}
answers() { kdig +short +timeout=1 +retry=0 "@127.0.0.1" -p "$1" www.example.org | grep -q .; }

# start NAME COMMAND...
started=0
start() {
  local name=$1
  shift
  "$@" >"$dir/$name.log" 2>&1 &
  started=$!
  jobs+=("$started")
}

# zone NAMES: hosts with addresses, aliases, and a few long texts. queries COUNT NAMES asks for them, few names often.
zone() {
  awk -v names="$1" 'BEGIN {
    srand(1)
    print "$ORIGIN example.org.\n$TTL 300\n@ SOA ns1 hostmaster 1 7200 3600 1209600 30\n@ NS ns1\nns1 A 192.0.2.1"
    print "@ MX 10 mail\n@ TXT \"v=spf1 mx -all\"\nwww A 192.0.2.80\nwww AAAA 2001:db8::80\nmail A 192.0.2.25"
    for (i = 0; i < names; i++) {
      n = name(i)
      if (i % 10 == 3) { print n, "CNAME", name(i - 3); continue }
      for (k = 0; k <= i % 3; k++) printf "%s A 198.51.100.%d\n", n, (i + k) % 256
      if (i % 3) printf "%s AAAA 2001:db8:1::%x:%x\n", n, int(i / 65536), i % 65536
      if (i % 20 == 7) printf "%s TXT \"%s\"\n", n, substr("a text that a site publishes for others to check, as long as those are that one sees in the field, more or less", 1, 20 + i % 90)
      if (i % 20 == 8) printf "%s MX 10 mail\n", n
    }
  }'"$names"
}
names='
function name(i,   s, k) {
  s = syllable(i) syllable(int(i / 40)) syllable(int(i / 1600)) syllable(int(i / 64000))
  if (i % 4 == 1) return "www." s
  if (i % 4 == 2) return s "-" i ".cdn.eu-west"
  if (i % 16 == 3) return "e" i ".a." s ".edge"
  return s i % 7
}
function syllable(i) { return substr("bacadafagahajakalamanapasatavabecedefegehejekelemenepesetevebicidifigihijikilimi", 1 + i % 40 * 2, 2) }
'
queries() {
  awk -v count="$1" -v names="$2" 'BEGIN {
    srand(2)
    for (q = 0; q < count; q++) {
      i = int(exp(rand() * log(names)) - 1)
      if (rand() < 0.12) i = int(rand() * names)
      r = rand()
      type = r < 0.6 ? "A" : r < 0.85 ? "AAAA" : r < 0.95 ? "TYPE65" : r < 0.98 ? "TXT" : "MX"
      n = name(i) ".example.org"
      if (rand() < 0.06) n = "no" int(rand() * 100000) "." n
      print n, type
    }
  }'"$names"
}

# record SOCKET FILE: receives on a socket. finish ends that, and the file.
record() {
  start receiver fstrm_capture -t protobuf:dnstap.Dnstap -u "$1" -w "$2"
  receiver=$started
  await "a socket $1" test -S "$1"
  chmod 777 "$1"
}
finish() { stop "$receiver"; }

resolver() {
  local file=$1 frames=$2 hosts=200000
  zone "$hosts" >"$dir/example.org.zone"
  template knot.conf | sed '/^mod-dnstap/,/^$/d' >"$dir/knot.conf"
  start knot knotd -c "$dir/knot.conf"
  record /run/dnsmonster.sock "$file"
  template unbound.conf unbound.unix unbound.resolver >"$dir/unbound.conf"
  start unbound unbound -c "$dir/unbound.conf"
  local unbound=$started
  await "an answer from Knot DNS" answers 5300
  await "an answer from unbound" answers 5301
  # Two frames for each query, and two for each lookup: a third or more of the queries need one.
  queries $((frames * 32 / 100)) "$hosts" >"$dir/queries"
  dnsperf -s 127.0.0.1 -p 5301 -d "$dir/queries" -n 1 -Q "${RATE:-8000}" -c 50 -T 1 -e -q 500 | grep -E 'Queries|Run time'
  sleep 1.5 # what unbound still holds back
  stop "$unbound"
  finish
}

servers() {
  local folder=$1 count=$2 name port server
  mkdir -p "$folder"
  zone 1000 >"$dir/example.org.zone"
  queries "$count" 1000 >"$dir/queries"
  cp "$configs/rndc.key" "$dir/"
  cp "$configs/recursor.unix" "$dir/recursor.lua"
  template knot.conf >"$dir/knot.conf"
  start authority knotd -c "$dir/knot.conf"
  local authority=$started
  await "an answer from Knot DNS" answers 5300
  for server in unbound:5301 named:5302 dnsdist:5303 recursor:5304 kresd:5305 knot:5300; do
    name=${server%:*} port=${server#*:}
    record /run/dnsmonster.sock "$folder/$name.fstrm"
    local conf=$dir/$name.conf snippets=("$name.unix")
    case $name in
      unbound) snippets+=(unbound.resolver) ;;
      recursor) snippets=() ;;
    esac
    template "$name.conf" "${snippets[@]}" >"$conf"
    case $name in
      unbound) start "$name" unbound -c "$conf" ;;
      named) start "$name" named -g -n 1 -c "$conf" ;;
      dnsdist) start "$name" dnsdist --supervised -C "$conf" ;;
      recursor) start "$name" pdns_recursor --config-dir="$dir" ;;
      kresd) start "$name" kresd -n -c "$conf" "$dir" ;;
      knot)
        stop "$authority"
        start "$name" knotd -c "$conf"
        ;;
    esac
    local daemon=$started
    await "an answer from $name" answers "$port"
    for options in "-s 127.0.0.1" "-s ::1 -f inet6 -m tcp -e"; do
      # shellcheck disable=SC2086
      dnsperf $options -p "$port" -d "$dir/queries" -n 1 -Q 2000 -c 4 -T 1 -q 50 | grep -E 'Queries (completed|lost)' | sed "s/^ */$name: /"
    done
    sleep 1.5 # what the server still holds back
    stop "$daemon"
    finish
    rm -f /run/dnsmonster.sock
  done
}

case $1 in
  resolver) resolver "$(realpath "$2")" "${3:-1000000}" ;;
  servers) servers "$(realpath "$2")" "${3:-500}" ;;
esac
