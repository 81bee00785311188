package lab

import (
	"context"
	"testing"
)

// TestDnstapServers: each server starts, answers without a receiver, and counts.
func TestDnstapServers(t *testing.T) {
	l := New(t)
	z := Zone{Names: 10}
	StartDnstap(t, l, "knot", DnstapOptions{Lines: []string{"knot.unix"}, Zone: z})
	for name := range dnstapKinds {
		if name == "knot" {
			continue
		}
		s := StartDnstap(t, l, name, DnstapOptions{Lines: []string{name + ".unix"}, Zone: z})
		before := s.Queries()
		port := s.Addr.Port()
		r, err := l.Dnsperf(context.Background(), Perf{Queries: z.Queries(50, 1), Rate: 50, Seconds: 1, Port: port})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Queries() - before; got != r.Sent && name != "recursor" {
			t.Errorf("%s counts %d queries, %d sent", name, got, r.Sent)
		}
	}
}
