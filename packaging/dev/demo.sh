#!/usr/bin/env bash
# demo.sh: a DNS server, a client and the sensor between them, in network namespaces of their own. It does not change the
# host and cleans up at the end. Needs root and: ip, knotd, kdig.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ $EUID == 0 ]] || { echo "make demo makes network namespaces: run it as root (sudo make demo)" >&2; exit 1; }
[[ -x ./dnsmonster-sensor ]] || { echo "build first: make build" >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin
dir=$(mktemp -d) server=sensor-demo-server-$$ client=sensor-demo-client-$$ knot='' sensor=''
cleanup() {
  for p in $sensor $knot; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$server" 2>/dev/null || true
  ip netns del "$client" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }

say "A veth pair joins two network namespaces: a DNS server at 192.0.2.1, a client at 192.0.2.2"
ip netns add "$server"
ip netns add "$client"
ip link add name demo0 netns "$server" type veth peer name demo1 netns "$client"
ip -n "$server" addr add 192.0.2.1/24 dev demo0
ip -n "$client" addr add 192.0.2.2/24 dev demo1
ip -n "$server" link set demo0 up
ip -n "$client" link set demo1 up

cat >"$dir/example.org.zone" <<'Z'
$ORIGIN example.org.
$TTL 300
@ SOA ns1 hostmaster 1 7200 3600 1209600 300
@ NS ns1
ns1 A 192.0.2.1
www A 192.0.2.80
www AAAA 2001:db8::80
@ MX 10 mail
mail A 192.0.2.25
@ TXT "v=spf1 mx -all"
Z
cat >"$dir/knot.conf" <<K
server:
    rundir: $dir
    listen: 192.0.2.1@53
database:
    storage: $dir
zone:
  - domain: example.org
    storage: $dir
    file: example.org.zone
    zonefile-sync: -1
    journal-content: none
K
ip netns exec "$server" knotd -c "$dir/knot.conf" >"$dir/knot.log" 2>&1 &
knot=$!
ask() { ip netns exec "$client" kdig +timeout=1 +retry=0 @192.0.2.1 "$@"; }
for _ in $(seq 50); do ask example.org SOA +short >/dev/null 2>&1 && break; sleep 0.1; done

say "dnsmonster-sensor attach demo0    (records on the terminal; a summary at the end)"
ip netns exec "$server" ./dnsmonster-sensor attach demo0 2>"$dir/sensor.log" &
sensor=$!
until grep -q 'Ctrl-C ends' "$dir/sensor.log"; do
  kill -0 "$sensor" 2>/dev/null || { cat "$dir/sensor.log" >&2; exit 1; }
  sleep 0.1
done
for q in "www.example.org A" "www.example.org AAAA" "example.org MX" "example.org TXT +edns +dnssec" "no.example.org A"; do
  # shellcheck disable=SC2086
  ask $q >/dev/null 2>&1 || true
done
sleep 1
say "Ctrl-C:"
kill -INT "$sensor"
wait "$sensor" && status=0 || status=$?
sensor=''
cat "$dir/sensor.log" >&2
exit "$status"
