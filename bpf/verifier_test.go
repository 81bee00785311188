//go:build linux

package bpf

import (
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
)

// maxVerified is well below the kernel's limit of 1,000,000 steps, beyond which no
// program loads.
const maxVerified = 600_000

var verifiedSteps = regexp.MustCompile(`processed (\d+) insns`)

// TestVerifierSteps: the verifier needs far fewer steps than its limit, with the usual
// options and with all of them.
func TestVerifierSteps(t *testing.T) {
	needRoot(t)
	f := func(name string, o Options) {
		t.Helper()
		o.Ports, o.Rings, o.RingBytes, o.XDP = []uint16{53}, 1, MinRingBytes, HaveXDP() == nil
		if o.Tap && !o.XDP {
			return
		}
		spec, err := loadSensor()
		if err != nil {
			t.Fatal(err)
		}
		if err := configure(spec, o); err != nil {
			t.Fatal(err)
		}
		ring, err := ebpf.NewMap(spec.Maps[sensorMapRings].InnerMap)
		if err != nil {
			t.Fatal(err)
		}
		defer ring.Close()
		spec.Maps[sensorMapRings].Contents = []ebpf.MapKV{{Key: uint32(0), Value: ring}}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer coll.Close()
		var names []string
		for n := range coll.Programs {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			m := verifiedSteps.FindStringSubmatch(coll.Programs[n].VerifierLog)
			if m == nil {
				t.Fatalf("%s, %s: no number of steps in the log: %q", name, n, coll.Programs[n].VerifierLog)
			}
			steps, _ := strconv.Atoi(m[1])
			t.Logf("%s, %s: %d steps", name, n, steps)
			if steps > maxVerified {
				t.Errorf("%s, %s: %d steps, at most %d", name, n, steps, maxVerified)
			}
		}
	}
	all := Options{Keep: 1, Of: 3, SnapLen: 1000, Decap: allTunnels(), TunnelPorts: tunnelPorts()}
	f("usual", Options{})
	f("all tunnels", all)
	all.Tap = true
	f("tap", Options{Tap: true})
	f("tap, all tunnels", all)
}
