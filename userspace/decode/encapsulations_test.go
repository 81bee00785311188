package decode

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// encapsulation is a frame around an inner IP packet.
type encapsulation struct {
	name   string
	tunnel packet.Tunnel
	link   packet.LinkType
	frame  string
}

func be16(n uint16) string { return string(binary.BigEndian.AppendUint16(nil, n)) }
func le16(n uint16) string { return string(binary.LittleEndian.AppendUint16(nil, n)) }
func le32(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }

// etherOf is an Ethernet frame around an IP packet of either version.
func etherOf(ip string) string {
	if ip[0]>>4 == 6 {
		return ether(0x86dd, ip)
	}
	return ether(0x0800, ip)
}

// inTunnel lists the encapsulations in IP or UDP, over both versions of IP.
func inTunnel(inner string) (list []encapsulation) {
	add := func(name string, t packet.Tunnel, proto byte, data string) {
		list = append(list, encapsulation{name, t, packet.LinkEthernet, ether(0x0800, outer4(proto, data))},
			encapsulation{name + ", over IPv6", t, packet.LinkEthernet, ether(0x86dd, outer6(proto, data))})
	}
	over := func(port uint16, data string) string { return udp(50000, port, data) }
	kind, ppp := numbersOf(inner)
	frame := etherOf(inner)
	nsh := func(next byte, data string) string { return "\x0f\xc2\x02" + string(next) + "\x00\x00\x07\xff" + data }
	const greUDP, mplsUDP, tzsp, l2tp, inNSH = packet.TunnelGREUDP, packet.TunnelMPLSUDP, packet.TunnelTZSP, packet.TunnelL2TP, packet.TunnelNSH

	add("GRE in UDP", greUDP, 17, over(4754, gre(0, kind, "", inner)))
	add("GRE in UDP, checksum, key, sequence", greUDP, 17, over(4754, gre(0xb000, kind, "\x12\x34\x00\x00\x00\x00\x00\x09\x00\x00\x00\x01", inner)))
	add("GRE in UDP, the port for DTLS", greUDP, 17, over(4755, gre(0x2000, kind, "\x00\x00\x00\x09", inner)))
	add("GRE in UDP, Ethernet", greUDP, 17, over(4754, gre(0, 0x6558, "", frame)))
	add("GRE in UDP, reserved bits set", greUDP, 17, over(4754, gre(0x0100, 0x6558, "", frame)))
	add("GRE in UDP, MPLS", greUDP, 17, over(4754, gre(0, 0x8847, "", label(16, true, inner))))
	add("GRE in UDP, ERSPAN II", packet.TunnelERSPAN, 17, over(4754, gre(0x1000, 0x88be, "\x00\x00\x00\x01", "\x10\x05\x00\x07\x00\x00\x00\x00"+frame)))
	add("EoIP", packet.TunnelGRE, 47, gre(0x2001, 0x6400, be16(uint16(len(frame)))+"\x07\x00", frame))

	add("MPLS in UDP", mplsUDP, 17, over(6635, label(16, true, inner)))
	add("MPLS in UDP, three labels", mplsUDP, 17, over(6635, label(16, false, label(17, false, label(18, true, inner)))))
	add("MPLS in UDP, pseudowire", packet.TunnelMPLS, 17, over(6635, label(16, true, frame)))
	add("MPLS in UDP, pseudowire with control word", packet.TunnelMPLS, 17, over(6635, label(16, true, "\x00\x00\x00\x00"+frame)))

	add("TZSP", tzsp, 17, over(37008, "\x01\x00\x00\x01\x01"+frame))
	add("TZSP, for transmit", tzsp, 17, over(37008, "\x01\x01\x00\x01\x01"+frame))
	add("TZSP, tags", tzsp, 17, over(37008, "\x01\x00\x00\x01"+"\x00\x0a\x01\xc8\x0d\x04\x00\x00\x00\x07\x00\x01"+frame))
	add("TZSP, 802.11", tzsp, 17, over(37008, "\x01\x00\x00\x12\x01"+wlan(0x0801, kind, inner)))
	add("TZSP, raw IP", tzsp, 17, over(37008, "\x01\x00\x00\x07\x01"+inner))

	add("L2TP", l2tp, 17, udp(1701, 1701, "\x00\x02\x00\x07\x00\x09"+"\xff\x03"+ppp+inner))
	add("L2TP, length", l2tp, 17, over(1701, "\x40\x02"+be16(uint16(12+len(inner)))+"\x00\x07\x00\x09"+"\xff\x03"+ppp+inner))
	add("L2TP, all fields, protocol only", l2tp, 17, over(1701, "\x4b\x02"+be16(uint16(20+len(inner)))+"\x00\x07\x00\x09\x00\x01\x00\x02\x00\x04pad!"+ppp+inner))
	add("L2TP, compressed protocol", l2tp, 17, over(1701, "\x00\x02\x00\x07\x00\x09"+ppp[1:]+inner))
	add("L2TP, another port of the server", l2tp, 17, udp(1701, 50000, "\x00\x02\x00\x07\x00\x09"+ppp+inner))
	for _, cookie := range []string{"", "cook", "\x45\x00cookie"} {
		for _, sublayer := range []string{"", "\x00\x00\x00\x00", "\x40\x00\x00\x07"} {
			for what, data := range map[string]string{"": frame, ", tagged": frame[:12] + be16(0x8100) + tag(5, kind, inner), ", PPP": "\xff\x03" + ppp + inner,
				", PPPoE": ether(0x8864, pppoe(ppp+inner)), ", labels": ether(0x8847, label(16, false, label(17, true, inner))),
				", HDLC": "\x0f\x00" + be16(kind) + inner, ", IP": inner, ", padded": frame + strings.Repeat("\x00", max(0, 60-len(frame)))} {
				if sublayer == "\x40\x00\x00\x07" && cookie != "" && what == ", IP" {
					continue // a cookie or sublayer that looks like IP
				}
				name := "L2TPv3" + what + ", " + cookie + sublayer
				add(name+" in UDP", l2tp, 17, over(1701, "\x00\x03\x00\x00"+"\x00\x00\x00\x2a"+cookie+sublayer+data))
				add(name+" in IP", l2tp, 115, "\x00\x00\x00\x2a"+cookie+sublayer+data)
			}
		}
	}
	next := byte(1)
	if kind == 0x86dd {
		next = 2
	}
	add("NSH in VXLAN-GPE", inNSH, 17, over(4790, "\x0c\x00\x00\x04\x00\x00\x07\x00"+nsh(next, inner)))
	add("NSH in VXLAN-GPE, Ethernet", inNSH, 17, over(4790, "\x0c\x00\x00\x04\x00\x00\x07\x00"+nsh(3, frame)))
	add("NSH in GRE", inNSH, 47, gre(0, 0x894f, "", nsh(next, inner)))
	add("NSH in GENEVE", inNSH, 17, over(6081, "\x00\x00\x89\x4f\x00\x00\x07\x00"+nsh(3, frame)))
	add("LISP", packet.TunnelLISP, 17, over(4341, "\xc8\x12\x34\x56\x00\x00\x07\x01"+inner))
	add("LISP, next protocol", packet.TunnelLISP, 17, over(4341, "\x04\x00\x00\x03\x00\x00\x00\x00"+frame))
	add("EtherIP", packet.TunnelEtherIP, 97, "\x30\x00"+frame)
	add("Ethernet in IP", packet.TunnelEtherIP, 143, frame)
	return list
}

