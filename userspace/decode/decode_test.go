package decode

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"dnsmonster-sensor/userspace/packet"
)

// carried checks that a frame shows the inner datagram.
func carried(t *testing.T, name string, link packet.LinkType, frame string, tunnel packet.Tunnel) Layers {
	t.Helper()
	var l Layers
	p := packet.Packet{Data: []byte(frame), Link: link}
	if got := Decode(&p, &l); got != FoundUDP {
		t.Errorf("%s: found %d, want a datagram", name, got)
		return l
	}
	src := a4
	if len(l.Src) == 16 {
		src = a6
	}
	if !bytes.Equal(l.Src, src) || l.SrcPort != 40000 || l.DstPort != 53 || string(l.Payload) != payload || l.Missing != 0 {
		t.Errorf("%s: %v port %d to %v port %d, payload %q, missing %d", name, l.Src, l.SrcPort, l.Dst, l.DstPort, l.Payload, l.Missing)
	}
	if l.Tunnel != tunnel {
		t.Errorf("%s: tunnel %q, want %q", name, l.Tunnel, tunnel)
	}
	if (l.Path != 0) != (tunnel != packet.TunnelNone) {
		t.Errorf("%s: path %x", name, l.Path)
	}
	return l
}

// TestDefect09Links: every link header between the wire and IP is decoded.
func TestDefect09Links(t *testing.T) {
	f := func(name string, link packet.LinkType, frame string) {
		t.Helper()
		carried(t, name, link, frame, packet.TunnelNone)
	}
	const eth = packet.LinkEthernet
	sll := func(kind string) string { return strings.Repeat("\x00", 14) + kind }
	sll2 := func(kind string) string { return kind + strings.Repeat("\x00", 18) }
	f("Ethernet IPv4", eth, ether(0x0800, inner4))
	f("Ethernet IPv6", eth, ether(0x86dd, inner6))
	f("padding", eth, ether(0x0800, inner4+"\x00\x00\x00\x00\x00\x00"))
	f("SNAP", eth, ether(uint16(8+len(inner4)), "\xaa\xaa\x03\x00\x00\x00\x08\x00"+inner4))
	f("SNAP with a tag", eth, ether(uint16(12+len(inner4)), "\xaa\xaa\x03\x00\x00\x00\x81\x00"+tag(5, 0x0800, inner4)))
	f("LLC", eth, ether(uint16(3+len(inner4)), "\x06\x06\x03"+inner4))
	f("MPLS", eth, ether(0x8847, label(16, true, inner4)))
	f("MPLS, three labels", eth, ether(0x8847, label(16, false, label(17, false, label(18, true, inner6)))))
	f("MPLS multicast", eth, ether(0x8848, label(16, true, inner4)))
	f("PPPoE", eth, ether(0x8864, pppoe("\x00\x21"+inner4)))
	f("PPPoE IPv6", eth, ether(0x8864, pppoe("\x00\x57"+inner6)))
	f("PPPoE and padding", eth, ether(0x8864, pppoe("\x00\x21"+inner4)+"\x00\x00"))
	f("PPPoE in a VLAN", eth, ether(0x8100, tag(5, 0x8864, pppoe("\x00\x21"+inner4))))
	f("SLL", packet.LinkSLL, sll("\x08\x00")+inner4)
	f("SLL with a tag", packet.LinkSLL, sll("\x81\x00")+tag(5, 0x86dd, inner6))
	f("SLL2", packet.LinkSLL2, sll2("\x86\xdd")+inner6)
	f("SLL, MPLS", packet.LinkSLL, sll("\x88\x47")+label(16, true, inner4))
	f("SLL2, two tags", packet.LinkSLL2, sll2("\x88\xa8")+tag(5, 0x8100, tag(6, 0x0800, inner4)))
	f("SLL2, PPPoE", packet.LinkSLL2, sll2("\x88\x64")+pppoe("\x00\x21"+inner4))
	f("null", packet.LinkNull, "\x02\x00\x00\x00"+inner4)
	f("null, big-endian, IPv6 of another system", packet.LinkNull, "\x00\x00\x00\x1e"+inner6)
	f("loop", packet.LinkLoop, "\x00\x00\x00\x02"+inner4)
	f("PPP", packet.LinkPPP, "\x00\x21"+inner4)
	f("PPP, HDLC-like", packet.LinkPPP, "\xff\x03\x00\x57"+inner6)
	f("PPP, compressed protocol", packet.LinkPPP, "\x21"+inner4)
	f("PPP, MPLS", packet.LinkPPP, "\x02\x81"+label(16, true, inner4))
	f("PPP, IPv6 with compressed protocol", packet.LinkPPP, "\xff\x03\x57"+inner6)
	f("FDDI, IPv6", packet.LinkFDDI, "\x50"+strings.Repeat("\x02", 12)+"\xaa\xaa\x03\x00\x00\x00\x86\xdd"+inner6)
	f("FDDI", packet.LinkFDDI, "\x50"+strings.Repeat("\x02", 12)+"\xaa\xaa\x03\x00\x00\x00\x08\x00"+inner4)
	f("destination options", eth, ether(0x86dd, ip6(60, "\x11\x00"+"\x01\x04\x00\x00\x00\x00"+inner6[40:])))
	f("hop-by-hop, routing", eth, ether(0x86dd, ip6(0, "\x2b\x00"+"\x01\x04\x00\x00\x00\x00"+"\x11\x00"+"\x00\x00\x00\x00\x00\x00"+inner6[40:])))
	f("authentication", eth, ether(0x86dd, ip6(51, "\x11\x01"+strings.Repeat("\x00", 10)+inner6[40:])))
	f("IPv4 authentication", eth, ether(0x0800, ip4(51, "\x11\x01"+strings.Repeat("\x00", 10)+inner4[20:])))
	f("atomic fragment", eth, ether(0x86dd, ip6(44, "\x11\x00\x00\x00\x00\x00\x00\x07"+inner6[40:])))
}

