//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/bench/generator"
)

func TestChooseWays(t *testing.T) {
	names := func(words string) (list []string) {
		chosen, err := choose(ways(), words)
		if err != nil {
			return []string{err.Error()}
		}
		for _, w := range chosen {
			list = append(list, w.name)
		}
		return list
	}
	if got := names("reference,tap"); !slices.Equal(got, []string{"tap", "tap 1:10", "reference"}) {
		t.Errorf("%q", got)
	}
	if got := names(""); len(got) != len(ways()) || got[0] != "tcx" {
		t.Errorf("without words %q", got)
	}
	if got := names("nothing"); len(got) != 1 || !strings.Contains(got[0], "-only nothing") {
		t.Errorf("an unknown word gives %q", got)
	}
}

// TestLiveFigures: costs are medians, without what packets cost anyway, and are compared
// with the first way; a way that does not work here is named with the reason.
func TestLiveFigures(t *testing.T) {
	rounds := func(process, busy time.Duration) (list []trial) {
		for _, disturbed := range []time.Duration{0, 0, time.Second} {
			list = append(list, trial{
				Result: generator.Result{Sent: 1000, Took: time.Second, Each: busy + disturbed},
				cpu:    (process*1000 + disturbed).Seconds(),
			})
		}
		return list
	}
	f := liveFigures{
		options: liveOptions{sensor: "/no/such/sensor", rate: 50000, rounds: 3}, host: &host{}, nobody: 400, capture: "small",
		ways: []*way{
			{name: "tcx", paced: rounds(500, 700), best: trial{Result: generator.Result{Sent: 2000, Took: time.Second}}, limit: limit{lost: "ring_full"}},
			{name: "afpacket", paced: rounds(600, 1000), limit: limit{generator: true}},
			{name: "pcap", missing: "this build has none"},
			{name: "tap 1:10", offered: 7000, best: trial{Result: generator.Result{Sent: 7000, Took: time.Second}, lost: 3, where: "ring_full"}},
			{name: plain, best: trial{Result: generator.Result{Sent: 1000, Took: time.Second}}, limit: limit{lost: "socket_full"}},
		},
	}
	got := f.markdown()
	for _, want := range []string{
		"| tcx | 500 | 300 | 800 | 1.00 | 0 of 3000 |\n",
		"| afpacket | 600 | 600 | 1200 | 1.50 | 0 of 3000 |\n",
		"| tcx | 2000 | losses above it: `ring_full` |\n",
		"Not measured: pcap: this build has none\n",
		"tap 1:10: 7000 packets/s were offered and 7000 sent for 1.0 s; 3 of 7000 were lost ring_full.\n",
		"tcx to reference: 2.0.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}
