//go:build linux

package bpf

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// Each case runs through all three hooks, with Ethernet and without.
func TestChoice(t *testing.T) {
	s := newKit(t, Options{XDP: true, FragmentQuota: 1000})
	f := func(want, name string, etherType uint16, packet []byte) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			s := &kit{t: t, k: s.k, xdp: s.xdp}
			for _, prog := range []string{sensorProgTcIngressEth, sensorProgTcEgressEth, sensorProgXdpEth} {
				s.want(want, prog, eth(etherType, packet))
			}
			if etherType != 0x0800 && etherType != 0x86dd {
				return
			}
			for _, prog := range []string{sensorProgTcIngressL3, sensorProgTcEgressL3, sensorProgXdpL3} {
				s.want(want, prog, packet)
			}
		})
	}
	const v4, v6 = 0x0800, 0x86dd
	q := udp(40000, 53, fill(30))
	r := udp(53, 40000, fill(300))
	other := udp(40000, 443, fill(30))

	f("delivered", "query", v4, ip4(a4, b4, 17, q))
	f("delivered", "response", v4, ip4(b4, a4, 17, r))
	f("delivered", "TCP", v4, ip4(a4, b4, 6, tcp(40000, 53, nil)))
	f("not_dns", "other port", v4, ip4(a4, b4, 17, other))
	f("not_dns", "port 53 in the wrong byte order", v4, ip4(a4, b4, 17, udp(40000, 53<<8, nil)))
	f("not_dns", "SCTP", v4, ip4(a4, b4, 132, q))
	f("delivered", "IPv4 options", v4, ip4with(ip4opts{options: make([]byte, 40)}, a4, b4, 17, q))
	f("not_dns", "IPv4 options, other port", v4, ip4with(ip4opts{options: make([]byte, 8)}, a4, b4, 17, other))
	f("not_dns", "IPv4 header of 16 bytes", v4, append([]byte{0x44}, ip4(a4, b4, 17, q)[1:]...))
	f("not_dns", "no room for ports", v4, ip4(a4, b4, 17, nil)[:22-2])

	f("delivered", "IPv6 query", v6, ip6(a6, b6, 17, q))
	f("delivered", "IPv6 response", v6, ip6(b6, a6, 17, r))
	f("delivered", "IPv6 TCP", v6, ip6(a6, b6, 6, tcp(40000, 53, fill(9))))
	f("not_dns", "IPv6 other port", v6, ip6(a6, b6, 17, other))
	f("not_dns", "ICMPv6", v6, ip6(a6, b6, 58, fill(40)))
	f("delivered", "hop-by-hop", v6, ip6(a6, b6, 0, ext(17, 0, q)))
	f("delivered", "routing", v6, ip6(a6, b6, 43, ext(17, 2, q)))
	f("delivered", "destination options", v6, ip6(a6, b6, 60, ext(17, 1, q)))
	f("delivered", "AH", v6, ip6(a6, b6, 51, ah(17, 4, q)))
	f("delivered", "atomic fragment", v6, ip6(a6, b6, 44, frag6(17, 0, 0, 1, q)))
	f("not_dns", "hop-by-hop, other port", v6, ip6(a6, b6, 0, ext(17, 0, other)))
	f("not_dns", "hop-by-hop, ICMPv6", v6, ip6(a6, b6, 0, ext(58, 0, fill(20))))
	four := func(last byte, l4 []byte) []byte {
		return ip6(a6, b6, 0, ext(43, 0, ext(60, 0, ext(60, 0, ext(last, 0, l4)))))
	}
	f("delivered", "four extension headers", v6, four(17, q))
	f("not_dns", "four extension headers, other port", v6, four(17, other))
	f("not_dns", "four extension headers, ICMPv6", v6, four(58, q))
	f("delivered", "five extension headers, the rest unknown", v6, four(60, ext(17, 0, other)))
	f("not_dns", "an extension header that ends outside", v6, ip6(a6, b6, 60, ext(17, 0, q))[:44])
	f("not_dns", "a fragment header that ends outside", v6, ip6(a6, b6, 44, fill(4)))
	f("delivered", "headers of 280 bytes", v6, ip6(a6, b6, 60, ext(17, 28, q)))

	f("delivered", "802.1Q", 0x8100, vlan(7, v4, ip4(a4, b4, 17, q)))
	f("delivered", "802.1ad and 802.1Q", 0x88a8, vlan(7, 0x8100, vlan(8, v6, ip6(a6, b6, 17, q))))
	f("not_dns", "802.1Q, other port", 0x8100, vlan(7, v4, ip4(a4, b4, 17, other)))
	tags := func(kind uint16, data []byte) []byte {
		return vlan(7, 0x8100, vlan(8, 0x9100, vlan(9, 0x88a8, vlan(10, kind, data))))
	}
	f("delivered", "four tags", 0x88a8, tags(v4, ip4(a4, b4, 17, q)))
	f("not_dns", "five tags", 0x88a8, tags(0x8100, vlan(11, v4, ip4(a4, b4, 17, q))))
	f("delivered", "IPv4 authentication", v4, ip4(a4, b4, 51, ah(17, 4, q)))
	f("not_dns", "IPv4 authentication, other port", v4, ip4(a4, b4, 51, ah(17, 4, other)))
	f("not_dns", "half a tag", 0x8100, []byte{0, 7})
	f("not_dns", "ARP", 0x0806, fill(28))
}

