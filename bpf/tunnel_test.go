//go:build linux

package bpf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// allTunnels returns every value for Options.Decap.
func allTunnels() []uint8 {
	list := []uint8{PPPoE}
	for _, t := range packet.Tunnels() {
		list = append(list, uint8(t))
	}
	return list
}

func tunnelPorts() (list []TunnelPort) {
	for _, p := range packet.UsualTunnelPorts() {
		list = append(list, TunnelPort{p.Number, uint8(p.Tunnel)})
	}
	return list
}

var ethPrograms = []string{sensorProgTcIngressEth, sensorProgTcEgressEth, sensorProgXdpEth}

// encapsulation puts headers of a tunnel between the outer headers and the inner frame
// or packet.
type encapsulation struct {
	name  string
	kind  uint8
	proto byte // of the outer IP header
	frame bool // an Ethernet frame is inside, not a packet
	wrap  func(inner []byte) []byte
}

func gre(flags, kind uint16, fields []byte) func([]byte) []byte {
	return func(inner []byte) []byte { return join(be16(flags, kind), fields, inner) }
}

func inUDP(port uint16, header []byte) func([]byte) []byte {
	return func(inner []byte) []byte { return udp(50000, port, join(header, inner)) }
}

// nshHeader returns a service header of so many words; next says what follows it.
func nshHeader(words, next byte) []byte {
	return join([]byte{0x0f, 0xc0 | words, 2, next, 0, 0, 7, 255}, make([]byte, int(words)*4-8))
}

func isV6(b []byte) bool { return b[0]>>4 == 6 }

