package psql

import (
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// TestCarriers: each carrier has its word in our own tables, and another one of three
// characters where a column, as of dnsmonster's table, holds no more.
func TestCarriers(t *testing.T) {
	p := postgres(t)
	f := func(kind, want string, clamped uint64) {
		t.Helper()
		o, table := fresh(t, p, p.Addr)
		p.Exec(t, "CREATE TABLE "+table+" (packettime timestamptz, protocol "+kind+")")
		var list []*event.Event
		for proto := event.UDP; int(proto) <= packet.Protos; proto++ {
			e := query(int(proto))
			e.Proto = proto
			list = append(list, e)
		}
		deliver(t, o, openWriter(t, o), blockOf(list...))
		if got := strings.Join(p.Strings(t, "SELECT rtrim(protocol) FROM "+table+" ORDER BY packettime, protocol"), " "); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		if n := meter(o, "clamped"); n != clamped {
			t.Errorf("%s: clamped %d, want %d", kind, n, clamped)
		}
	}
	f("text", "dnscrypttcp dnscryptudp doh doq dot tcp udp", 0)
	f("varchar(11)", "dnscrypttcp dnscryptudp doh doq dot tcp udp", 0)
	f("char(3)", "dct dcu doh doq dot tcp udp", 2)
	f("varchar(10)", "dct dcu doh doq dot tcp udp", 2)
	f("varchar(2)", "dn dn do do do tc ud", 7)
}