// The kernel does not run a program for TC on less than an IP header.
func TestChoiceOfHalfAHeader(t *testing.T) {
	needXDP(t)
	s := newKit(t, Options{XDP: true})
	s.want("not_dns", sensorProgXdpEth, query4(80)[:14])
	s.want("not_dns", sensorProgXdpEth, query4(80)[:33])
	s.want("not_dns", sensorProgXdpEth, query4(80)[:37])
	s.want("delivered", sensorProgXdpEth, query4(80)[:38])
	s.want("not_dns", sensorProgXdpL3, ip4(a4, b4, 17, udp(40000, 53, nil))[:19])
	s.want("not_dns", sensorProgXdpL3, ip6(a6, b6, 17, udp(40000, 53, nil))[:39])
	s.want("not_dns", sensorProgXdpL3, ip6(a6, b6, 60, ext(17, 0, nil))[:44])
}

func TestFragments(t *testing.T) {
	const udpProto = 17
	s := newKit(t, Options{XDP: true}) // no quota: nothing unknown passes
	frag := func(id, bits uint16, payload []byte) []byte {
		return eth(0x0800, ip4with(ip4opts{id: id, frag: bits}, a4, b4, udpProto, payload))
	}
	f := func(want string, packet []byte) {
		t.Helper()
		s.want(want, sensorProgTcIngressEth, packet)
	}
	q, other := udp(40000, 53, fill(64)), udp(40000, 443, fill(64))

	f("frag_quota", frag(1, 0x2005, fill(64)))                       // before its first fragment
	f("delivered", frag(1, 0x2000, q))                               // DNS
	f("delivered", frag(1, 0x2005, fill(64)))                        // follows it
	f("delivered", frag(1, 0x000a, fill(64)))                        // the last fragment
	f("frag_quota", frag(2, 0x000a, fill(64)))                       // another datagram
	f("not_dns", frag(3, 0x2000, other))                             // not DNS
	f("not_dns", frag(3, 0x0005, fill(64)))                          // follows it
	f("delivered", frag(4, 0x6000, q))                               // with "don't fragment" set
	f("delivered", frag(4, 0x4005, fill(64)))                        // too
	s.want("delivered", sensorProgXdpEth, frag(4, 0x0005, fill(64))) // one table for all hooks
	f("not_dns", eth(0x0800, ip4with(ip4opts{frag: 5}, a4, b4, 1, fill(64))))

	// The second walk remembers verdicts, too.
	old := func(id, bits uint16, proto byte, payload []byte) []byte {
		return eth(0x9100, vlan(7, 0x0800, ip4with(ip4opts{id: id, frag: bits}, a4, b4, proto, payload)))
	}
	f("frag_quota", old(5, 5, udpProto, fill(64)))
	f("not_dns", old(5, 0x2000, udpProto, other))
	f("not_dns", old(5, 5, udpProto, fill(64)))
	f("delivered", old(6, 0x2000, udpProto, q))
	f("delivered", old(6, 5, udpProto, fill(64)))
	f("not_dns", old(7, 0x2000, 51, ah(udpProto, 4, other)))
	f("not_dns", old(7, 5, 51, fill(64)))

	v6 := func(next byte, off, more uint16, id uint32, payload []byte) []byte {
		return eth(0x86dd, ip6(a6, b6, 44, frag6(next, off, more, id, payload)))
	}
	f("frag_quota", v6(17, 5, 1, 1, fill(64)))
	f("delivered", v6(17, 0, 1, 1, q))
	f("delivered", v6(17, 5, 0, 1, fill(64)))
	f("not_dns", v6(17, 0, 1, 2, other))
	f("not_dns", v6(17, 5, 0, 2, fill(64)))
	f("not_dns", v6(58, 5, 0, 3, fill(64))) // the header says that it is ICMPv6
	f("not_dns", v6(60, 0, 1, 4, ext(58, 0, fill(64))))
	f("not_dns", v6(60, 5, 0, 4, fill(64))) // known from the first fragment
	f("delivered", v6(60, 0, 1, 5, ext(17, 0, q)))
	f("delivered", v6(60, 5, 0, 5, fill(64)))
	f("frag_quota", eth(0x86dd, ip6(a6, b6, 0, ext(43, 0, ext(60, 0, ext(60, 0, ext(60, 0, ext(17, 0, q))))))))
}