// encapsulations returns those that the kernel program follows. Some without a frame
// inside have a field that says IPv4.
func encapsulations() []encapsulation {
	const v4, teb, mpls = 0x0800, 0x6558, 0x8847
	const v, gpe, gen = uint8(packet.TunnelVXLAN), uint8(packet.TunnelVXLANGPE), uint8(packet.TunnelGENEVE)
	const g, e, gtp = uint8(packet.TunnelGRE), uint8(packet.TunnelERSPAN), uint8(packet.TunnelGTP)
	const z, l2 = uint8(packet.TunnelTZSP), uint8(packet.TunnelL2TP)
	label := []byte{0, 1, 1, 64}
	return []encapsulation{
		{"VXLAN", v, 17, true, inUDP(4789, []byte{8, 0, 0, 0, 0, 0, 7, 0})},
		{"VXLAN, old port", v, 17, true, inUDP(8472, []byte{8, 0, 0, 0, 0, 0, 7, 0})},
		{"VXLAN, group policy", v, 17, true, inUDP(4789, []byte{0x88, 8, 0, 5, 0, 0, 7, 0})},
		{"VXLAN-GPE", gpe, 17, true, inUDP(4790, []byte{0x0c, 0, 0, 3, 0, 0, 7, 0})},
		{"VXLAN-GPE IPv4", gpe, 17, false, inUDP(4790, []byte{0x0c, 0, 0, 1, 0, 0, 7, 0})},
		{"VXLAN-GPE MPLS", gpe, 17, false, inUDP(4790, join([]byte{0x0c, 0, 0, 5, 0, 0, 7, 0}, label))},
		{"GENEVE", gen, 17, true, inUDP(6081, []byte{0, 0, 0x65, 0x58, 0, 0, 7, 0})},
		{"GENEVE, options", gen, 17, true, inUDP(6081, []byte{2, 0x40, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 0x80, 1, 0, 0, 0, 1})},
		{"GENEVE IPv4", gen, 17, false, inUDP(6081, []byte{0, 0, 8, 0, 0, 0, 7, 0})},
		{"GRE", g, 47, false, gre(0, v4, nil)},
		{"GRE checksum, key, sequence", g, 47, false, gre(0xb000, v4, join(be32(0x12340000), be32(9), be32(1)))},
		{"GRE transparent Ethernet", g, 47, true, gre(0x2000, teb, be32(9))},
		{"GRE MPLS", g, 47, false, gre(0, mpls, label)},
		{"GRE PPP", g, 47, false, gre(0, 0x880b, be16(0xff03, 0x0021))},
		{"GRE PPP without framing", g, 47, false, gre(0, 0x880b, be16(0x0021))},
		{"PPTP", g, 47, false, gre(0x3081, 0x880b, join(be16(64, 7), be32(1), be32(2), be16(0xff03, 0x0021)))},
		{"ERSPAN I", e, 47, true, gre(0, 0x88be, nil)},
		{"ERSPAN II", e, 47, true, gre(0x1000, 0x88be, join(be32(1), []byte{0x10, 5, 0, 7, 0, 0, 0, 0}))},
		{"ERSPAN III", e, 47, true, gre(0x1000, 0x22eb, join(be32(1), []byte{0x20, 5, 0, 7}, make([]byte, 8)))},
		{"ERSPAN III, subheader", e, 47, true, gre(0x1000, 0x22eb, join(be32(1), []byte{0x20, 5, 0, 7}, make([]byte, 7), []byte{1}, make([]byte, 8)))},
		{"EoIP", g, 47, true, gre(0x2001, 0x6400, be16(64, 7))},
		{"GRE in UDP", uint8(packet.TunnelGREUDP), 17, false, inUDP(4754, be16(0, v4))},
		{"GRE in UDP, key, Ethernet", uint8(packet.TunnelGREUDP), 17, true, inUDP(4755, join(be16(0x2000, teb), be32(9)))},
		{"ERSPAN II in GRE in UDP", uint8(packet.TunnelGREUDP), 17, true, inUDP(4754, join(be16(0x1000, 0x88be), be32(1), []byte{0x10, 5, 0, 7, 0, 0, 0, 0}))},
		{"MPLS in UDP", uint8(packet.TunnelMPLSUDP), 17, false, inUDP(6635, join([]byte{0, 1, 0, 64}, label))},
		{"TZSP", z, 17, true, inUDP(37008, []byte{1, 0, 0, 1, 1})},
		{"TZSP, tags", z, 17, true, inUDP(37008, []byte{1, 0, 0, 1, 0, 10, 1, 200, 13, 4, 0, 0, 0, 7, 0, 1})},
		{"L2TP", l2, 17, false, inUDP(1701, be16(2, 7, 9, 0xff03, 0x0021))},
		{"L2TP, all fields", l2, 17, false, inUDP(1701, be16(0x4b02, 99, 7, 9, 1, 2, 4, 0, 0, 0x0021))},
		{"L2TPv3 in UDP", l2, 17, true, inUDP(1701, join(be16(3, 0), be32(42)))},
		{"L2TPv3 in UDP, cookie and sublayer", l2, 17, true, inUDP(1701, join(be16(3, 0), be32(42), fill(8), be32(0)))},
		{"L2TPv3", l2, 115, true, func(b []byte) []byte { return join(be32(42), be32(0), b) }},
		{"L2TPv3, cookie", l2, 115, true, func(b []byte) []byte { return join(be32(42), fill(8), b) }},
		{"NSH in VXLAN-GPE", gpe, 17, false, inUDP(4790, join([]byte{0x0c, 0, 0, 4, 0, 0, 7, 0}, nshHeader(2, 1)))},
		{"NSH in GRE", g, 47, true, gre(0, 0x894f, nshHeader(6, 3))},
		{"NSH in NSH in GENEVE", gen, 17, true, inUDP(6081, join([]byte{0, 0, 0x89, 0x4f, 0, 0, 7, 0}, nshHeader(2, 4), nshHeader(2, 3)))},
		{"NSH in GRE in UDP", uint8(packet.TunnelGREUDP), 17, true, inUDP(4754, join(be16(0, 0x894f), nshHeader(2, 3)))},
		{"MAC in MAC in GENEVE", gen, 17, true, inUDP(6081, join([]byte{0, 0, 0x88, 0xe7, 0, 0, 7, 0}, be32(42)))},
		{"LISP", uint8(packet.TunnelLISP), 17, false, inUDP(4341, []byte{0xc8, 1, 2, 3, 0, 0, 7, 1})},
		{"LISP, next protocol", uint8(packet.TunnelLISP), 17, true, inUDP(4341, []byte{0x04, 0, 0, 3, 0, 0, 0, 0})},
		{"EtherIP", uint8(packet.TunnelEtherIP), 97, true, func(b []byte) []byte { return join(be16(0x3000), b) }},
		{"Ethernet in IP", uint8(packet.TunnelEtherIP), 143, true, func(b []byte) []byte { return b }},
		{"MPLS in IP", uint8(packet.TunnelMPLS), 137, false, func(b []byte) []byte { return join(label, b) }},
		{"GTP", gtp, 17, false, func(b []byte) []byte {
			return udp(2152, 2152, join([]byte{0x30, 0xff}, be16(uint16(len(b))), be32(9), b))
		}},
		{"GTP, sequence", gtp, 17, false, func(b []byte) []byte {
			return udp(2152, 2152, join([]byte{0x32, 0xff}, be16(uint16(len(b)+4)), be32(9), be32(0x00010000), b))
		}},
		{"GTP, extensions", gtp, 17, false, func(b []byte) []byte {
			return udp(2152, 2152, join([]byte{0x34, 0xff}, be16(uint16(len(b)+12)), be32(9), []byte{0, 0, 0, 0x85, 1, 0x10, 0, 0x40, 1, 0, 0, 0}, b))
		}},
	}
}