// onWire lists the encapsulations below IP.
func onWire(inner string) []encapsulation {
	return slices.Concat(inEthernet(inner), inLinkHeader(inner), inWLAN(inner))
}

// numbersOf returns the Ethernet type and the PPP protocol of an IP packet.
func numbersOf(inner string) (kind uint16, ppp string) {
	if inner[0]>>4 == 6 {
		return 0x86dd, "\x00\x57"
	}
	return 0x0800, "\x00\x21"
}

// inEthernet lists tags and tunnels with an Ethernet type of their own.
func inEthernet(inner string) (list []encapsulation) {
	add := func(name string, t packet.Tunnel, frame string) {
		list = append(list, encapsulation{name, t, packet.LinkEthernet, frame})
	}
	const none = packet.TunnelNone
	kind, _ := numbersOf(inner)
	next, frame := byte(1), etherOf(inner)
	if kind == 0x86dd {
		next = 2
	}
	tagged := func(fields string) string { return fields + be16(kind) + inner }
	add("VN-Tag", none, ether(0x8926, tagged("\x80\x05\x00\x07")))
	add("VN-Tag and VLAN", none, ether(0x8926, "\x00\x05\x00\x07"+be16(0x8100)+tag(5, kind, inner)))
	add("E-Tag", none, ether(0x893f, tagged("\x00\x07\x10\x05\x00\x00")))
	add("E-Tag and VLAN", none, ether(0x893f, "\x00\x07\x10\x05\x00\x00"+be16(0x8100)+tag(5, kind, inner)))
	add("MetaData", none, ether(0x8909, tagged("\x01\x01\x00\x01\x00\x07")))
	add("HSR", none, ether(0x892f, tagged("\x10\x40\x00\x01")))
	add("R-TAG", none, ether(0xf1c1, tagged("\x00\x00\x00\x01")))
	add("MACsec in clear", none, ether(0x88e5, tagged("\x40\x00\x00\x00\x00\x01")+strings.Repeat("i", 16)))
	add("MACsec in clear, channel", none, ether(0x88e5, tagged("\x20\x00\x00\x00\x00\x01"+"\x02\x00\x00\x00\x00\x01\x00\x01")+strings.Repeat("i", 16)))

	nsh := func(length, next byte, data string) string {
		return "\x0f" + string([]byte{0xc0 | length, 2, next}) + "\x00\x00\x07\xff" + data
	}
	add("NSH", packet.TunnelNSH, ether(0x894f, nsh(2, next, inner)))
	add("NSH, metadata", packet.TunnelNSH, ether(0x894f, nsh(6, 3, strings.Repeat("m", 16)+frame)))
	add("NSH, MPLS", packet.TunnelNSH, ether(0x894f, nsh(2, 5, label(16, true, inner))))
	add("NSH in NSH", packet.TunnelNSH, ether(0x894f, nsh(2, 4, nsh(2, 3, frame))))
	add("MAC in MAC", packet.TunnelPBB, ether(0x88a8, tag(5, 0x88e7, "\x00\x00\x00\x2a"+frame)))
	add("TRILL", packet.TunnelTRILL, ether(0x22f3, "\x00\x3f\x00\x01\x00\x02"+frame))
	add("TRILL, options", packet.TunnelTRILL, ether(0x22f3, "\x00\x7f\x00\x01\x00\x02opts"+frame))
	add("FabricPath", packet.TunnelFabricPath, ether(0x8903, "\x00\x60"+frame))
	return list
}