func TestFragmentQuota(t *testing.T) {
	onOneCPU(t)
	s := newKit(t, Options{FragmentQuota: 3})
	later := eth(0x0800, ip4with(ip4opts{id: 9, frag: 5}, a4, b4, 17, fill(64)))
	for i := range 3 {
		if got := s.run(sensorProgTcIngressEth, later, nil); got != "delivered" {
			t.Errorf("fragment %d: %s, want delivered", i, got)
		}
	}
	if got := s.run(sensorProgTcIngressEth, later, nil); got != "frag_quota" {
		t.Errorf("beyond the quota: %s, want frag_quota", got)
	}
}

// Defect 4: a:b passed (a+1)/b, 1:2 passed all.
func TestDefect04SamplingKeepsExactlyThatMany(t *testing.T) {
	onOneCPU(t)
	f := func(keep, of uint32) {
		t.Helper()
		s := newKit(t, Options{Keep: keep, Of: of})
		var kept []uint32
		var sum uint32
		for range 4 * of {
			var one uint32
			if s.run(sensorProgTcIngressEth, query4(80), nil) == "delivered" {
				one = 1
			}
			kept = append(kept, one)
			sum += one
			if n := uint32(len(kept)); n > of {
				sum -= kept[n-of-1]
			}
			if uint32(len(kept)) >= of && sum != keep {
				t.Fatalf("%d:%d keeps %d of the last %d, after %d", keep, of, sum, of, len(kept))
			}
		}
	}
	f(1, 1)
	f(1, 2)
	f(2, 3)
	f(3, 7)
	f(1, 50)
	f(49, 50)
}

func TestSamplingRefuses(t *testing.T) {
	f := func(keep, of uint32) {
		t.Helper()
		o := Options{Ports: []uint16{53}, Rings: 1, RingBytes: MinRingBytes, Keep: keep, Of: of}
		if k, err := Load(o); err == nil {
			k.Close()
			t.Errorf("%d:%d is accepted", keep, of)
		}
	}
	f(0, 5)
	f(3, 2)
	f(1, 0)
}

