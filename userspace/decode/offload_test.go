package decode

import (
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// TestLengthlessHeaders: a packet of more than 64 KiB, joined from several, has no length
// in its IP header. It ends where the frame ends on the wire, wherever the capture cut
// it.
func TestLengthlessHeaders(t *testing.T) {
	const size = 200_000
	data := strings.Repeat("x", size)
	lengthless4 := func(s string) string { return s[:2] + "\x00\x00" + s[4:] }
	lengthless6 := func(s string) string { return s[:4] + "\x00\x00" + s[6:] }
	jumbo := "\x06\x00\xc2\x04\x00\x03\x0d\x40" // Hop-by-Hop Options with the Jumbo Payload option, RFC 2675
	f := func(name, frame string, tunnel packet.Tunnel) {
		t.Helper()
		for _, cut := range []int{0, 1, size / 2, size - 1} {
			var l Layers
			p := packet.Packet{Data: []byte(frame[:len(frame)-cut]), WireLen: uint32(len(frame)), Link: packet.LinkEthernet}
			if got := Decode(&p, &l); got != FoundTCP || len(l.Payload) != size-cut || l.Missing != cut || l.Tunnel != tunnel {
				t.Errorf("%s, cut by %d: found %d, %d bytes, %d missing, tunnel %q", name, cut, got, len(l.Payload), l.Missing, l.Tunnel)
			}
		}
	}
	segment := tcp(53, 40000, data)
	f("IPv4", ether(0x0800, lengthless4(ip4(6, segment))), packet.TunnelNone)
	f("IPv6", ether(0x86dd, lengthless6(ip6(6, segment))), packet.TunnelNone)
	f("IPv6 jumbogram", ether(0x86dd, lengthless6(ip6(0, jumbo+segment))), packet.TunnelNone)
	f("VLAN", ether(0x8100, tag(5, 0x0800, lengthless4(ip4(6, segment)))), packet.TunnelNone)
	f("IPIP", ether(0x0800, lengthless4(outer4(4, lengthless4(ip4(6, segment))))), packet.TunnelIPIP)
}