// frames puts a packet into a tunnel, over both versions of IP.
func frames(w encapsulation, inner []byte) [][]byte {
	if w.frame {
		kind := uint16(0x0800)
		if isV6(inner) {
			kind = 0x86dd
		}
		inner = eth(kind, inner)
	}
	return [][]byte{eth(0x0800, ip4(b4, a4, w.proto, w.wrap(inner))), eth(0x86dd, ip6(b6, a6, w.proto, w.wrap(inner)))}
}

func TestTunnels(t *testing.T) {
	s := newKit(t, Options{XDP: true, FragmentQuota: 1000, Decap: allTunnels(), TunnelPorts: tunnelPorts()})
	f := func(want string, frame []byte) {
		t.Helper()
		for _, prog := range ethPrograms {
			s.want(want, prog, frame)
		}
	}
	q4, q6 := ip4(a4, b4, 17, udp(40000, 53, fill(30))), ip6(a6, b6, 17, udp(40000, 53, fill(30)))
	other4, other6 := ip4(a4, b4, 17, udp(40000, 443, fill(30))), ip6(a6, b6, 58, fill(30))
	for _, w := range encapsulations() {
		t.Run(w.name, func(t *testing.T) {
			s.t = t
			for _, frame := range frames(w, q4) {
				f("delivered", frame)
			}
			for _, frame := range frames(w, other4) {
				f("not_dns", frame)
			}
			for _, frame := range frames(w, ip4(a4, b4, 6, tcp(53, 40000, fill(30)))) {
				f("delivered", frame)
			}
		})
	}
	s.t = t
	inIP := func(version int, proto byte, inner []byte) []byte {
		if version == 4 {
			return eth(0x0800, ip4(b4, a4, proto, inner))
		}
		return eth(0x86dd, ip6(b6, a6, proto, inner))
	}
	for _, version := range []int{4, 6} {
		f("delivered", inIP(version, 4, q4))
		f("not_dns", inIP(version, 4, other4))
		f("delivered", inIP(version, 41, q6))
		f("not_dns", inIP(version, 41, other6))
		f("delivered", inIP(version, 17, udp(50000, 3544, q6)))
		f("delivered", inIP(version, 17, udp(3544, 50000, join(make([]byte, 8), q6))))
		f("delivered", inIP(version, 17, udp(50000, 3544, join([]byte{0, 1, 2, 3}, fill(5), make([]byte, 9), make([]byte, 8), q6))))
		f("not_dns", inIP(version, 17, udp(50000, 3544, other6)))
	}
	vxlan := []byte{8, 0, 0, 0, 0, 0, 7, 0}
	in := func(frame []byte) []byte { return inIP(4, 17, udp(50000, 4789, join(vxlan, frame))) }
	f("delivered", in(eth(0x8100, vlan(5, 0x0800, q4))))
	f("delivered", in(eth(0x88a8, vlan(5, 0x8100, vlan(6, 0x86dd, q6)))))
	f("not_dns", in(eth(0x88a8, vlan(5, 0x8100, vlan(6, 0x86dd, other6)))))
	f("not_dns", in(eth(0x0806, fill(28))))
	f("delivered", in(eth(uint16(8+len(q4)), join([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, q4))))
	f("delivered", in(eth(0x0800, ip4with(ip4opts{options: make([]byte, 8)}, a4, b4, 17, udp(40000, 53, nil)))))
	f("delivered", in(eth(0x86dd, ip6(a6, b6, 60, ext(17, 1, udp(40000, 53, nil))))))

	const ppp4, ppp6 = 0x0021, 0x0057
	pppoe := func(proto uint16, b []byte) []byte {
		return eth(0x8864, join([]byte{0x11, 0, 0, 7}, be16(uint16(len(b)+2), proto), b))
	}
	f("delivered", pppoe(ppp4, q4))
	f("delivered", pppoe(ppp6, q6))
	f("not_dns", pppoe(ppp4, other4))
	f("not_dns", pppoe(0xc021, fill(30)))
	f("delivered", eth(0x8847, join([]byte{0, 1, 0, 64, 0, 1, 1, 64}, q6)))
	f("not_dns", eth(0x8847, join([]byte{0, 1, 1, 64}, other4)))
	f("delivered", eth(0x8100, vlan(5, 0x8847, join([]byte{0, 1, 1, 64}, q4))))
	f("delivered", pppoe(ppp4, ip4(a4, b4, 47, gre(0, 0x0800, nil)(q4))))
	labels := func(n int, b []byte) []byte {
		return eth(0x8847, join(bytes.Repeat([]byte{0, 1, 0, 64}, n-1), []byte{0, 1, 1, 64}, b))
	}
	f("delivered", labels(5, q4)) // the last stack that the walk follows
	f("delivered", labels(6, q4))

	for _, ip := range [][]byte{q4, q6} {
		f("delivered", eth(0x894f, join(nshHeader(2, 3), etherOf(ip))))
		f("delivered", eth(0x8100, vlan(5, 0x894f, join(nshHeader(6, 4), nshHeader(2, 1), ip))))
		f("delivered", eth(0x894f, join(nshHeader(2, 5), []byte{0, 1, 1, 64}, ip)))
		f("delivered", eth(0x88a8, vlan(5, 0x88e7, join(be32(42), etherOf(ip)))))
		f("delivered", eth(0x22f3, join(be16(0x007f, 1, 2), be32(0), etherOf(ip))))
		f("delivered", eth(0x8903, join(be16(0x0060), etherOf(ip))))
		f("delivered", eth(0x894f, join(nshHeader(2, 3), eth(0x8100, vlan(1, 0x8100, vlan(2, 0x8100, vlan(3, 0x8100, vlan(4, etherType(ip), ip))))))))
	}
	for _, ip := range [][]byte{other4, other6} {
		f("not_dns", eth(0x894f, join(nshHeader(2, 3), etherOf(ip))))
		f("not_dns", eth(0x88e7, join(be32(42), etherOf(ip))))
		f("not_dns", eth(0x22f3, join(be16(0x003f, 1, 2), etherOf(ip))))
		f("not_dns", eth(0x8903, join(be16(0x0060), etherOf(ip))))
	}
	s.tags(sensorProgTcIngressEth)
	f("not_dns", eth(0x894f, join(nshHeader(2, 9), q4)))
	f("not_dns", eth(0x88e7, be16(0)))
}

func etherType(ip []byte) uint16 {
	if isV6(ip) {
		return 0x86dd
	}
	return 0x0800
}

func etherOf(ip []byte) []byte { return eth(etherType(ip), ip) }

// A tunnel that only user space can look into is delivered, and counted as opaque.
func TestOpaqueTunnels(t *testing.T) {
	s := newKit(t, Options{Decap: allTunnels(), TunnelPorts: tunnelPorts()}) // no quota
	f := func(opaque bool, frame []byte) {
		t.Helper()
		for _, prog := range ethPrograms {
			if s.lacks(prog) {
				continue
			}
			before := s.counters(hookOf(prog)).value("opaque")
			s.want("delivered", prog, frame)
			if got := s.counters(hookOf(prog)).value("opaque") - before; got != map[bool]uint64{true: 1}[opaque] {
				t.Errorf("%s: %d opaque, want %v: % x", prog, got, opaque, frame)
			}
		}
	}
	q4, other4 := ip4(a4, b4, 17, udp(40000, 53, fill(30))), ip4(a4, b4, 17, udp(40000, 443, fill(30)))
	in := func(inner []byte) []byte { return eth(0x0800, ip4(b4, a4, 47, gre(0, 0x0800, nil)(inner))) }
	f(false, in(q4))
	f(true, in(ip4(a4, b4, 47, gre(0, 0x0800, nil)(other4))))
	f(true, in(ip4(a4, b4, 4, other4)))
	f(true, in(ip4(a4, b4, 17, udp(50000, 4789, fill(50)))))
	f(false, in(ip4(a4, b4, 51, ah(17, 4, udp(40000, 53, fill(30))))))
	f(true, eth(0x0800, ip4(b4, a4, 47, gre(0x4000, 0x0800, make([]byte, 8))(other4)))) // source route
	f(true, eth(0x8847, join([]byte{0, 1, 1, 64}, eth(0x0800, other4))))                // pseudowire
	inIP := func(proto byte, inner []byte) []byte { return eth(0x0800, ip4(b4, a4, proto, inner)) }
	f(true, inIP(115, join(be32(42), be16(0xff03, 0x0021), other4))) // PPP: no Ethernet at any offset
	twice := eth(0x0800, other4)
	copy(twice[8:], []byte{8, 0, 0x45, 0}) // looks like the type of a frame four bytes earlier
	f(true, inIP(115, join(be32(42), be32(0), twice)))
	f(true, inIP(17, udp(50000, 37008, join([]byte{1, 0, 0, 18, 1}, fill(60)))))                         // 802.11
	f(true, inIP(17, udp(50000, 37008, join([]byte{1, 0, 0, 1}, make([]byte, 8), []byte{1}, fill(60))))) // tags
	deep := eth(0x0800, other4)
	for range 8 {
		deep = eth(0x8100, vlan(5, 0x8100, deep[14:]))
	}
	f(true, eth(0x0800, ip4(b4, a4, 47, gre(0, 0x6558, nil)(deep))))
}

// Without --decap for it, a tunnel is judged by its outer headers.
func TestTunnelsNotChosen(t *testing.T) {
	q4, q6 := ip4(a4, b4, 17, udp(40000, 53, fill(30))), ip6(a6, b6, 17, udp(40000, 53, fill(30)))
	none := newKit(t, Options{TunnelPorts: tunnelPorts()})
	for _, w := range encapsulations() {
		for _, frame := range frames(w, q4) {
			none.want("not_dns", sensorProgTcIngressEth, frame)
		}
	}
	for _, frame := range [][]byte{
		eth(0x0800, ip4(b4, a4, 4, q4)), eth(0x0800, ip4(b4, a4, 41, q6)), eth(0x86dd, ip6(b6, a6, 4, q4)), eth(0x86dd, ip6(b6, a6, 41, q6)),
		eth(0x8864, join([]byte{0x11, 0, 0, 7}, be16(uint16(len(q4)+2), 0x21), q4)),
	} {
		none.want("not_dns", sensorProgTcIngressEth, frame)
	}
	labelled := eth(0x8847, join([]byte{0, 1, 1, 64}, q4))
	none.want("not_dns", sensorProgTcIngressEth, labelled)

	all := newKit(t, Options{Decap: allTunnels(), TunnelPorts: tunnelPorts()})
	for _, port := range tunnelPorts() { // a client may use any source port
		for _, data := range [][]byte{fill(40), join([]byte{0, 2, 1, 0}, fill(40)), join([]byte{1, 0, 0, 1, 1}, fill(40))} {
			all.want("delivered", sensorProgTcIngressEth, eth(0x0800, ip4(a4, b4, 17, udp(port.Number, 53, data))))
			all.want("delivered", sensorProgTcIngressEth, eth(0x86dd, ip6(a6, b6, 17, udp(53, port.Number, data))))
		}
	}
	all.want("not_dns", sensorProgTcIngressEth, eth(0x0800, ip4(a4, b4, 17, udp(50000, 4789, make([]byte, 40)))))
	all.want("not_dns", sensorProgTcIngressEth, eth(0x0800, ip4(a4, b4, 47, be16(0, 0x0800))))
	all.want("not_dns", sensorProgTcIngressEth, eth(0x0800, ip4(a4, b4, 1, fill(40))))
	all.want("not_dns", sensorProgTcIngressL3, ip4(a4, b4, 47, gre(0, 0x0800, nil)(ip4(a4, b4, 1, fill(40)))))
	all.want("delivered", sensorProgTcIngressL3, ip4(a4, b4, 47, gre(0, 0x0800, nil)(q4)))
}

// Each kind is chosen by itself: with half of the kinds in Decap, only their tunnels
// are delivered.
func TestTunnelsChosenByHalves(t *testing.T) {
	halves := make([][]uint8, 2)
	for _, k := range allTunnels() {
		halves[k%2] = append(halves[k%2], k)
	}
	q, q6 := ip4(a4, b4, 17, udp(40000, 53, fill(30))), ip6(a6, b6, 17, udp(40000, 53, fill(30)))
	const nsh, pbb, trill, fp = uint8(packet.TunnelNSH), uint8(packet.TunnelPBB), uint8(packet.TunnelTRILL), uint8(packet.TunnelFabricPath)
	bare := map[uint8][]byte{
		nsh: eth(0x894f, join(nshHeader(2, 3), etherOf(q))), pbb: eth(0x88e7, join(be32(42), etherOf(q))),
		trill: eth(0x22f3, join(be16(0x003f, 1, 2), etherOf(q))), fp: eth(0x8903, join(be16(0x0060), etherOf(q))),
		uint8(packet.TunnelMPLS): eth(0x8847, join([]byte{0, 1, 1, 64}, q)), PPPoE: eth(0x8864, join([]byte{0x11, 0, 0, 7}, be16(uint16(len(q)+2), 0x21), q)),
		uint8(packet.TunnelIPIP): eth(0x0800, ip4(b4, a4, 4, q)), uint8(packet.Tunnel6in4): eth(0x0800, ip4(b4, a4, 41, q6)),
		uint8(packet.Tunnel6in6): eth(0x86dd, ip6(b6, a6, 41, q6)), uint8(packet.Tunnel4in6): eth(0x86dd, ip6(b6, a6, 4, q)),
	}
	for half, kinds := range halves {
		s := newKit(t, Options{TunnelPorts: tunnelPorts(), Decap: kinds})
		f := func(frame []byte, kinds ...uint8) {
			t.Helper()
			want := "not_dns"
			for _, k := range kinds {
				if int(k%2) == half {
					want = "delivered"
				}
			}
			s.want(want, sensorProgTcIngressEth, frame)
		}
		for _, w := range encapsulations() {
			kinds := []uint8{w.kind}
			if strings.HasPrefix(w.name, "NSH") { // found in other tunnels, too
				kinds = append(kinds, nsh)
			}
			for _, frame := range frames(w, q) {
				f(frame, kinds...)
			}
		}
		for kind, frame := range bare {
			f(frame, kind)
		}
	}
}

// Fragments inside a tunnel, and of the tunnel itself.
func TestTunnelFragments(t *testing.T) {
	s := newKit(t, Options{Decap: allTunnels(), TunnelPorts: tunnelPorts()}) // no quota: nothing unknown passes
	part := func(id, bits uint16, proto byte, data []byte) []byte {
		return ip4with(ip4opts{id: id, frag: bits}, a4, b4, proto, data)
	}
	vxlan := func(number byte, inner []byte) []byte {
		return eth(0x0800, ip4(b4, a4, 17, udp(50000, 4789, join([]byte{8, 0, 0, 0, 0, 0, number, 0}, eth(0x0800, inner)))))
	}
	f := func(want string, frame []byte) {
		t.Helper()
		s.want(want, sensorProgTcIngressEth, frame)
	}
	q, other := udp(40000, 53, fill(64)), udp(40000, 443, fill(64))
	f("frag_quota", vxlan(7, part(1, 5, 17, fill(64))))
	f("delivered", vxlan(7, part(1, 0x2000, 17, q)))
	f("delivered", vxlan(7, part(1, 5, 17, fill(64))))
	f("frag_quota", vxlan(8, part(1, 5, 17, fill(64)))) // of another tunnel
	f("not_dns", vxlan(8, part(1, 0x2000, 17, other)))
	f("not_dns", vxlan(8, part(1, 5, 17, fill(64))))
	f("delivered", vxlan(7, part(1, 5, 17, fill(64)))) // as before
	f("not_dns", vxlan(7, part(2, 5, 1, fill(64))))    // ICMP

	outer := func(id, bits uint16, proto byte, data []byte) []byte {
		return eth(0x0800, ip4with(ip4opts{id: id, frag: bits}, b4, a4, proto, data))
	}
	inGRE := gre(0, 0x0800, nil)
	f("frag_quota", outer(1, 5, 47, fill(64)))
	f("delivered", outer(1, 0x2000, 47, inGRE(ip4(a4, b4, 17, q))))
	f("delivered", outer(1, 5, 47, fill(64)))
	f("not_dns", outer(2, 0x2000, 47, inGRE(ip4(a4, b4, 17, other))))
	f("not_dns", outer(2, 5, 47, fill(64)))
	f("not_dns", outer(5, 0x2000, 47, gre(2, 0x0800, nil)(fill(8)))) // a version that is not followed
	f("not_dns", outer(5, 5, 47, fill(64)))
	f("delivered", outer(3, 0x2000, 17, udp(50000, 4789, join([]byte{8, 0, 0, 0, 0, 0, 7, 0}, eth(0x0800, ip4(a4, b4, 17, q))))))
	f("delivered", outer(3, 5, 17, fill(64)))
	f("delivered", outer(4, 0x2000, 47, inGRE(ip4(a4, b4, 4, ip4(a4, b4, 17, other))))) // opaque
	f("delivered", outer(4, 5, 47, fill(64)))
	v6 := func(off, more uint16, id uint32, data []byte) []byte {
		return eth(0x86dd, ip6(b6, a6, 44, frag6(47, off, more, id, data)))
	}
	f("frag_quota", v6(5, 0, 1, fill(64)))
	f("delivered", v6(0, 1, 1, inGRE(ip4(a4, b4, 17, q))))
	f("delivered", v6(5, 0, 1, fill(64)))
}

// The kernel program delivers every tunnel in which user space finds DNS, and both
// choose the same lane. Some frames are corrupted at random, which gives headers that
// no table lists; of these the program may deliver more, because it checks less.
func TestTunnelsAgreeWithUserSpace(t *testing.T) {
	const lanes = 13
	s := newKit(t, Options{Rings: lanes, RingBytes: MinRingBytes, Decap: allTunnels(), TunnelPorts: tunnelPorts()})
	r := rand.New(rand.NewPCG(5, 6))
	carried, failed := 0, 0
	for i, frame := range randomTunnels(r, 8) {
		broken := i%4 != 0
		if broken {
			for range 1 + r.IntN(2) {
				frame[14+r.IntN(len(frame)-14-40)] = byte(r.Uint32())
			}
		}
		p := packet.Packet{Data: frame, Link: packet.LinkEthernet}
		var l decode.Layers
		found := decode.Decode(&p, &l)
		watched := (found == decode.FoundUDP || found == decode.FoundTCP) && (l.SrcPort == 53 || l.DstPort == 53)
		before := s.counters("tc ingress").value("opaque")
		delivered := s.run(sensorProgTcIngressEth, frame, nil) == "delivered"
		opaque := s.counters("tc ingress").value("opaque") > before
		_, _, ring := s.next()
		wrong := ""
		switch want := decode.Lane(&p).Lane(lanes); {
		case watched && !delivered:
			wrong = "does not deliver it"
		case !watched && found != decode.FoundFragment && delivered && !broken:
			wrong = "delivers it all the same"
		case watched && !opaque && ring != want:
			wrong = fmt.Sprintf("puts it on lane %d, want %d", ring, want)
		}
		if wrong != "" {
			failed++
			t.Errorf("user space finds %d, %v:%d to %v:%d in %q; the kernel %s: % x", found, l.Src, l.SrcPort, l.Dst, l.DstPort, l.Tunnel, wrong, frame[:min(len(frame), 120)])
		}
		if watched && l.Depth > 0 {
			carried++
		}
		if failed > 5 {
			t.FailNow()
		}
	}
	if carried < 300 {
		t.Errorf("only %d frames carry DNS in a tunnel: the test proves little", carried)
	}
}

// randomTunnels returns packets of n conversations in every tunnel.
func randomTunnels(r *rand.Rand, n int) (list [][]byte) {
	for i := range n {
		c := randomFlow(r, i%2 == 1)
		for _, frame := range [][]byte{
			c.packet(17, udp(c.sport, 53, fill(40))), c.packet(6, tcp(53, c.sport, fill(40))), c.first(), c.packet(17, udp(c.sport, 443, fill(40))),
		} {
			inner, proto := frame[14:], byte(4)
			if isV6(inner) {
				proto = 41
			}
			for _, w := range encapsulations() {
				if w.frame || !isV6(inner) {
					list = append(list, frames(w, inner)...)
				}
			}
			list = append(list, frames(encapsulation{proto: proto, wrap: func(b []byte) []byte { return b }}, inner)...)
		}
	}
	return list
}

// Sampling applies to the packet inside a tunnel.
func TestTunnelSampling(t *testing.T) {
	onOneCPU(t)
	ratio := packet.Ratio{Keep: 2, Of: 5}
	s := newKit(t, Options{Keep: 2, Of: 5, Decap: allTunnels(), TunnelPorts: tunnelPorts()})
	r := rand.New(rand.NewPCG(3, 4))
	in := func(inner []byte) []byte { return eth(0x0800, ip4(b4, a4, 47, gre(0, 0x0800, nil)(inner))) }
	for range 100 {
		c := randomFlow(r, false)
		want := "sampled_out"
		if c.pair().Sampled(ratio) {
			want = "delivered"
		}
		s.want(want, sensorProgTcIngressEth, in(c.packet(6, tcp(c.sport, 53, nil))[14:]))
	}
	kept := 0
	for i := range 50 {
		if s.run(sensorProgTcIngressEth, in(ip4(a4, b4, 17, udp(uint16(40000+i), 53, fill(20)))), nil) == "delivered" {
			kept++
		}
	}
	if kept != 20 {
		t.Errorf("2:5 keeps %d of 50 datagrams in a tunnel", kept)
	}
}

func TestTunnelPortsBounded(t *testing.T) {
	o := Options{Ports: []uint16{53}, Rings: 1, RingBytes: MinRingBytes, TunnelPorts: make([]TunnelPort, MaxTunnelPorts+1)}
	if k, err := Load(o); err == nil {
		k.Close()
		t.Errorf("%d ports are accepted", len(o.TunnelPorts))
	}
}