// inLinkHeader lists the link types other than Ethernet and IEEE 802.11.
func inLinkHeader(inner string) (list []encapsulation) {
	add := func(name string, link packet.LinkType, frame string) {
		list = append(list, encapsulation{name, packet.TunnelNone, link, frame})
	}
	kind, ppp := numbersOf(inner)
	family, frame := byte(2), etherOf(inner)
	if kind == 0x86dd {
		family = 10
	}
	tlv := func(kind uint16, data string) string {
		return le16(uint16(4+len(data))) + le16(kind) + data + strings.Repeat("\x00", -len(data)&3)
	}
	tlvBig := func(kind uint16, data string) string {
		return be16(uint16(4+len(data))) + be16(kind) + data + strings.Repeat("\x00", -len(data)&3)
	}
	add("NFLOG", packet.LinkNFLog, string([]byte{family, 0, 0, 5})+tlv(1, be16(kind)+"\x01\x00")+tlv(10, "DNS: \x00")+tlv(9, inner))
	add("NFLOG, big-endian, nested", packet.LinkNFLog, string([]byte{family, 0, 0, 5})+tlvBig(1, be16(kind)+"\x01\x00")+tlvBig(0x8013, "\x00\x08\x00\x01\x00\x00\x00\x07")+tlvBig(9, inner))
	add("PFLOG", packet.LinkPFLog, "\x3d\x02"+strings.Repeat("\x00", 62)+inner)
	add("PFLOG, longer", packet.LinkPFLog, "\x64\x18"+strings.Repeat("\x00", 98)+inner)
	add("ENC", packet.LinkEnc, strings.Repeat("\x00", 12)+inner)
	add("HDLC", packet.LinkHDLC, "\x0f\x00"+be16(kind)+inner)
	add("PPP or HDLC: PPP", packet.LinkPPPHDLC, "\xff\x03"+ppp+inner)
	add("PPP or HDLC: HDLC", packet.LinkPPPHDLC, "\x8f\x00"+be16(kind)+inner)
	add("PPP, direction", packet.LinkPPPDir, "\x01\xff\x03"+ppp+inner)
	add("PPPoE", packet.LinkPPPoE, pppoe(ppp+inner))
	add("labels", packet.LinkMPLS, label(16, true, inner))
	add("PKTAP, Ethernet", packet.LinkPacketTap, le32(108)+le32(1)+le32(1)+strings.Repeat("\x00", 96)+frame)
	add("PKTAP, null", packet.LinkPacketTap, le32(108)+le32(1)+le32(0)+strings.Repeat("\x00", 96)+"\x02\x00\x00\x00"+inner)
	add("PKTAP, raw", packet.LinkPacketTap, le32(108)+le32(1)+le32(12)+strings.Repeat("\x00", 96)+inner)
	add("PPI, 802.11", packet.LinkPPI, "\x00\x00"+le16(12)+le32(105)+"\x02\x00\x00\x00"+wlan(0x0801, kind, inner))
	add("PPI, Ethernet", packet.LinkPPI, "\x00\x00"+le16(8)+le32(1)+frame)
	add("PPI, IP of one version", packet.LinkPPI, "\x00\x00"+le16(8)+le32(map[uint16]uint32{0x0800: 228, 0x86dd: 229}[kind])+inner)
	add("Juniper", packet.LinkJuniper, "MGC\x00"+frame)
	add("Juniper, extensions", packet.LinkJuniper, "MGC\x81\x00\x06\x01\x01\x05\x02\x01\x07"+frame)
	add("Juniper, without a frame", packet.LinkJuniper, "MGC\x82\x00\x03\x01\x01\x05\x00\x00\x00\x02"+inner)
	add("ERF", packet.LinkERF, strings.Repeat("\x00", 8)+"\x02\x04"+strings.Repeat("\x00", 6)+"\x00\x00"+frame)
	add("ERF, extensions", packet.LinkERF, strings.Repeat("\x00", 8)+"\x82\x04"+strings.Repeat("\x00", 6)+"\x83"+strings.Repeat("\x00", 7)+"\x03"+strings.Repeat("\x00", 7)+"\x00\x00"+frame)
	return list
}

