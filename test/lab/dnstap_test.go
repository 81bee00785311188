//go:build linux

package lab

import (
	"maps"
	"testing"
)

// TestCounters reads what servers print.
func TestCounters(t *testing.T) {
	f := func(text string, want map[string]uint64) {
		t.Helper()
		if got := parseCounters([]byte(text)); !maps.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	f("[example.org.] mod-stats.request-protocol[udp4] = 12\n", map[string]uint64{"mod-stats.request-protocol[udp4]": 12})
	f("total.num.queries=12\ntotal.recursion.time.avg=0.001\n", map[string]uint64{"total.num.queries": 12})
	f("++ Name Server Statistics ++\n          12 IPv4 requests received\n", map[string]uint64{"IPv4 requests received": 12})
	f("acl-drops              \t0    latency0-1             \t7\n", map[string]uint64{"acl-drops": 0, "latency0-1": 7})
	f("all-outqueries\t12\n", map[string]uint64{"all-outqueries": 12})
	f("> {\n    ['answer.total'] = 12,\n}\n> ", map[string]uint64{"answer.total": 12})
}
