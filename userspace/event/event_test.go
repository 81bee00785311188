package event

import (
	"net/netip"
	"testing"
)

func TestIPVersion(t *testing.T) {
	var none netip.AddrPort
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[2001:db8::1]:53")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")
	f := func(src, dst netip.AddrPort, want uint8) {
		t.Helper()
		if got := (&Event{Src: src, Dst: dst}).IPVersion(); got != want {
			t.Errorf("%v to %v: %d, want %d", src, dst, got, want)
		}
	}
	f(v4, v4, 4)
	f(v6, v6, 6)
	f(mapped, mapped, 6)
	f(none, v4, 4)
	f(v6, none, 6)
	f(none, none, 0)
}