// inWLAN lists IEEE 802.11 frames, and the headers in front of them.
func inWLAN(inner string) (list []encapsulation) {
	add := func(name string, link packet.LinkType, frame string) {
		list = append(list, encapsulation{name, packet.TunnelNone, link, frame})
	}
	kind, _ := numbersOf(inner)
	add("802.11", packet.LinkWLAN, wlan(0x0801, kind, inner))
	add("802.11, from the access point", packet.LinkWLAN, wlan(0x0802, kind, inner))
	add("802.11, four addresses", packet.LinkWLAN, wlan(0x0803, kind, inner))
	add("802.11, QoS", packet.LinkWLAN, wlan(0x8802, kind, inner))
	add("802.11, QoS, four addresses, HT control", packet.LinkWLAN, wlan(0x8883, kind, inner))
	add("802.11, A-MSDU", packet.LinkWLAN, wlanFrame(0x8802, 0x80, strings.Repeat("\x02", 12)+be16(uint16(8+len(inner)))+snap(kind, inner)))
	subframe := func(data string) string { return strings.Repeat("\x02", 12) + be16(uint16(len(data))) + data }
	other := subframe(snap(0x0800, ip4(17, udp(40000, 443, "not DNS"))))
	add("802.11, A-MSDU, the second", packet.LinkWLAN, wlanFrame(0x8802, 0x80, other+"\x00\x00\x00"[:-len(other)&3]+subframe(snap(kind, inner))))
	add("802.11, A-MSDU, the first of two", packet.LinkWLAN, wlanFrame(0x8802, 0x80, subframe(snap(kind, inner))+"\x00\x00\x00"[:-len(subframe(snap(kind, inner)))&3]+other))
	add("802.11, checksum", packet.LinkWLAN, wlan(0x8802, kind, inner)+"fcs!")
	tap := func(present uint32, fields string) string {
		return "\x00\x00" + le16(uint16(8+len(fields))) + le32(present) + fields
	}
	add("radiotap", packet.LinkRadiotap, tap(0, "")+wlan(0x8801, kind, inner))
	add("radiotap, time and flags", packet.LinkRadiotap, tap(3, strings.Repeat("\x00", 8)+"\x10")+wlan(0x8801, kind, inner))
	padded := wlan(0x8801, kind, inner)
	add("radiotap, padded header", packet.LinkRadiotap, tap(2, "\x20")+padded[:26]+"\x00\x00"+padded[26:])
	add("radiotap, more words, padded header", packet.LinkRadiotap, tap(0x80000003, le32(0x80000000)+le32(0)+strings.Repeat("\x00", 8)+"\x20")+padded[:26]+"\x00\x00"+padded[26:])
	add("Prism", packet.LinkPrism, le32(0x44)+le32(144)+strings.Repeat("\x00", 136)+wlan(0x0801, kind, inner))
	add("Prism, big-endian", packet.LinkPrism, "\x00\x00\x00\x44\x00\x00\x00\x90"+strings.Repeat("\x00", 136)+wlan(0x0801, kind, inner))
	add("AVS", packet.LinkAVS, "\x80\x21\x10\x01\x00\x00\x00\x40"+strings.Repeat("\x00", 56)+wlan(0x0801, kind, inner))
	add("AVS where Prism is announced", packet.LinkPrism, "\x80\x21\x10\x01\x00\x00\x00\x40"+strings.Repeat("\x00", 56)+wlan(0x0801, kind, inner))
	return list
}

