package decode

import (
	"math/rand/v2"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// TestPlainLane: the fast paths of Lane and Unpinned agree with Decode, whatever is in
// the headers.
func TestPlainLane(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fast := 0
	f := func(frame string) {
		t.Helper()
		for round := range 3000 {
			b := []byte(frame)
			if round > 0 {
				for range 1 + r.IntN(3) {
					b[12+r.IntN(len(b)-12)] = byte(r.Uint32()) // after the hardware addresses
				}
			}
			if round > 1000 {
				b = b[:r.IntN(len(b)+1)]
			}
			p := packet.Packet{Data: b, Link: packet.LinkEthernet}
			if _, ok := defaultDecoder.plainLane(&p); ok {
				fast++
			}
			if got, want := Lane(&p), defaultDecoder.anyLane(&p); got != want {
				t.Fatalf("frame %x: lane hash %x, want %x", b, got, want)
			}
			var l Layers
			found := Decode(&p, &l)
			if got, want := defaultDecoder.Unpinned(&p), found != FoundTCP && found != FoundFragment; got != want {
				t.Fatalf("frame %x: unpinned %v, want %v", b, got, want)
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
	if fast < 2000 {
		t.Errorf("only %d frames took the fast path", fast)
	}
	if _, ok := defaultDecoder.plainLane(&packet.Packet{Data: []byte(inner4), Link: packet.LinkRaw}); ok {
		t.Error("a frame without an Ethernet header took the fast path")
	}
}

// TestUnpinned: packets of which reassembly keeps something are pinned to their lane, in
// tunnels, too.
func TestUnpinned(t *testing.T) {
	f := func(what, frame string, want bool) {
		t.Helper()
		if got := defaultDecoder.Unpinned(&packet.Packet{Data: []byte(frame), Link: packet.LinkEthernet}); got != want {
			t.Errorf("%s: unpinned %v, want %v", what, got, want)
		}
	}
	segment, fragment := ip4(6, tcp(40000, 53, payload)), ip4between(a4, b4, 17, 0x2000, udp(40000, 53, payload))
	f("datagram", ether(0x0800, inner4), true)
	f("datagram, IPv6", ether(0x86dd, inner6), true)
	f("datagram with a tag", ether(0x8100, tag(5, 0x0800, inner4)), true)
	f("segment", ether(0x0800, segment), false)
	f("first fragment", ether(0x0800, fragment), false)
	f("fragment, IPv6", ether(0x86dd, ip6(44, "\x11\x00\x00\x01\x00\x00\x00\x07"+udp(40000, 53, payload))), false)
	f("datagram in VXLAN", ether(0x0800, ip4(17, udp(1, 4789, vxlanHeader+ether(0x0800, inner4)))), true)
	f("segment in VXLAN", ether(0x0800, ip4(17, udp(1, 4789, vxlanHeader+ether(0x0800, segment)))), false)
	f("fragment in VXLAN", ether(0x0800, ip4(17, udp(1, 4789, vxlanHeader+ether(0x0800, fragment)))), false)
	f("segment in IP", ether(0x0800, ip4(4, segment)), false)
	f("ARP", ether(0x0806, payload), true)
	f("half a header", ether(0x0800, inner4[:10]), true)
}

func BenchmarkUnpinned(b *testing.B) {
	f := func(name string, frame []byte) {
		b.Run(name, func(b *testing.B) {
			p := packet.Packet{Data: frame, Link: packet.LinkEthernet}
			for b.Loop() {
				if !defaultDecoder.Unpinned(&p) {
					b.Fatal("pinned")
				}
			}
		})
	}
	f("ip=4", frameUDP4())
	f("ip=6", frameUDP6())
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
