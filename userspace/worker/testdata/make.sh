#!/usr/bin/env bash
# make.sh: remakes the captures in this folder, and the lists of the DNS messages that tshark finds in them. Real servers
# (Knot, Unbound, BIND, dnsdist) answer real clients in network namespaces; tcpdump records them. wrap.py adds the headers that
# this kernel has no device for. Needs root, and what `packaging/dev/install-tools.sh captures` installs.
# The captures are committed: run this only to change them.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
[[ $EUID == 0 ]] || { echo "make.sh makes network namespaces: run it as root" >&2; exit 1; }
../../../packaging/dev/install-tools.sh captures

dir=$(mktemp -d) server=captures-server-$$ client=captures-client-$$ pids=() dumps=()
cleanup() {
  for p in "${dumps[@]}" "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$server" 2>/dev/null || true
  ip netns del "$client" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

# Two hosts on one wire, and a VXLAN between them.
ip netns add "$server"
ip netns add "$client"
ip link add srv0 netns "$server" type veth peer name cli0 netns "$client"
setup() { # NAMESPACE DEVICE LAST-BYTE OTHER-END
  ip -n "$1" addr add "192.0.2.$3/24" dev "$2"
  ip -n "$1" addr add "2001:db8::$3/64" dev "$2" nodad
  ip -n "$1" link set lo up
  ip -n "$1" link set "$2" up
  ip -n "$1" link add vx0 type vxlan id 7 dstport 4789 local "192.0.2.$3" remote "192.0.2.$4" dev "$2"
  ip -n "$1" addr add "198.51.100.$3/24" dev vx0
  ip -n "$1" link set vx0 up
}
setup "$server" srv0 1 2
setup "$client" cli0 2 1
for n in 11 12 13; do ip -n "$server" addr add "192.0.2.$n/24" dev srv0; done
on_client() { ip netns exec "$client" "$@"; }

# The zone: small records, answers that need fragments (TXT of 3 KB) or TCP (60 KB), and names of any bytes.
{
  cat <<'Z'
$ORIGIN example.org.
$TTL 300
@ SOA ns1 hostmaster 1 7200 3600 1209600 300
@ NS ns1
@ NS ns2
@ MX 10 mail
ns1 A 192.0.2.1
ns1 AAAA 2001:db8::1
ns2 A 192.0.2.12
www A 192.0.2.80
www AAAA 2001:db8::80
mail A 192.0.2.25
alias CNAME www
_sip._udp SRV 1 2 5060 www
svc HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.80
a\.b\032c\200 TXT "odd"
Z
  for i in $(seq 14); do printf 'large TXT "%s"\n' "$(printf "large-$i-%.0s" $(seq 25))"; done
  for i in $(seq 100); do printf 'host-%d A 198.51.100.%d\n' "$i" "$i"; done
} >"$dir/example.org.zone"
{
  printf '$ORIGIN huge.example.org.\n$TTL 300\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1.example.org.\n'
  for i in $(seq 250); do printf '@ TXT "%s"\n' "$(printf "h$i-%.0s" $(seq 47))"; done
} >"$dir/huge.example.org.zone"

cat >"$dir/knot.conf" <<K
server:
    rundir: $dir
    listen: [ 192.0.2.1@53, 2001:db8::1@53, 198.51.100.1@53 ]
    udp-max-payload: 4096
database:
    storage: $dir
remote:
  - id: bind
    address: 192.0.2.12@53
acl:
  - id: all
    address: [ 192.0.2.0/24 ]
    action: [ transfer, update ]
template:
  - id: default
    storage: $dir
    file: "%s.zone"
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    acl: all
zone:
  - domain: example.org
    dnssec-signing: on
    notify: bind
  - domain: huge.example.org
K
cat >"$dir/unbound.conf" <<U
server:
    chroot: ""
    username: ""
    directory: "$dir"
    pidfile: ""
    use-syslog: no
    interface: 192.0.2.11
    outgoing-interface: 192.0.2.11
    access-control: 192.0.2.0/24 allow
    do-not-query-localhost: no
    module-config: "iterator"
stub-zone:
    name: "example.org"
    stub-addr: 192.0.2.1
U
cat >"$dir/named.conf" <<N
controls { };
options {
    directory "$dir"; pid-file none; session-keyfile "$dir/session.key";
    listen-on { 192.0.2.12; }; listen-on-v6 { none; }; recursion no; notify no; dnssec-validation no;
};
zone "example.org" { type secondary; primaries { 192.0.2.1; }; file "$dir/secondary.zone"; masterfile-format text; };
N
cat >"$dir/dnsdist.conf" <<D
setLocal("192.0.2.13:53")
setACL("192.0.2.0/24")
newServer({address="192.0.2.1:53", useClientSubnet=true, checkName="ns1.example.org."})
setECSSourcePrefixV4(24)
D

start() { ip netns exec "$server" "$@" >"$dir/$1.log" 2>&1 & pids+=($!); }
until_answers() { for _ in $(seq 100); do on_client kdig +timeout=1 +retry=0 "@$1" example.org SOA 2>/dev/null | grep -q NOERROR && return; sleep 0.1; done; tail -n 20 "$dir"/*.log >&2; echo "no answer from $1" >&2; exit 1; }
start knotd -c "$dir/knot.conf"
until_answers 192.0.2.1
start unbound -d -c "$dir/unbound.conf"
start dnsdist --supervised --disable-syslog -C "$dir/dnsdist.conf"

# record FILE NAMESPACE TCPDUMP-OPTION...: until stop.
record() {
  local file=$1 namespace=$2
  shift 2
  rm -f "$dir/tcpdump.log"
  ip netns exec "$namespace" tcpdump -q -U --immediate-mode -B 16384 -n -Z root -w "$here/$file" "$@" >"$dir/tcpdump.log" 2>&1 &
  dumps+=($!)
  for _ in $(seq 50); do grep -qs "listening on" "$dir/tcpdump.log" && return; sleep 0.1; done
  cat "$dir/tcpdump.log" >&2
  exit 1
}
stop() {
  sleep 0.5
  kill "${dumps[@]}"
  wait "${dumps[@]}" || true
  dumps=()
}
ask() { on_client kdig +timeout=2 +retry=0 +noidn "$@" >"$dir/kdig.log" 2>&1 || { cat "$dir/kdig.log" >&2; exit 1; }; }
port='port 53'
small=(www.example.org A www.example.org AAAA example.org MX no.example.org A svc.example.org HTTPS)

echo "UDP, EDNS, DNSSEC, truncation"
record udp.pcap "$client" -i cli0 "$port"
for at in 192.0.2.1 2001:db8::1; do
  ask "@$at" "${small[@]}"
  ask "@$at" +edns +bufsize=1232 +nsid +cookie +padding=128 www.example.org A alias.example.org A _sip._udp.example.org SRV
  ask "@$at" +dnssec +bufsize=1232 example.org DNSKEY no.example.org A 'a\.b\032c\200.example.org' TXT
  ask "@$at" +ignore +bufsize=512 large.example.org TXT
  ask "@$at" +noedns +norecurse -c CH version.bind TXT
done
for opcode in STATUS 1 9; do on_client dig +time=1 +tries=1 +opcode=$opcode +norecurse @192.0.2.1 example.org SOA >/dev/null || true; done
stop

echo "the same, of which the first 80 bytes were captured"
record snaplen.pcap "$client" -i cli0 -s 80 "$port"
ask @192.0.2.1 "${small[@]}" -q example.org -t DNSKEY
ask @192.0.2.1 +tcp "${small[@]}"
stop

echo "TCP: several messages in a stream and in a segment, 60 KB, a zone transfer"
printf '%s A\n' www.example.org mail.example.org alias.example.org ns1.example.org >"$dir/queries"
record tcp.pcap "$client" -i cli0 "$port"
ask @192.0.2.1 +tcp +keepopen "${small[@]}"
ask @2001:db8::1 +tcp +dnssec example.org DNSKEY
ask @192.0.2.1 +tcp huge.example.org TXT
ask @192.0.2.1 -t AXFR example.org
on_client dnsperf -m tcp -s 2001:db8::1 -d "$dir/queries" -c 1 -n 3 -q 12 >/dev/null
stop

echo "fragments, IPv4 and IPv6"
record fragments.pcap "$client" -i cli0 "$port or ip[6:2] & 0x3fff != 0 or ip6[6] == 44"
for at in 192.0.2.1 2001:db8::1; do ask "@$at" +bufsize=4096 large.example.org TXT www.example.org A large.example.org TXT; done
stop

echo "VXLAN, by the kernel"
record vxlan.pcap "$client" -i cli0 udp port 4789
ask @198.51.100.1 "${small[@]}"
ask @198.51.100.1 +bufsize=4096 large.example.org TXT
ask @198.51.100.1 +tcp example.org MX
stop

echo "a resolver and its questions, a balancer that adds client subnets: cooked v2"
record cooked2.pcap "$server" -i any -y LINUX_SLL2 "$port"
ask @192.0.2.11 +recurse www.example.org A mail.example.org A
ask @192.0.2.13 www.example.org A svc.example.org HTTPS
ask @192.0.2.13 +tcp example.org MX
stop

echo "NOTIFY, SOA, AXFR, IXFR and UPDATE between two authoritative servers: cooked v1"
record cooked1.pcap "$server" -i any -y LINUX_SLL "$port"
start named -g -c "$dir/named.conf"
until_answers 192.0.2.12
printf 'server 192.0.2.1 53\nzone example.org\nadd new.example.org 60 A 192.0.2.99\nsend\n' | on_client knsupdate >/dev/null
for _ in $(seq 50); do on_client kdig +short @192.0.2.12 new.example.org A | grep -q 192.0.2.99 && break; sleep 0.1; done
stop

echo "what this kernel may have no device for"
/usr/bin/python3 wrap.py
for f in *.pcap; do /usr/bin/python3 list.py "$f" >"$f.tsv"; done
wc -l ./*.tsv | sort -n
du -bc ./*.pcap ./*.tsv | tail -1