func snap(kind uint16, data string) string { return "\xaa\xaa\x03\x00\x00\x00" + be16(kind) + data }

// wlan is an IEEE 802.11 data frame; control is in the order of its bytes.
func wlan(control, kind uint16, data string) string {
	return wlanFrame(control, 0, snap(kind, data))
}

func wlanFrame(control uint16, qos byte, body string) string {
	h := be16(control) + "\x00\x00" + strings.Repeat("\x02", 18) + "\x10\x00"
	if control&3 == 3 {
		h += strings.Repeat("\x02", 6)
	}
	if control&0x8000 != 0 {
		h += string([]byte{qos, 0})
		if control&0x0080 != 0 {
			h += "\x00\x00\x00\x00"
		}
	}
	return h + body
}

func encapsulations() []encapsulation {
	return slices.Concat(inTunnel(inner4), inTunnel(inner6), onWire(inner4), onWire(inner6))
}

// TestEncapsulations: the inner datagram and the tunnel are found in each of them.
func TestEncapsulations(t *testing.T) {
	for _, c := range encapsulations() {
		carried(t, c.name, c.link, c.frame, c.tunnel)
	}
}

// TestEncapsulatedSegments: segments and fragments are found as datagrams are.
func TestEncapsulatedSegments(t *testing.T) {
	f := func(inner string, want Found) {
		t.Helper()
		for _, c := range slices.Concat(inTunnel(inner), onWire(inner)) {
			var l Layers
			p := packet.Packet{Data: []byte(c.frame), Link: c.link}
			if got := Decode(&p, &l); got != want || l.Tunnel != c.tunnel {
				t.Errorf("%s: found %d in %q, want %d in %q", c.name, got, l.Tunnel, want, c.tunnel)
			}
		}
	}
	segment := tcp(40000, 53, payload)
	f(ip4(6, segment), FoundTCP)
	f(ip6(6, segment), FoundTCP)
	f(ip4between(a4, b4, 17, 0x2000, udp(40000, 53, "12345678")), FoundFragment)
	f(ip4between(a4, b4, 17, 0x0005, "12345678"), FoundFragment)
	f(ip6(44, "\x11\x00\x00\x09\x00\x00\x00\x07"+"12345678"), FoundFragment)
}