// flow is the addresses and ports of a conversation.
type flow struct {
	src, dst     netip.Addr
	sport, dport uint16
}

func randomFlow(r *rand.Rand, v6 bool) flow {
	addr := func() netip.Addr {
		var b [16]byte
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if v6 {
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return flow{addr(), addr(), uint16(r.Uint32()), 53}
}

func (f flow) reverse() flow { return flow{f.dst, f.src, f.dport, f.sport} }

func (f flow) packet(proto byte, payload []byte) []byte {
	if f.src.Is4() {
		return eth(0x0800, ip4(f.src, f.dst, proto, payload))
	}
	return eth(0x86dd, ip6(f.src, f.dst, proto, payload))
}

func (f flow) first() []byte {
	if f.src.Is4() {
		return eth(0x0800, ip4with(ip4opts{frag: 0x2000, id: f.sport}, f.src, f.dst, 17, udp(f.sport, f.dport, fill(16))))
	}
	return eth(0x86dd, ip6(f.src, f.dst, 44, frag6(17, 0, 1, uint32(f.sport), udp(f.sport, f.dport, fill(16)))))
}

func (f flow) pair() packet.Hash { return packet.HashPair(f.src.AsSlice(), f.dst.AsSlice()) }

func (f flow) hash() packet.Hash {
	return packet.HashFlow(f.src.AsSlice(), f.dst.AsSlice(), f.sport, f.dport)
}

// The kernel and user space choose the same lane for a packet.
func TestLanes(t *testing.T) {
	const lanes = 13
	s := newKit(t, Options{Rings: lanes, RingBytes: MinRingBytes, XDP: true})
	f := func(packet []byte, want packet.Hash) {
		t.Helper()
		for _, prog := range []string{sensorProgTcIngressEth, sensorProgXdpEth} {
			if s.lacks(prog) {
				continue
			}
			if got := s.run(prog, packet, nil); got != "delivered" {
				t.Fatalf("%s: %s", prog, got)
			}
			if _, _, ring := s.next(); ring != want.Lane(lanes) {
				t.Errorf("%s: lane %d, want %d: % x", prog, ring, want.Lane(lanes), packet)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		c := randomFlow(r, i%2 == 1)
		f(c.packet(17, udp(c.sport, c.dport, fill(20))), c.hash())
		f(c.reverse().packet(17, udp(c.dport, c.sport, fill(20))), c.hash())
		f(c.packet(6, tcp(c.sport, c.dport, nil)), c.pair())
		f(c.reverse().packet(6, tcp(c.dport, c.sport, nil)), c.pair())
		f(c.first(), c.pair())
	}
}

// Sampling by hash keeps the same packets as user space.
func TestSamplingByHash(t *testing.T) {
	ratio := packet.Ratio{Keep: 2, Of: 5}
	outcome := func(h packet.Hash) string {
		if h.Sampled(ratio) {
			return "delivered"
		}
		return "sampled_out"
	}
	byFlow := newKit(t, Options{Keep: 2, Of: 5, FlowSampling: true})
	byCount := newKit(t, Options{Keep: 2, Of: 5})
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200 {
		c := randomFlow(r, i%2 == 1)
		byFlow.want(outcome(c.hash()), sensorProgTcIngressEth, c.packet(17, udp(c.sport, c.dport, fill(20))))
		byFlow.want(outcome(c.hash()), sensorProgTcIngressEth, c.reverse().packet(17, udp(c.dport, c.sport, fill(20))))
		byFlow.want(outcome(c.hash()), sensorProgTcIngressEth, c.first())
		byFlow.want(outcome(c.pair()), sensorProgTcIngressEth, c.packet(6, tcp(c.sport, c.dport, nil)))
		byCount.want(outcome(c.pair()), sensorProgTcIngressEth, c.packet(6, tcp(c.sport, c.dport, nil)))
		byCount.want(outcome(c.pair()), sensorProgTcIngressEth, c.first())
	}
}
