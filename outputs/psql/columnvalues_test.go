//go:build linux

package psql

import (
	"net/netip"
	"strings"
	"testing"

	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// TestCarriers: each transport has its name in our own tables, and one of three
// characters if a column, as in dnsmonster's table, holds no more.
func TestCarriers(t *testing.T) {
	p := postgres(t)
	f := func(kind, want string, clamped uint64) {
		t.Helper()
		o, table := freshTable(t, p, p.Addr)
		p.Exec(t, "CREATE TABLE "+table+" (packettime timestamptz, protocol "+kind+")")
		var list []*event.Event
		for proto := range event.Proto(packet.Protos + 2) { // none first, and a number last
			e := outputtest.Query(int(proto))
			if int(proto) > packet.Protos {
				proto = packet.NumberedProto(8)
			}
			e.Proto = proto
			list = append(list, e)
		}
		deliver(t, o, openWriter(t, o), outputtest.Block(list...))
		if got := strings.Join(p.Strings(t, "SELECT coalesce(nullif(rtrim(protocol), ''), '-') FROM "+table+" ORDER BY packettime, protocol"), " "); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		if n := meter(o, "clamped"); n != clamped {
			t.Errorf("%s: clamped %d, want %d", kind, n, clamped)
		}
	}
	f("text", "- 8 dnscrypttcp dnscryptudp doh doq dot tcp udp", 0)
	f("varchar(11)", "- 8 dnscrypttcp dnscryptudp doh doq dot tcp udp", 0)
	f("varchar(11) NOT NULL", "- 8 dnscrypttcp dnscryptudp doh doq dot tcp udp", 0)
	f("char(3)", "- 8 dct dcu doh doq dot tcp udp", 2)
	f("varchar(10)", "- 8 dct dcu doh doq dot tcp udp", 2)
	f("varchar(2)", "- 8 dn dn do do do tc ud", 7)
}

// TestAbsentAddresses: an unknown address is null, or its substitute in a NOT NULL
// column, and no row is refused for it.
func TestAbsentAddresses(t *testing.T) {
	p := postgres(t)
	none, some := netip.AddrPort{}, netip.MustParseAddrPort("192.0.2.1:5353")
	list := func() []*event.Event {
		ends := [][2]netip.AddrPort{{none, none}, {some, none}, {netip.AddrPortFrom(netip.Addr{}, 53), some}}
		var events []*event.Event
		for i, pair := range ends {
			e := outputtest.Query(1000 * i) // times that the server can distinguish
			e.Src, e.Dst, e.Proto = pair[0], pair[1], event.DoQ
			events = append(events, e)
		}
		return events
	}
	f := func(columns, want string, clamped uint64) {
		t.Helper()
		o, table := freshTable(t, p, p.Addr)
		if columns != "" {
			p.Exec(t, "CREATE TABLE "+table+" (packettime timestamptz, ipversion int, "+columns+")")
		}
		deliver(t, o, openWriter(t, o), outputtest.Block(list()...))
		got := strings.Join(p.Strings(t, "SELECT concat_ws(' ', ipversion, COALESCE(host(NULLIF(srcip::text, '')::inet), srcip::text, '-'), COALESCE(host(NULLIF(dstip::text, '')::inet), dstip::text, '-')) FROM "+
			table+" ORDER BY packettime"), "|")
		if got != want || meter(o, "clamped") != clamped {
			t.Errorf("%s: %s, want %s; clamped %d, want %d", columns, got, want, meter(o, "clamped"), clamped)
		}
	}
	const nulls = "0 - -|4 192.0.2.1 -|4 - 192.0.2.1"
	f("", nulls, 0)
	f("srcip inet, dstip inet", nulls, 0)
	f("srcip text, dstip varchar(40)", nulls, 0)
	f("srcip inet NOT NULL, dstip inet NOT NULL", "0 :: ::|4 192.0.2.1 ::|4 :: 192.0.2.1", 4)
	f("srcip text NOT NULL, dstip varchar(40) NOT NULL", "0  |4 192.0.2.1 |4  192.0.2.1", 4)
	f("srcip inet, dstip inet NOT NULL", "0 - ::|4 192.0.2.1 ::|4 - 192.0.2.1", 2)
	p.Exec(t, "CREATE DOMAIN known AS inet NOT NULL")
	f("srcip known, dstip known", "0 :: ::|4 192.0.2.1 ::|4 :: 192.0.2.1", 4)
	p.Exec(t, "DROP DOMAIN known CASCADE")
}

// TestNotNullWhileRunning: a column becomes NOT NULL while the sensor writes: the next
// rows are not refused, and once that is reverted they are null again.
func TestNotNullWhileRunning(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	w := openWriter(t, o)
	give := func() {
		t.Helper()
		e := outputtest.Query(0)
		e.Dst = netip.AddrPort{}
		deliver(t, o, w, outputtest.Block(e))
	}
	give()
	p.Exec(t, "DELETE FROM "+table+"; ALTER TABLE "+table+" ALTER COLUMN dstip SET NOT NULL")
	give()
	give()
	if got := strings.Join(p.Strings(t, "SELECT host(dstip) FROM "+table), " "); got != ":: ::" {
		t.Errorf("rows %q, want two with ::", got)
	}
	notes := wantAnswer(t, admin(t, p.URL(p.Addr, "postgres"), table, "").runCheck, false,
		"column dstip is inet: unknown addresses are written as :: and counted as clamped: ")
	_, fix, _ := strings.Cut(notes, "counted as clamped: ")
	fix, _, _ = strings.Cut(fix, "\n")
	p.Exec(t, fix)
	w = openWriter(t, o)
	give()
	if n := p.Int(t, "SELECT count(*) FROM "+table+" WHERE dstip IS NULL"); n != 1 {
		t.Errorf("%d rows with null after %q, want 1", n, fix)
	}
}