// TestEncapsulationsCutAnywhere: a frame cut at any byte is never a datagram whose
// payload and missing bytes add up to another length.
func TestEncapsulationsCutAnywhere(t *testing.T) {
	for _, c := range encapsulations() {
		for n := range len(c.frame) {
			var l Layers
			p := packet.Packet{Data: []byte(c.frame)[:n:n], Link: c.link}
			if Decode(&p, &l) == FoundUDP && l.DstPort == 53 && len(l.Payload)+l.Missing != len(payload) {
				t.Errorf("%s, cut at %d: payload %d, missing %d", c.name, n, len(l.Payload), l.Missing)
			}
			if fast, slow := Lane(&p), defaultDecoder.anyLane(&p); fast != slow {
				t.Errorf("%s, cut at %d: lane %x by the fast path, %x by the slow one", c.name, n, fast, slow)
			}
		}
	}
}

// TestCutInTunnels: bytes that the capture left out of a message are reported.
func TestCutInTunnels(t *testing.T) {
	for _, c := range slices.Concat(inTunnel(inner4), inTunnel(inner6)) {
		if strings.Contains(c.name, "padded") {
			continue
		}
		var l Layers
		p := packet.Packet{Data: []byte(c.frame[:len(c.frame)-5]), Link: c.link}
		if got := Decode(&p, &l); got != FoundUDP || l.DstPort != 53 || l.Missing != 5 || string(l.Payload) != payload[:len(payload)-5] {
			t.Errorf("%s: found %d, port %d, missing %d, payload %q", c.name, got, l.DstPort, l.Missing, l.Payload)
		}
	}
}

// TestEncapsulationsNested: four of any kind are followed, the fifth is too deep.
func TestEncapsulationsNested(t *testing.T) {
	for _, c := range inTunnel(inner4) {
		eth := c.frame
		for depth := 2; ; depth++ {
			eth = ether(0x0800, outer4(47, gre(0, 0x6558, "", eth)))
			var l Layers
			found := Decode(&packet.Packet{Data: []byte(eth), Link: packet.LinkEthernet}, &l)
			if found == FoundUDP && int(l.Depth) >= depth && l.Depth <= maxTunnels && l.Tunnel == c.tunnel {
				continue
			}
			if found != FoundTooDeep || depth < 4 {
				t.Errorf("%s, inside %d others: found %d, depth %d", c.name, depth-1, found, l.Depth)
			}
			break
		}
	}
	nsh := ether(0x0800, inner4)
	for range 5 {
		nsh = ether(0x894f, "\x0f\xc2\x02\x03\x00\x00\x07\xff"+nsh)
	}
	var l Layers
	if got := Decode(&packet.Packet{Data: []byte(nsh), Link: packet.LinkEthernet}, &l); got != FoundTooDeep {
		t.Errorf("five service headers: found %d, want too deep", got)
	}
}

// TestEncapsulationsLane: a stream in a tunnel goes to the lane of the tunnel's ends, as
// fragments of the tunnel's packets do; without a tunnel, to the lane of its own ends.
func TestEncapsulationsLane(t *testing.T) {
	lane := func(c encapsulation) packet.Hash { return Lane(&packet.Packet{Data: []byte(c.frame), Link: c.link}) }
	pair, ends, ends6 := packet.HashPair(a4, b4), packet.HashPair(o4, p4), packet.HashPair(b6, b6)
	inner := ip4(6, tcp(40000, 53, payload))
	for _, c := range inTunnel(inner) {
		want := ends
		if strings.HasSuffix(c.name, "over IPv6") {
			want = ends6
		}
		if got := lane(c); got != want {
			t.Errorf("%s: a segment's hash %x, want the tunnel's ends' %x", c.name, got, want)
		}
	}
	for _, c := range onWire(inner) {
		if got := lane(c); got != pair {
			t.Errorf("%s: a segment's hash %x, want the pair's %x", c.name, got, pair)
		}
	}
	for _, c := range slices.Concat(inTunnel(inner4), onWire(inner4)) {
		if got := lane(c); got != packet.HashFlow(a4, b4, 40000, 53) {
			t.Errorf("%s: a datagram's hash %x is not its flow's", c.name, got)
		}
	}
}

