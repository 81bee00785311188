//go:build linux

package main

import (
	"os"
	"testing"

	"dnsmonster-sensor/test/bench/generator"
	"dnsmonster-sensor/test/lab/tier"
)

// benchEnv makes the test binary run the benchmark's main, so that it can be the
// reference.
const benchEnv = "SENSOR_BENCH_ACT"

func TestMain(m *testing.M) {
	if os.Getenv(benchEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestLoadOnReference: the reference sees every sent frame, loses none at a low rate, and
// is partly idle.
func TestLoadOnReference(t *testing.T) {
	tier.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	h, err := newHost(t.Context())
	if err != nil {
		t.Skip(err)
	}
	defer h.remove()
	store, err := storeOf(writeCapture(t, "a.example.org.", "bb.example.org."))
	if err != nil {
		t.Fatal(err)
	}
	g, err := generator.New(store)
	if err != nil {
		t.Skipf("live frames need Linux 5.18: %v", err)
	}
	defer g.Close()
	l := &liveBench{h, g, 1}
	const rate = 2000
	r, err := l.try(t.Context(), &way{name: plain}, []string{"env", benchEnv + "=1", os.Args[0], "reference-live", readIface}, rate)
	if err != nil {
		t.Fatal(err) // also if the numbers of sent and seen frames differ
	}
	if r.Sent != rate || r.lost != 0 || r.cpu <= 0 || r.Idle <= 0 {
		t.Errorf("%+v", r)
	}
}