// TestDefect10LinkTypeDecides: raw IP is recognised by its link type alone.
func TestDefect10LinkTypeDecides(t *testing.T) {
	carried(t, "raw IPv4", packet.LinkRaw, inner4, packet.TunnelNone)
	carried(t, "raw IPv6", packet.LinkRaw, inner6, packet.TunnelNone)
	carried(t, "IPv4", packet.LinkIPv4, inner4, packet.TunnelNone)
	carried(t, "IPv6", packet.LinkIPv6, inner6, packet.TunnelNone)
	var l Layers
	if got := Decode(&packet.Packet{Data: []byte(inner4), Link: 147}, &l); got != FoundUnknownLink {
		t.Errorf("an unknown link type: found %d", got)
	}
}

func TestVLANs(t *testing.T) {
	f := func(name, frame string, p packet.Packet, want uint16) {
		t.Helper()
		var l Layers
		p.Data, p.Link = []byte(frame), packet.LinkEthernet
		if got := Decode(&p, &l); got != FoundUDP || !l.HasVLAN || l.VLAN != want {
			t.Errorf("%s: found %d, VLAN %d %v, want %d", name, got, l.VLAN, l.HasVLAN, want)
		}
	}
	f("802.1Q", ether(0x8100, tag(5, 0x0800, inner4)), packet.Packet{}, 5)
	f("802.1ad", ether(0x88a8, tag(5, 0x8100, tag(6, 0x0800, inner4))), packet.Packet{}, 5)
	f("four", ether(0x88a8, tag(5, 0x9100, tag(6, 0x8100, tag(7, 0x8100, tag(8, 0x86dd, inner6))))), packet.Packet{}, 5)
	f("taken out by the kernel", ether(0x0800, inner4), packet.Packet{HasVLAN: true, VLAN: 9}, 9)
	f("the outer one taken out", ether(0x8100, tag(5, 0x0800, inner4)), packet.Packet{HasVLAN: true, VLAN: 9}, 9)
	five := ether(0x8100, tag(1, 0x8100, tag(2, 0x8100, tag(3, 0x8100, tag(4, 0x8100, tag(5, 0x0800, inner4))))))
	var l Layers
	if got := Decode(&packet.Packet{Data: []byte(five), Link: packet.LinkEthernet}, &l); got != FoundTooDeep {
		t.Errorf("five tags: found %d, want too deep", got)
	}
}

