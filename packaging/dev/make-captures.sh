#!/usr/bin/env bash
# make-captures.sh small|large OUT.pcap [QUERIES]: records traffic between a real server and real clients, for benchmarks.
#   small   traffic between resolvers and an authoritative server: short names, few records, with and without EDNS, cookies and DO,
#           random case, some names that do not exist; UDP and a little TCP, IPv4 and IPv6
#   large   an authoritative server with DNSSEC: every query asks for signatures (RSA, NSEC3)
# Uses two network namespaces, a veth pair, knotd, dnsperf and tcpdump. Needs root; cleans up at the end. The queries are the
# same each time; their order and timing are not.
set -euo pipefail
kind=${1:-} out=${2:-}
[[ $kind =~ ^(small|large)$ && -n $out ]] || { echo "usage: make-captures.sh small|large OUT.pcap [QUERIES]" >&2; exit 1; }
[[ $EUID == 0 ]] || { echo "make-captures.sh makes network namespaces: run it as root" >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin
for c in ip knotd dnsperf tcpdump awk; do
  command -v "$c" >/dev/null || { echo "make-captures.sh: $c is missing: run packaging/dev/install-tools.sh test" >&2; exit 1; }
done
out=$(realpath "$out")
dir=$(mktemp -d) server=sensor-captures-server-$$ client=sensor-captures-client-$$
knot='' dump='' perfs=()
cleanup() {
  local p
  for p in "${perfs[@]}" $dump $knot; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$server" 2>/dev/null || true
  ip netns del "$client" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

# For each kind: names in the zone, number and rate of queries, how the zone is signed, and the clients: address, share of the
# queries in permille, options of dnsperf.
if [[ $kind == small ]]; then
  names=50000 queries=${3:-487000} rate=20000 nsec3=off algorithm=ecdsap256sha256
  clients=(
    "192.0.2.11 130 -c 100"
    "192.0.2.12 210 -c 100 -e -E 10:0102030405060708"
    "192.0.2.13 150 -c 100 -e"
    "192.0.2.14 210 -c 100 -D"
    "2001:db8::11 50 -c 100"
    "2001:db8::12 100 -c 100 -e -E 10:1112131415161718"
    "2001:db8::13 135 -c 100 -D"
    "192.0.2.15 8 -c 10 -m tcp"
    "192.0.2.16 4 -c 2 -m tcp -D"
    "2001:db8::16 3 -c 4 -m tcp -e"
  )
else
  names=2000 queries=${3:-20000} rate=10000 nsec3=on algorithm=rsasha256
  clients=("192.0.2.11 500 -c 50 -D" "2001:db8::11 485 -c 50 -D" "192.0.2.12 15 -c 4 -m tcp -D")
fi

# The zone, and the names to ask for.
awk -v n="$names" -v list="$dir/names" '
BEGIN {
  srand(1)
  print "$ORIGIN example.org.\n$TTL 300\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\n@ NS ns2\n@ MX 10 mail"
  print "ns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\nns2 A 192.0.2.1\nns2 AAAA 2001:db8::1\nmail A 192.0.2.25"
  for (i = 0; i < n; i++) {
    h = ""
    for (k = 4 + int(rand() * 9); k > 0; k--) h = h sprintf("%c", 97 + int(rand() * 26))
    h = h i (rand() < .3 ? ".dept" i % 17 : "")
    print h > list
    if (i > 20 && rand() < .06) { print h " CNAME " first; continue }
    if (i == 0) first = h
    for (k = 1 + int(rand() * rand() * 4); k > 0; k--) print h " A 198.51.100." (i + k) % 256
    if (rand() < .7) printf "%s AAAA 2001:db8:%x:%x::%x\n", h, i / 65536, i % 65536, 1 + i % 200
    if (rand() < .3) print h " TYPE65 \\# 13 00010000010006026832026833"
    if (rand() < .15) print h " MX 10 mail"
    if (rand() < .15) print h " TXT \"v=spf1 ip4:198.51.100.0/24 include:example.org -all\""
    if (rand() < .03) print h " SRV 0 5 443 mail"
  }
}' >"$dir/example.org.zone"

ask() { # number seed: prints this number of queries
  awk -v q="$1" -v seed="$2" '
  { name[NR] = $1 }
  END {
    srand(seed)
    for (k = 0; k < q; k++) {
      r = rand()
      t = r < .48 ? "A" : r < .74 ? "AAAA" : r < .88 ? "TYPE65" : r < .92 ? "MX" : r < .96 ? "TXT" : r < .97 ? "SRV" : r < .98 ? "NS" : r < .99 ? "SOA" : "DS"
      r = rand()
      h = name[1 + int(NR * r * r * r)] ".example.org"   # a few names are asked for more often than the others
      r = rand()
      if (r < .08) h = "nx" int(rand() * 1e6) "." h
      else if (r < .12) h = "no-such-" int(rand() * 1e6) ".example.org"
      else if (r < .125) h = "www" k % 97 ".elsewhere.example"
      if (rand() < .33) { m = ""; for (i = 1; i <= length(h); i++) { c = substr(h, i, 1); m = m (rand() < .5 ? toupper(c) : c) }; h = m }
      print h, t
    }
  }' "$dir/names"
}
for i in "${!clients[@]}"; do
  read -r _ share _ <<<"${clients[i]}"
  ask $((queries * share / 1000)) "$i" >"$dir/queries$i"
done

ip netns add "$server"
ip netns add "$client"
ip link add name srv0 netns "$server" type veth peer name cli0 netns "$client"
for x in "$server srv0" "$client cli0"; do
  read -r ns dev <<<"$x"
  # Record packets as on a wire: no segments beyond the MTU, no checksums left to hardware.
  ! command -v ethtool >/dev/null || ip netns exec "$ns" ethtool -K "$dev" tx off rx off tso off gso off gro off >/dev/null 2>&1 || true
  ip -n "$ns" link set lo up
  ip -n "$ns" link set "$dev" txqueuelen 10000 up
done
ip -n "$server" addr add 192.0.2.1/24 dev srv0
ip -n "$server" addr add 2001:db8::1/64 dev srv0 nodad
for c in "${clients[@]}"; do
  read -r addr _ <<<"$c"
  if [[ $addr == *:* ]]; then ip -n "$client" addr add "$addr/64" dev cli0 nodad; else ip -n "$client" addr add "$addr/24" dev cli0; fi
done

mkdir "$dir/db"
cat >"$dir/knot.conf" <<K
server:
    rundir: $dir
    listen: [ 192.0.2.1@53, 2001:db8::1@53 ]
    udp-workers: 1
    tcp-workers: 1
database:
    storage: $dir/db
policy:
  - id: signed
    algorithm: $algorithm
    single-type-signing: on
    nsec3: $nsec3
zone:
  - domain: example.org
    storage: $dir
    file: example.org.zone
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    dnssec-signing: on
    dnssec-policy: signed
log:
  - target: stderr
    any: warning
K
ip netns exec "$server" knotd -c "$dir/knot.conf" >"$dir/knot.log" 2>&1 &
knot=$!
echo "example.org SOA" >"$dir/soa"
up=no
for _ in $(seq 240); do
  kill -0 "$knot" 2>/dev/null || break
  # Signing takes a while; until then the answer is SERVFAIL.
  if ip netns exec "$client" dnsperf -s 192.0.2.1 -d "$dir/soa" -n 1 -t 1 2>/dev/null | grep -q 'NOERROR 1 '; then up=yes; break; fi
  sleep 0.25
done
[[ $up == yes ]] || { echo "make-captures.sh: knotd does not answer:" >&2; tail -5 "$dir/knot.log" >&2; exit 1; }

ip netns exec "$client" tcpdump -i cli0 -n -B 131072 -s 0 -w "$dir/out.pcap" -Z root 'port 53' 2>"$dir/tcpdump.log" &
dump=$!
for _ in $(seq 100); do grep -q 'listening on' "$dir/tcpdump.log" && break; sleep 0.1; done
for i in "${!clients[@]}"; do
  read -r addr share options <<<"${clients[i]}"
  family=inet to=192.0.2.1
  [[ $addr != *:* ]] || { family=inet6; to=2001:db8::1; }
  # shellcheck disable=SC2086
  ip netns exec "$client" dnsperf -f $family -s $to -a "$addr" -d "$dir/queries$i" -n 1 -T 1 -q 200 \
    -Q $((rate * share / 1000 + 1)) $options >"$dir/perf$i" 2>&1 &
  perfs+=($!)
done
for p in "${perfs[@]}"; do wait "$p" || true; done
perfs=()
sleep 1
kill -INT "$dump"
wait "$dump" || true
dump=''
mv "$dir/out.pcap" "$out"
grep -E 'captured' "$dir/tcpdump.log" >&2
