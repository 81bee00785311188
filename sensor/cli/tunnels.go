package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// pppoe is a word of --decap that is not a packet.Tunnel.
const pppoe = "pppoe"

// decapWords are the words of --decap.
func decapWords() []string {
	words := []string{"all"}
	for _, t := range packet.Tunnels() {
		words = append(words, t.String())
	}
	return append(words, pppoe)
}

// elements splits the values of an option that can be repeated, and can hold several
// with commas between.
func elements(values []string) (list []string) {
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			list = append(list, strings.ToLower(strings.TrimSpace(e)))
		}
	}
	return list
}

// elementsAsTyped splits a value at its commas.
func elementsAsTyped(value string) (list []string) {
	for e := range strings.SplitSeq(value, ",") {
		list = append(list, strings.TrimSpace(e))
	}
	return list
}

// parseDecap reads the values of --decap: the kinds as capture.Selection has them.
func parseDecap(values []string) (kinds []uint8, err error) {
	for _, word := range elements(values) {
		t, known := packet.ParseTunnel(word)
		switch {
		case known:
			kinds = append(kinds, uint8(t))
		case word == pppoe:
			kinds = append(kinds, capture.PPPoE)
		case word == "all":
			for _, t := range packet.Tunnels() {
				kinds = append(kinds, uint8(t))
			}
			kinds = append(kinds, capture.PPPoE)
		default:
			return nil, fmt.Errorf("unknown kind of tunnel %q: use %s", word, joinOr(decapWords()))
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds), nil
}

// decapNames is the reverse of parseDecap. It returns "none" for no kinds.
func decapNames(kinds []uint8) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = packet.Tunnel(k).String()
		if k == capture.PPPoE {
			names[i] = pppoe
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}

// udpTunnels are the kinds that have ports.
func udpTunnels() (names []string) {
	for _, t := range packet.Tunnels() {
		if len(t.UsualPorts()) > 0 {
			names = append(names, t.String())
		}
	}
	return names
}

// usualPorts lists the ports of each kind, for people.
func usualPorts() string {
	var list []string
	for _, t := range packet.Tunnels() {
		if ports := t.UsualPorts(); len(ports) > 0 {
			list = append(list, t.String()+" "+strings.ReplaceAll(strings.Trim(fmt.Sprint(ports), "[]"), " ", " and "))
		}
	}
	return strings.Join(list, ", ")
}

// parseTunnelPorts reads the values of --tunnelport, KIND:PORT. The kinds that
// are named have these ports, the others their usual ones.
func parseTunnelPorts(values []string) ([]packet.TunnelPort, error) {
	var given []packet.TunnelPort
	for _, v := range elements(values) {
		name, number, _ := strings.Cut(v, ":")
		if !slices.Contains(udpTunnels(), name) {
			return nil, fmt.Errorf("%q: use KIND:PORT with one of %s, such as vxlan:4789", v, strings.Join(udpTunnels(), ", "))
		}
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("%q: a port is a number from 1 to 65535, as in %s:4789", v, name)
		}
		t, _ := packet.ParseTunnel(name)
		for _, p := range given {
			if p.Number == uint16(port) {
				return nil, fmt.Errorf("%q: the port is %s's already", v, p.Tunnel)
			}
		}
		given = append(given, packet.TunnelPort{Number: uint16(port), Tunnel: t})
	}
	ports := given
	for _, p := range packet.UsualTunnelPorts() {
		named := func(g packet.TunnelPort) bool { return g.Tunnel == p.Tunnel || g.Number == p.Number }
		if !slices.ContainsFunc(given, named) {
			ports = append(ports, p)
		}
	}
	if len(ports) > capture.MaxTunnelPorts {
		return nil, fmt.Errorf("%d ports with the usual ones of other tunnels, at most %d", len(ports), capture.MaxTunnelPorts)
	}
	return ports, nil
}