// TestTunnelsApart: tunnels of one kind are told apart by their number.
func TestTunnelsApart(t *testing.T) {
	path := func(name, frame string) uint64 {
		t.Helper()
		var l Layers
		if got := Decode(&packet.Packet{Data: []byte(frame), Link: packet.LinkEthernet}, &l); got != FoundUDP || l.DstPort != 53 {
			t.Errorf("%s: found %d, port %d", name, got, l.DstPort)
		}
		return l.Path
	}
	f := func(name string, a, b string) {
		t.Helper()
		if path(name, a) == path(name, b) {
			t.Errorf("%s: two tunnels have one path", name)
		}
	}
	over := func(port uint16, data string) string { return ether(0x0800, outer4(17, udp(50000, port, data))) }
	frame := ether(0x0800, inner4)
	f("GRE in UDP", over(4754, gre(0x2000, 0x0800, "\x00\x00\x00\x09", inner4)), over(4754, gre(0x2000, 0x0800, "\x00\x00\x00\x0a", inner4)))
	f("L2TP", over(1701, "\x00\x02\x00\x07\x00\x09\x00\x21"+inner4), over(1701, "\x00\x02\x00\x07\x00\x0a\x00\x21"+inner4))
	f("L2TPv3", ether(0x0800, outer4(115, "\x00\x00\x00\x2a"+frame)), ether(0x0800, outer4(115, "\x00\x00\x00\x2b"+frame)))
	f("NSH", ether(0x894f, "\x0f\xc2\x02\x03\x00\x00\x07\xff"+frame), ether(0x894f, "\x0f\xc2\x02\x03\x00\x00\x08\xff"+frame))
	f("LISP", over(4341, "\x08\x00\x00\x00\x00\x00\x07\x00"+inner4), over(4341, "\x08\x00\x00\x00\x00\x00\x08\x00"+inner4))
	f("MAC in MAC", ether(0x88e7, "\x00\x00\x00\x2a"+frame), ether(0x88e7, "\x00\x00\x00\x2b"+frame))
	// The other half of an EoIP key is a packet's length.
	eoip := func(key string) string { return ether(0x0800, outer4(47, gre(0x2001, 0x6400, key, frame))) }
	f("EoIP", eoip("\x00\x40\x00\x09"), eoip("\x00\x40\x00\x0a"))
	if path("EoIP", eoip("\x00\x40\x00\x09")) != path("EoIP", eoip("\x00\x50\x00\x09")) {
		t.Error("EoIP: packets of two lengths have two paths")
	}
}

