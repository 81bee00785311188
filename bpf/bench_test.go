//go:build linux

package bpf

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// A figure is the minimum of many short runs. The programs take turns, so that other
// load on the machine hits all of them alike.
const (
	benchRounds  = 60
	benchRepeats = 8000
	benchRing    = 32 << 20 // holds one round's records, even of 1400 bytes
)

type benchCase struct {
	name   string
	prog   *ebpf.Program
	packet []byte
	ring   *Ring   // drained after each round
	wanted float64 // target: ns beyond the empty program; infinite: none
	best   float64
}

// BenchmarkPrograms runs the programs on single packets and prints a table of what
// each costs. It ignores b.N.
func BenchmarkPrograms(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root: it loads programs into the kernel")
	}
	cases := benchCases(b)
	for range benchRounds {
		for i := range cases {
			cases[i].run(b)
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-34s %8s %8s %8s\n", "", "ns", "+empty", "wanted")
	var empty float64
	for _, c := range cases {
		if c.wanted == 0 {
			empty = c.best
			fmt.Fprintf(&table, "%-34s %8.1f\n", c.name, c.best)
			continue
		}
		fmt.Fprintf(&table, "%-34s %8.1f %+8.1f", c.name, c.best, c.best-empty)
		if !math.IsInf(c.wanted, 1) {
			fmt.Fprintf(&table, " %+8.0f", c.wanted)
		}
		table.WriteByte('\n')
		b.ReportMetric(c.best-empty, strings.ReplaceAll(c.name, " ", "-")+"-ns")
	}
	fmt.Print(table.String()) // b.Log shows ten lines
}

func (c *benchCase) run(b *testing.B) {
	_, d, err := c.prog.Benchmark(c.packet, benchRepeats, nil)
	if err != nil {
		b.Fatalf("%s: %v", c.name, err)
	}
	if ns := float64(d.Nanoseconds()); c.best == 0 || ns < c.best {
		c.best = ns
	}
	if c.ring == nil {
		return
	}
	n := 0
	for _, ok := c.ring.Next(); ok; _, ok = c.ring.Next() {
		n++
	}
	c.ring.Release()
	// An interrupted system call starts again, so there may be more.
	if n < benchRepeats {
		b.Fatalf("%s: %d of %d packets in the ring", c.name, n, benchRepeats)
	}
}

func benchCases(b *testing.B) []benchCase {
	load := func(o Options) (*Kernel, *Ring) {
		o.Ports, o.Rings, o.RingBytes, o.XDP = []uint16{53}, 1, benchRing, true
		k, err := Load(o)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { k.Close() })
		return k, k.Rings()[0]
	}
	all, ring := load(Options{})
	sampled, _ := load(Options{Keep: 1, Of: 1 << 30})
	flow, _ := load(Options{Keep: 1, Of: 1 << 30, FlowSampling: true})
	tc := func(k *Kernel) *ebpf.Program { return k.coll.Programs[sensorProgTcIngressEth] }
	xdp := all.coll.Programs[sensorProgXdpEth]
	noTarget := math.Inf(1)
	other := eth(0x0800, ip4(a4, b4, 17, udp(40000, 443, fill(38))))
	other6 := eth(0x86dd, ip6(a6, b6, 6, tcp(40000, 443, fill(38))))
	arp := eth(0x0806, fill(46))
	return []benchCase{
		{name: "tc empty", prog: verdictProgram(b, ebpf.SchedCLS, tcActUnspec), packet: query4(80)},
		{name: "tc other port", prog: tc(all), packet: other, wanted: 10},
		{name: "tc other port IPv6 TCP", prog: tc(all), packet: other6, wanted: 10},
		{name: "tc ARP", prog: tc(all), packet: arp, wanted: 10},
		{name: "tc sampled out by count", prog: tc(sampled), packet: query4(80), wanted: 10},
		{name: "tc sampled out by flow", prog: tc(flow), packet: query4(80), wanted: 10},
		{name: "tc captured 80", prog: tc(all), packet: query4(80), ring: ring, wanted: 130},
		{name: "tc captured 300", prog: tc(all), packet: query4(300), ring: ring, wanted: noTarget},
		{name: "tc captured 1400", prog: tc(all), packet: query4(1400), ring: ring, wanted: noTarget},
		{name: "xdp empty", prog: verdictProgram(b, ebpf.XDP, xdpPass), packet: query4(80)},
		{name: "xdp other port", prog: xdp, packet: other, wanted: 10},
		{name: "xdp captured 80", prog: xdp, packet: query4(80), ring: ring, wanted: 130},
		{name: "xdp captured 1400", prog: xdp, packet: query4(1400), ring: ring, wanted: noTarget},
	}
}