// TestDefect08TunnelsShowTheInnerPacket: one result per packet, with the inner
// addresses and the tunnel's name.
func TestDefect08TunnelsShowTheInnerPacket(t *testing.T) {
	inEther := ether(0x0800, inner4)
	f := func(name string, tunnel packet.Tunnel, proto byte, data string) {
		t.Helper()
		carried(t, name, packet.LinkEthernet, ether(0x0800, outer4(proto, data)), tunnel)
		carried(t, name+" over IPv6", packet.LinkEthernet, ether(0x86dd, outer6(proto, data)), tunnel)
	}
	f("VXLAN", packet.TunnelVXLAN, 17, udp(50000, 4789, vxlanHeader+inEther))
	f("VXLAN, old port", packet.TunnelVXLAN, 17, udp(50000, 8472, vxlanHeader+inEther))
	f("VXLAN, group policy", packet.TunnelVXLAN, 17, udp(50000, 4789, "\x88\x08\x00\x05\x00\x00\x07\x00"+inEther))
	f("VXLAN, reserved bits set", packet.TunnelVXLAN, 17, udp(4789, 4789, "\x0c\x00\x00\x03\x00\x00\x01\x00"+inEther))
	f("VXLAN, tagged", packet.TunnelVXLAN, 17, udp(50000, 4789, vxlanHeader+ether(0x8100, tag(5, 0x86dd, inner6))))
	f("VXLAN-GPE IPv4", packet.TunnelVXLANGPE, 17, udp(50000, 4790, "\x0c\x00\x00\x01\x00\x00\x07\x00"+inner4))
	f("VXLAN-GPE IPv6", packet.TunnelVXLANGPE, 17, udp(50000, 4790, "\x0c\x00\x00\x02\x00\x00\x07\x00"+inner6))
	f("VXLAN-GPE Ethernet", packet.TunnelVXLANGPE, 17, udp(50000, 4790, "\x0c\x00\x00\x03\x00\x00\x07\x00"+inEther))
	f("VXLAN-GPE, reserved bits set", packet.TunnelVXLANGPE, 17, udp(50000, 4790, "\x1c\x07\x00\x03\x00\x00\x07\x42"+inEther))
	f("VXLAN-GPE without next protocol", packet.TunnelVXLANGPE, 17, udp(50000, 4790, "\x08\x00\x00\x00\x00\x00\x07\x00"+inEther))
	f("VXLAN-GPE MPLS", packet.TunnelVXLANGPE, 17, udp(50000, 4790, "\x0c\x00\x00\x05\x00\x00\x07\x00"+label(16, true, inner4)))
	f("GENEVE", packet.TunnelGENEVE, 17, udp(50000, 6081, geneveHeader+inEther))
	f("GENEVE, options", packet.TunnelGENEVE, 17, udp(50000, 6081, "\x02\x40\x65\x58\x00\x00\x07\x00"+"\x01\x02\x80\x01\x00\x00\x00\x01"+inEther))
	f("GENEVE, reserved bits set", packet.TunnelGENEVE, 17, udp(50000, 6081, "\x00\x2a\x65\x58\x00\x00\x07\x99"+inEther))
	f("GENEVE IPv4", packet.TunnelGENEVE, 17, udp(50000, 6081, "\x00\x00\x08\x00\x00\x00\x07\x00"+inner4))
	f("GENEVE IPv6", packet.TunnelGENEVE, 17, udp(50000, 6081, "\x00\x00\x86\xdd\x00\x00\x07\x00"+inner6))
	f("GRE", packet.TunnelGRE, 47, gre(0, 0x0800, "", inner4))
	f("GRE IPv6", packet.TunnelGRE, 47, gre(0, 0x86dd, "", inner6))
	f("GRE key", packet.TunnelGRE, 47, gre(0x2000, 0x0800, "\x00\x00\x00\x09", inner4))
	f("GRE checksum, key, sequence", packet.TunnelGRE, 47, gre(0xb000, 0x0800, "\x12\x34\x00\x00"+"\x00\x00\x00\x09"+"\x00\x00\x00\x01", inner4))
	f("GRE source route", packet.TunnelGRE, 47, gre(0x4000, 0x0800, "\x00\x00\x00\x00"+"\x08\x00\x00\x04\xc0\x00\x02\x01"+"\x00\x00\x00\x00", inner4))
	f("GRE transparent Ethernet", packet.TunnelGRE, 47, gre(0x2000, 0x6558, "\x00\x00\x00\x09", inEther))
	f("GRE sequence", packet.TunnelGRE, 47, gre(0x1000, 0x86dd, "\x00\x00\x00\x01", inner6))
	f("GRE checksum", packet.TunnelGRE, 47, gre(0x8000, 0x0800, "\x12\x34\x00\x00", inner4))
	f("GRE PPP, compressed protocol", packet.TunnelGRE, 47, gre(0, 0x880b, "", "\x21"+inner4))
	f("GRE Ethernet with two tags", packet.TunnelGRE, 47, gre(0, 0x6558, "", ether(0x88a8, tag(5, 0x8100, tag(6, 0x86dd, inner6)))))
	f("GRE MPLS", packet.TunnelGRE, 47, gre(0, 0x8847, "", label(16, true, inner4)))
	f("GRE PPP", packet.TunnelGRE, 47, gre(0, 0x880b, "", "\xff\x03\x00\x21"+inner4))
	f("GRE PPTP", packet.TunnelGRE, 47, gre(0x3081, 0x880b, "\x00\x40\x00\x07"+"\x00\x00\x00\x01"+"\x00\x00\x00\x02", "\xff\x03\x00\x21"+inner4))
	f("ERSPAN I", packet.TunnelERSPAN, 47, gre(0, 0x88be, "", inEther))
	f("ERSPAN II", packet.TunnelERSPAN, 47, gre(0x1000, 0x88be, "\x00\x00\x00\x01", "\x10\x05\x00\x07\x00\x00\x00\x00"+inEther))
	f("ERSPAN III", packet.TunnelERSPAN, 47, gre(0x1000, 0x22eb, "\x00\x00\x00\x01", "\x20\x05\x00\x07"+strings.Repeat("\x00", 8)+inEther))
	f("ERSPAN III, subheader", packet.TunnelERSPAN, 47, gre(0x1000, 0x22eb, "\x00\x00\x00\x01", "\x20\x05\x00\x07"+strings.Repeat("\x00", 7)+"\x01"+strings.Repeat("\x00", 8)+inEther))
	f("MPLS in IP", packet.TunnelMPLS, 137, label(16, true, inner4))
	f("Teredo", packet.TunnelTeredo, 17, udp(50000, 3544, inner6))
	f("Teredo, server", packet.TunnelTeredo, 17, udp(3544, 50000, inner6))
	f("Teredo, origin", packet.TunnelTeredo, 17, udp(3544, 50000, "\x00\x00\x00\x00\x00\x00\x00\x00"+inner6))
	f("Teredo, authentication, origin", packet.TunnelTeredo, 17, udp(50000, 3544, "\x00\x01\x02\x03"+"idsum"+"12345678\x00"+"\x00\x00\x00\x00\x00\x00\x00\x00"+inner6))
	f("GTP", packet.TunnelGTP, 17, udp(2152, 2152, gtp(0x30, "", inner4)))
	f("GTP, sequence", packet.TunnelGTP, 17, udp(2152, 2152, gtp(0x32, "\x00\x01\x00\x00", inner6)))
	f("GTP, N-PDU number", packet.TunnelGTP, 17, udp(2152, 2152, gtp(0x31, "\x00\x00\x05\x00", inner4)))
	f("GTP, PDU session container", packet.TunnelGTP, 17, udp(2152, 2152, gtp(0x34, "\x00\x00\x00\x85"+"\x02\x10\x09\x00\x00\x00\x00\x00", inner6)))
	f("GTP, extensions", packet.TunnelGTP, 17, udp(2152, 2152, gtp(0x34, "\x00\x00\x00\x85"+"\x01\x10\x00\x40"+"\x01\x00\x00\x00", inner4)))
	carried(t, "IPIP", packet.LinkEthernet, ether(0x0800, outer4(4, inner4)), packet.TunnelIPIP)
	carried(t, "6in4", packet.LinkEthernet, ether(0x0800, outer4(41, inner6)), packet.Tunnel6in4)
	carried(t, "4in6", packet.LinkEthernet, ether(0x86dd, ip6(4, inner4)), packet.Tunnel4in6)
	carried(t, "6in6", packet.LinkEthernet, ether(0x86dd, ip6(41, inner6)), packet.Tunnel6in6)
	carried(t, "pseudowire", packet.LinkEthernet, ether(0x8847, label(16, true, inEther)), packet.TunnelMPLS)
	carried(t, "pseudowire, control word", packet.LinkEthernet, ether(0x8847, label(16, true, "\x00\x00\x00\x00"+inEther)), packet.TunnelMPLS)
}

