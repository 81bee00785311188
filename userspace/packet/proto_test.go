package packet

import "testing"

func TestProtoWords(t *testing.T) {
	f := func(p, number Proto, want string) {
		t.Helper()
		if p != number || p.String() != want {
			t.Errorf("%d is %q, want %d, %q", p, p, number, want)
		}
	}
	f(UDP, 1, "udp")
	f(TCP, 2, "tcp")
	f(DoT, 3, "dot")
	f(DoH, 4, "doh")
	f(DoQ, 5, "doq")
	f(DNSCryptUDP, 6, "dnscryptudp")
	f(DNSCryptTCP, 7, "dnscrypttcp")
	f(0, 0, "unknown")
	f(Proto(Protos+1), 8, "unknown")
	f(255, 255, "unknown")
}
