package decode

import (
	"math/rand/v2"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// TestPlainLane: the short way gives what the long one gives, whatever stands
// in the headers.
func TestPlainLane(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	short := 0
	f := func(frame string) {
		t.Helper()
		for round := range 3000 {
			b := []byte(frame)
			if round > 0 {
				for range 1 + r.IntN(3) {
					b[12+r.IntN(len(b)-12)] = byte(r.Uint32()) // behind the hardware addresses
				}
			}
			if round > 1000 {
				b = b[:r.IntN(len(b)+1)]
			}
			p := packet.Packet{Data: b, Link: packet.LinkEthernet}
			if _, ok := byDefault.plainLane(&p); ok {
				short++
			}
			if got, want := Lane(&p), byDefault.anyLane(&p); got != want {
				t.Fatalf("frame %x: lane hash %x, want %x", b, got, want)
			}
		}
	}
	f(ether(0x0800, inner4))
	f(ether(0x86dd, inner6))
	f(ether(0x0800, ip4(6, tcp(40000, 53, payload))))
	f(ether(0x0800, ip4between(a4, b4, 17, 0x2000, udp(40000, 53, payload))))
	f(ether(0x0800, ip4(17, udp(1, 4789, vxlanHeader+ether(0x0800, inner4)))))
	f(ether(0x86dd, ip6(44, "\x11\x00\x00\x01\x00\x00\x00\x07"+udp(40000, 53, payload))))
	f(ether(0x8100, tag(5, 0x0800, inner4)))
	if short < 2000 {
		t.Errorf("only %d frames went the short way", short)
	}
	if _, ok := byDefault.plainLane(&packet.Packet{Data: []byte(inner4), Link: packet.LinkRaw}); ok {
		t.Error("a frame without Ethernet header went the short way")
	}
}

func BenchmarkLane(b *testing.B) {
	f := func(name string, frame []byte) {
		b.Run(name, func(b *testing.B) {
			p := packet.Packet{Data: frame, Link: packet.LinkEthernet}
			var sum packet.Hash
			for b.Loop() {
				sum |= Lane(&p)
			}
			if sum == 0 {
				b.Fatal("no hash")
			}
		})
	}
	f("ip=4", frameUDP4())
	f("ip=6", frameUDP6())
}