// TestNesting: four nested tunnels are followed, the fifth is too deep.
func TestNesting(t *testing.T) {
	frame := inner4
	for depth := 1; depth <= 5; depth++ {
		frame = outer4(4, frame)
		if depth < 5 {
			if l := carried(t, "nested", packet.LinkRaw, frame, packet.TunnelIPIP); int(l.Depth) != depth || !bytes.Equal(l.OuterSrc, o4) {
				t.Errorf("depth %d, want %d; outer source %v", l.Depth, depth, l.OuterSrc)
			}
			continue
		}
		var l Layers
		if got := Decode(&packet.Packet{Data: []byte(frame), Link: packet.LinkRaw}, &l); got != FoundTooDeep {
			t.Errorf("five tunnels: found %d, want too deep", got)
		}
	}
	mixed := outer4(47, gre(0, 0x6558, "", ether(0x0800, outer4(17, udp(1, 4789, vxlanHeader+ether(0x0800, outer4(41, inner6)))))))
	carried(t, "GRE, VXLAN, 6in4", packet.LinkRaw, mixed, packet.Tunnel6in4)
}

// TestPath: which differences tell tunnels apart.
func TestPath(t *testing.T) {
	path := func(frame string) uint64 {
		t.Helper()
		return carried(t, "path", packet.LinkRaw, frame, packet.TunnelGRE).Path
	}
	first := path(outer4(47, gre(0x2000, 0x0800, "\x00\x00\x00\x09", inner4)))
	if again := path(outer4(47, gre(0x3000, 0x0800, "\x00\x00\x00\x09\x00\x00\x00\x05", inner4))); again != first {
		t.Error("a sequence number makes another path")
	}
	if other := path(outer4(47, gre(0x2000, 0x0800, "\x00\x00\x00\x0a", inner4))); other == first {
		t.Error("another key is the same path")
	}
	if other := path(ip4between(p4, o4, 47, 0, gre(0x2000, 0x0800, "\x00\x00\x00\x09", inner4))); other == first {
		t.Error("other ends are the same path")
	}
}