// TestNotEncapsulated: packets on a tunnel's port or protocol that are not of that
// tunnel, or that cannot be read.
func TestNotEncapsulated(t *testing.T) {
	f := func(name string, link packet.LinkType, frame string, want Found) {
		t.Helper()
		var l Layers
		if got := Decode(&packet.Packet{Data: []byte(frame), Link: link}, &l); got != want {
			t.Errorf("%s: found %d, want %d", name, got, want)
		}
	}
	stays := func(name string, port uint16, data string) {
		t.Helper()
		var l Layers
		p := packet.Packet{Data: []byte(ip4(17, udp(50000, port, data))), Link: packet.LinkRaw}
		if got := Decode(&p, &l); got != FoundUDP || l.Depth != 0 || l.DstPort != port || string(l.Payload) != data {
			t.Errorf("%s: found %d, depth %d, port %d, payload %q", name, got, l.Depth, l.DstPort, l.Payload)
		}
	}
	ah := func(next, data string) string { return next + "\x01" + strings.Repeat("\x00", 10) + data }
	f("AH", packet.LinkRaw, ip4(51, ah("\x11", udp(50000, 53, "query"))), FoundUDP)
	f("AH in AH", packet.LinkRaw, ip4(51, ah("\x33", ah("\x11", udp(50000, 53, "query")))), FoundTooDeep)
	stays("DTLS handshake", 4755, "\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40"+strings.Repeat("h", 64))
	stays("DTLS data", 4755, "\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x00\x00\x40"+strings.Repeat("\x45", 64))
	stays("DTLS 1.3 data", 4755, "\x2e\x00\x08\x00\x00\x40"+strings.Repeat("\x00", 64))
	stays("GRE keep-alive", 4754, "\x00\x00\x00\x00")
	stays("no labels", 6635, strings.Repeat("\x01", 40))
	stays("TZSP keep-alive", 37008, "\x01\x04\x00\x00\x01")
	stays("TZSP without a last tag", 37008, "\x01\x00\x00\x01\x0d\x04\x00\x00\x00\x07")
	stays("TZSP of another version", 37008, "\x02\x00\x00\x01\x01"+ether(0x0800, inner4))
	stays("L2TP control", 1701, "\xc8\x02\x00\x0c\x00\x07\x00\x00\x00\x01\x00\x02")
	stays("L2TP, LCP", 1701, "\x00\x02\x00\x07\x00\x09\xff\x03\xc0\x21\x01\x01\x00\x04")
	stays("L2F", 1701, "\x00\x01"+strings.Repeat("\x00", 40))
	stays("L2TPv3 control", 1701, "\xc8\x03\x00\x0c\x00\x00\x00\x07\x00\x01\x00\x02")
	stays("L2TPv3, ARP", 1701, "\x00\x03\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x00"+ether(0x0806, strings.Repeat("\x00", 46)))
	stays("LISP, encrypted", 4341, "\x01\x00\x00\x00\x00\x00\x00\x00"+inner4)
	f("L2TPv3 control", packet.LinkRaw, ip4(115, "\x00\x00\x00\x00\xc8\x03\x00\x0c\x00\x00\x00\x07\x00\x01\x00\x02"), FoundOther)
	f("L2TPv3, ARP", packet.LinkRaw, ip4(115, "\x00\x00\x00\x2a"+ether(0x0806, strings.Repeat("\x00", 46))), FoundOther)
	f("EtherIP of another version", packet.LinkRaw, ip4(97, "\x40\x00"+ether(0x0800, inner4)), FoundOther)

	const eth = packet.LinkEthernet
	f("MACsec, encrypted", eth, ether(0x88e5, "\x2c\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x01\x00\x01\x08\x00"+inner4), FoundOther)
	f("NSH of another version", eth, ether(0x894f, "\x4f\xc2\x02\x01\x00\x00\x07\xff"+inner4), FoundOther)
	f("NSH, next protocol unknown", eth, ether(0x894f, "\x0f\xc2\x02\x09\x00\x00\x07\xff"+inner4), FoundOther)
	f("NSH, length 1", eth, ether(0x894f, "\x0f\xc1\x02\x01\x00\x00\x07\xff"+inner4), FoundBad)
	f("802.11, encrypted", packet.LinkWLAN, wlan(0x0841, 0x0800, inner4), FoundOther)
	f("802.11, beacon", packet.LinkWLAN, "\x80\x00"+strings.Repeat("\x00", 60), FoundOther)
	f("802.11, null", packet.LinkWLAN, wlan(0x4801, 0x0800, inner4), FoundOther)
	later := []byte(wlan(0x0801, 0x0800, inner4))
	later[22] |= 1
	f("802.11, a later fragment", packet.LinkWLAN, string(later), FoundOther)
	f("NFLOG without a packet", packet.LinkNFLog, "\x02\x00\x00\x05\x08\x00\x01\x00\x08\x00\x01\x00", FoundOther)
	f("NFLOG, no length", packet.LinkNFLog, "\x02\x00\x00\x05\x00\x00\x01\x00", FoundBad)
	f("PPI in PPI", packet.LinkPPI, "\x00\x00"+le16(8)+le32(192)+"\x00\x00"+le16(8)+le32(1), FoundUnknownLink)
	f("Juniper, another magic number", packet.LinkJuniper, "\x00GC\x00"+ether(0x0800, inner4), FoundBad)
	f("PKTAP in PKTAP", packet.LinkPacketTap, le32(12)+le32(1)+le32(258)+"", FoundUnknownLink)
	f("PKTAP of an unknown type", packet.LinkPacketTap, le32(12)+le32(1)+le32(147)+"x", FoundUnknownLink)
}

// TestKnownLinks: the decoder knows exactly the link types in the table that file
// readers check.
func TestKnownLinks(t *testing.T) {
	for link := range packet.LinkType(512) {
		var l Layers
		found := Decode(&packet.Packet{Data: bytes.Repeat([]byte{0xff}, 64), Link: link}, &l)
		if (found != FoundUnknownLink) != packet.KnownLink(link) {
			t.Errorf("link type %d: found %d, known: %v", link, found, packet.KnownLink(link))
		}
	}
}

func TestEncapsulationsAllocateNothing(t *testing.T) {
	for _, c := range encapsulations() {
		var l Layers
		p := packet.Packet{Data: []byte(c.frame), Link: c.link}
		if n := testing.AllocsPerRun(10, func() { Decode(&p, &l) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
}
