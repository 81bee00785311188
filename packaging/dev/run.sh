#!/usr/bin/env bash
# run.sh [OPTION...]: captures to the terminal, for make run: from the interfaces IFACE, or from that of the default route, or
# from all.
set -euo pipefail
cd "$(dirname "$0")/../.."

# defaultRoute prints the interface of the default route, IPv4 before IPv6, without the need for the ip command.
defaultRoute() {
  {
    awk '$2 == "00000000" && $8 == "00000000" { print $7, $1 }' /proc/net/route | sort -n
    # The kernel lists unreachable routes on lo here.
    awk '$1 ~ /^0+$/ && $2 == "00" && $10 != "lo" { print 0, $10 }' /proc/net/ipv6_route
  } 2>/dev/null | awk 'NR == 1 { print $2 }'
}

read -ra interfaces <<<"${IFACE:-}"
why="IFACE"
if [[ ${#interfaces[@]} == 0 ]]; then
  interfaces=("$(defaultRoute)")
  why="the interface of the default route; another one: make run IFACE=NAME"
fi
if [[ -z ${interfaces[0]} ]]; then
  interfaces=(any)
  # Not from /sys/class/net: in a container that may show the host's.
  names=$(sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/net/dev | tr '\n' ' ')
  why="there is no default route, so all interfaces that are up, of ${names% }; one of them: make run IFACE=NAME"
fi
if [[ $why != IFACE ]]; then
  echo "capturing from ${interfaces[*]} ($why). Ctrl-C ends." >&2
fi
exec packaging/dev/as-root.sh "to capture" ./dnsmonster-sensor attach "${interfaces[@]}" "$@"