// TestNotATunnel: a datagram on a tunnel's port that does not look like the
// tunnel stays a datagram.
func TestNotATunnel(t *testing.T) {
	const query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"
	likeVXLAN := []string{"\x08\x00\x00\x00" + query[4:], "\x88\x40" + query[2:], vxlanHeader + ether(0x0800, inner4)}
	for _, port := range packet.UsualTunnelPorts() {
		for _, data := range append(likeVXLAN, query, "\x08"+query[1:], "", "\x00", strings.Repeat("\xff", 60), strings.Repeat("\x30\xff", 30)) {
			for _, dg := range []string{udp(port.Number, 53, data), udp(53, port.Number, data)} {
				var l Layers
				p := packet.Packet{Data: []byte(ip4(17, dg)), Link: packet.LinkRaw}
				if got := Decode(&p, &l); got != FoundUDP || string(l.Payload) != data || l.Depth != 0 {
					t.Errorf("port %d, %q: found %d, payload %q, depth %d", port.Number, data, got, l.Payload, l.Depth)
				}
			}
		}
	}
}

func TestConfiguredPorts(t *testing.T) {
	p := packet.Packet{Data: []byte(ip4(17, udp(1000, 5000, vxlanHeader+ether(0x0800, inner4)))), Link: packet.LinkRaw}
	var l Layers
	d := NewDecoder([]packet.TunnelPort{{Number: 5000, Tunnel: packet.TunnelVXLAN}}, func(uint16) bool { return false })
	if d.Decode(&p, &l); l.Tunnel != packet.TunnelVXLAN || l.DstPort != 53 {
		t.Errorf("tunnel %q, port %d", l.Tunnel, l.DstPort)
	}
	if Decode(&p, &l); l.Tunnel != packet.TunnelNone || l.DstPort != 5000 {
		t.Errorf("default ports: tunnel %q, port %d", l.Tunnel, l.DstPort)
	}
}

