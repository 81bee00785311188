//go:build linux

package ring

import (
	"fmt"
	"slices"

	"dnsmonster-sensor/bpf"
)

// HiddenBy describes what the programs and sockets on an interface hide from us.
func HiddenBy(n *bpf.Neighbours) []string {
	var list []string
	switch {
	case n.XDP == nil:
	case bpf.IsTap(n.XDP.Name):
		list = append(list, fmt.Sprintf("XDP program %s, the tap of a sensor, runs first and drops all that arrives", n.XDP.Program))
	case !bpf.IsOurs(n.XDP.Name):
		list = append(list, fmt.Sprintf("XDP program %s runs first: packets that it drops, answers or redirects are not seen", n.XDP.Program))
	}
	if n.XSKs > 0 {
		list = append(list, fmt.Sprintf("%d AF_XDP sockets (Knot's listen-xdp, dnsdist's XSK): packets that they receive and send are not seen", n.XSKs))
	}
	for _, side := range []struct {
		name     string
		programs []bpf.Program
		filters  []bpf.Filter
	}{{"ingress", n.TCXIngress, n.Ingress}, {"egress", n.TCXEgress, n.Egress}} {
		const advice = "runs before ours at %s: packets for which it ends the chain are not seen"
		ours := slices.IndexFunc(side.programs, func(p bpf.Program) bool { return bpf.IsOurs(p.Name) })
		filter := slices.IndexFunc(side.filters, func(f bpf.Filter) bool { return f.Name == bpf.FilterName })
		ahead := side.programs[:max(ours, 0)]
		if ours < 0 && filter >= 0 { // TCX comes before all filters
			ahead = side.programs
		}
		for _, p := range ahead {
			list = append(list, fmt.Sprintf("TCX program %s "+advice+"; start the sensor again", p, side.name))
		}
		for _, f := range side.filters[:max(filter, 0)] {
			list = append(list, fmt.Sprintf("filter %s "+advice+"; give it a higher priority number than ours, and start the sensor again", f, side.name))
		}
	}
	return list
}