func TestFragments(t *testing.T) {
	f := func(name, frame string, id uint32, off int, more bool, data string, tunnel packet.Tunnel) {
		t.Helper()
		var l Layers
		p := packet.Packet{Data: []byte(frame), Link: packet.LinkRaw}
		if got := Decode(&p, &l); got != FoundFragment || l.ID != id || l.FragOffset != off || l.FragMore != more ||
			l.FragProto != 17 || string(l.Payload) != data || l.Tunnel != tunnel {
			t.Errorf("%s: found %d, %+v", name, got, l)
		}
	}
	f("IPv4, first", ip4between(a4, b4, 17, 0x2000, "12345678"), 0xabcd, 0, true, "12345678", 0)
	f("defect 12: don't fragment is set", ip4between(a4, b4, 17, 0x6000, "12345678"), 0xabcd, 0, true, "12345678", 0)
	f("IPv4, last", ip4between(a4, b4, 17, 0x00b9, "1234"), 0xabcd, 1480, false, "1234", 0)
	f("IPv6", ip6(44, "\x11\x00\x00\x09\x00\x00\x00\x07"+"12345678"), 7, 8, true, "12345678", 0)
	f("IPv6, after two headers", ip6(0, "\x2b\x00\x01\x04\x00\x00\x00\x00"+"\x2c\x00\x00\x00\x00\x00\x00\x00"+"\x11\x00\x00\x01\x00\x00\x00\x07"+"12345678"), 7, 0, true, "12345678", 0)
	f("IPv4, the smallest", ip4between(a4, b4, 17, 0x2001, "12345678"), 0xabcd, 8, true, "12345678", 0)
	f("IPv6, after options", ip6(60, "\x2c\x00\x01\x04\x00\x00\x00\x00"+"\x11\x00\x00\x08\x00\x00\x00\x07"+"123"), 7, 8, false, "123", 0)
	f("in a tunnel", outer4(47, gre(0, 0x0800, "", ip4between(a4, b4, 17, 0x2000, "12345678"))), 0xabcd, 0, true, "12345678", packet.TunnelGRE)

	var l Layers
	Decode(&packet.Packet{Data: []byte(ip4between(o4, p4, 47, 1, "12345678")), Link: packet.LinkRaw}, &l)
	if got := l.Reassembled(47, []byte(gre(0, 0x0800, "", inner4)), 0); got != FoundUDP || l.DstPort != 53 || l.Tunnel != packet.TunnelGRE {
		t.Errorf("a tunnel in a reassembled datagram: found %d, port %d, tunnel %q", got, l.DstPort, l.Tunnel)
	}
	Decode(&packet.Packet{Data: []byte(ip6(44, "\x3c\x00\x00\x09\x00\x00\x00\x07"+"12345678")), Link: packet.LinkRaw}, &l)
	if got := l.Reassembled(60, []byte("\x11\x00\x01\x04\x00\x00\x00\x00"+inner6[40:]), 3); got != FoundUDP || string(l.Payload) != payload {
		t.Errorf("options in a reassembled datagram: found %d, payload %q", got, l.Payload)
	}
}

// TestDefect17CutsAreKnown: bytes that the capture left out are reported, in a tunnel, too.
func TestDefect17CutsAreKnown(t *testing.T) {
	f := func(name, frame string) {
		t.Helper()
		var l Layers
		p := packet.Packet{Data: []byte(frame[:len(frame)-5]), Link: packet.LinkRaw}
		if got := Decode(&p, &l); got > FoundTCP || l.Missing != 5 || string(l.Payload) != payload[:len(payload)-5] {
			t.Errorf("%s: found %d, missing %d, payload %q", name, got, l.Missing, l.Payload)
		}
	}
	f("UDP", inner4)
	f("UDP, IPv6", inner6)
	f("TCP", ip4(6, tcp(40000, 53, payload)))
	f("VXLAN", outer4(17, udp(1, 4789, vxlanHeader+ether(0x0800, inner4))))
	f("GTP", outer4(17, udp(1, 2152, gtp(0x30, "", inner4))))
	f("Teredo", outer4(17, udp(1, 3544, inner6)))
}

func TestTCPHeader(t *testing.T) {
	var l Layers
	p := packet.Packet{Data: []byte(ip6(6, tcp(40000, 53, payload))), Link: packet.LinkRaw}
	if got := Decode(&p, &l); got != FoundTCP || l.Seq != 4096 || l.TCPFlags != 0x18 || string(l.Payload) != payload {
		t.Errorf("found %d, %+v", got, l)
	}
}

// TestDefect03ShortFragmentHeader: a fragment header that ends early is bad.
func TestDefect03ShortFragmentHeader(t *testing.T) {
	for n := range 8 {
		var l Layers
		p := packet.Packet{Data: []byte(ip6(44, strings.Repeat("\x00", n))), Link: packet.LinkRaw}
		if got := Decode(&p, &l); got != FoundBad {
			t.Errorf("%d bytes: found %d, want bad", n, got)
		}
	}
}

// TestCutAnywhere cuts every frame at every byte: no panic, and never a datagram whose
// payload and missing bytes add up to another length.
func TestCutAnywhere(t *testing.T) {
	for _, frame := range []string{
		ether(0x8100, tag(1, 0x8847, label(1, true, inner4))), ether(0x8864, pppoe("\x00\x21"+inner4)),
		ether(0x0800, outer4(17, udp(1, 4789, vxlanHeader+ether(0x0800, inner4)))),
		ether(0x0800, outer4(17, udp(1, 6081, geneveHeader+ether(0x0800, inner4)))),
		ether(0x0800, outer4(47, gre(0xf000, 0x0800, "\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00", inner4))),
		ether(0x0800, outer4(47, gre(0x1000, 0x22eb, "\x00\x00\x00\x01", strings.Repeat("\x00", 12)+ether(0x86dd, inner6)))),
		ether(0x0800, outer4(17, udp(1, 2152, gtp(0x34, "\x00\x00\x00\x85\x01\x10\x00\x00", inner4)))),
		ether(0x86dd, ip6(0, "\x3c\x00\x00\x00\x00\x00\x00\x00"+"\x11\x00\x00\x00\x00\x00\x00\x00"+inner6[40:])),
	} {
		for n := range len(frame) {
			var l Layers
			p := packet.Packet{Data: []byte(frame[:n]), Link: packet.LinkEthernet}
			if Decode(&p, &l) == FoundUDP && l.DstPort == 53 && len(l.Payload)+l.Missing != len(payload) {
				t.Errorf("%x cut at %d: payload %d, missing %d", frame, n, len(l.Payload), l.Missing)
			}
		}
	}
}

// TestLane: packets that belong together go to one lane.
func TestLane(t *testing.T) {
	lane := func(frame string) packet.Hash {
		return Lane(&packet.Packet{Data: []byte(frame), Link: packet.LinkRaw})
	}
	whole := outer4(47, gre(0, 0x0800, "", ip4(6, tcp(40000, 53, payload))))
	if lane(whole) != lane(ip4between(o4, p4, 47, 0x2000, "12345678")) {
		t.Error("a stream's whole packet and a fragment of the tunnel's are on different lanes")
	}
	if lane(ip4(6, tcp(40000, 53, payload))) != lane(ip4between(a4, b4, 6, 0x2000, "12345678")) {
		t.Error("a segment and a fragment of the same addresses are on different lanes")
	}
	if lane(inner4) == lane(ip4(17, udp(40001, 53, payload))) {
		t.Error("datagrams of different ports share a hash")
	}
	if lane(inner4) != lane(ip4between(b4, a4, 17, 0, udp(53, 40000, payload))) {
		t.Error("query and response have different hashes")
	}
}

func TestAllocatesNothing(t *testing.T) {
	var l Layers
	p := packet.Packet{Data: []byte(outer4(47, gre(0, 0x6558, "", ether(0x0800, outer4(17, udp(1, 4789, vxlanHeader+ether(0x0800, inner4))))))), Link: packet.LinkRaw}
	if n := testing.AllocsPerRun(1000, func() { Decode(&p, &l) }); n != 0 {
		t.Errorf("Decode allocates %v times, want 0", n)
	}
}

// TestPathsAreKeyed: a tunnel's path differs in each run, so that a sender cannot make
// two tunnels with the same path.
func TestPathsAreKeyed(t *testing.T) {
	p := packet.Packet{Data: []byte(outer4(47, gre(0, 0x0800, "", inner4))), Link: packet.LinkRaw}
	path := func(d *Decoder) uint64 {
		var l Layers
		d.Decode(&p, &l)
		return l.Path
	}
	one, two := NewDecoder(packet.UsualTunnelPorts(), defaultDecoder.dns), NewDecoder(packet.UsualTunnelPorts(), defaultDecoder.dns)
	first, again, other := path(one), path(one), path(two)
	if first != again || first == other {
		t.Errorf("paths %x and %x, of another decoder %x", first, again, other)
	}
}

// FuzzDecode: for any bytes and link type there is no panic, all slices lie in the frame,
// tunnels are followed up to the limit, and both paths to the lane agree.
func FuzzDecode(f *testing.F) {
	inEther := ether(0x0800, inner4)
	for _, frame := range []string{
		inEther, ether(0x86dd, inner6), ether(0x8100, tag(5, 0x8847, label(16, true, "\x00\x00\x00\x00"+inEther))),
		ether(0x8864, pppoe("\x00\x21"+inner4)), ether(0x0800, outer4(17, udp(1, 4789, vxlanHeader+inEther))),
		ether(0x0800, outer4(17, udp(1, 4790, "\x0c\x00\x00\x01\x00\x00\x07\x00"+inner4))),
		ether(0x0800, outer4(17, udp(1, 6081, geneveHeader+inEther))), ether(0x0800, outer4(17, udp(1, 3544, inner6))),
		ether(0x0800, outer4(17, udp(1, 2152, gtp(0x34, "\x00\x00\x00\x85\x01\x10\x00\x00", inner4)))),
		ether(0x0800, outer4(47, gre(0xf000, 0x0800, strings.Repeat("\x00", 16), inner4))),
		ether(0x0800, outer4(47, gre(0x3081, 0x880b, strings.Repeat("\x00", 12), "\xff\x03\x00\x21"+inner4))),
		ether(0x0800, outer4(47, gre(0x1000, 0x22eb, "\x00\x00\x00\x01", strings.Repeat("\x00", 12)+inEther))),
		ether(0x86dd, ip6(44, "\x3c\x00\x00\x09\x00\x00\x00\x07"+"12345678")), ether(0x86dd, ip6(44, "\x11")),
	} {
		f.Add([]byte(frame), uint16(packet.LinkEthernet), uint16(0))
		f.Add([]byte(frame[14:]), uint16(packet.LinkRaw), uint16(1))
	}
	f.Add([]byte("\xff\x03\x00\x21"+inner4), uint16(packet.LinkPPP), uint16(0))
	for _, c := range encapsulations() {
		f.Add([]byte(c.frame), uint16(c.link), uint16(0))
	}
	f.Fuzz(func(t *testing.T, frame []byte, link uint16, cut uint16) {
		frame = frame[:len(frame):len(frame)]
		var l Layers
		p := packet.Packet{Data: frame, Link: packet.LinkType(link), WireLen: uint32(len(frame)) + uint32(cut)}
		found := Decode(&p, &l)
		for range 4 {
			for name, s := range map[string][]byte{"source": l.Src, "destination": l.Dst} {
				if n := len(s); n != 0 && n != 4 && n != 16 || n > 0 && !within(s, frame) {
					t.Fatalf("%s: %d bytes, in the frame: %v", name, n, within(s, frame))
				}
			}
			if l.Depth > maxTunnels || (l.Depth > 0) != (l.Path != 0) || (l.Depth > 0) != (l.Tunnel != packet.TunnelNone) {
				t.Fatalf("depth %d, path %x, tunnel %q", l.Depth, l.Path, l.Tunnel)
			}
			if found <= FoundFragment && (!within(l.Payload, frame) || l.Missing < 0 || l.Missing > 0xffff || l.Src == nil || len(l.Src) != len(l.Dst)) {
				t.Fatalf("found %d with %d of %d bytes, missing %d, source %v", found, len(l.Payload), len(frame), l.Missing, l.Src)
			}
			if found != FoundFragment {
				break
			}
			found = l.Reassembled(l.FragProto, l.Payload, l.Missing)
		}
		if fast, slow := Lane(&p), defaultDecoder.anyLane(&p); fast != slow {
			t.Fatalf("lane %x by the fast path, %x by the slow one", fast, slow)
		}
	})
}

// within reports whether s is a part of frame.
func within(s, frame []byte) bool {
	if len(s) == 0 {
		return true
	}
	start, at := uintptr(unsafe.Pointer(unsafe.SliceData(frame))), uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	return at >= start && at+uintptr(len(s)) <= start+uintptr(len(frame))
}
