//go:build linux

package scenes

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"dnsmonster-sensor/test/lab"
)

// Headers around a packet. No host has these addresses, so both ignore the frames.
var (
	outerMAC = []byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8}
	outer4   = [2][]byte{{192, 0, 2, 101}, {192, 0, 2, 102}}
	outer6   = [2][]byte{netip.MustParseAddr("2001:db8::101").AsSlice(), netip.MustParseAddr("2001:db8::102").AsSlice()}
)

func bigEndian(v ...uint16) (b []byte) {
	for _, w := range v {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}

func onEther(kind uint16, parts ...[]byte) []byte {
	return slices.Concat(append([][]byte{outerMAC, bigEndian(kind)}, parts...)...)
}

// outerAddrs returns the outer addresses in the direction of a packet from src.
func outerAddrs(src *lab.Host, pair [2][]byte) (from, to []byte) {
	if src.Iface == "srv0" {
		return pair[0], pair[1]
	}
	return pair[1], pair[0]
}

var outerID atomic.Uint32 // for both ends

// over4 puts data into IPv4 packets with at most `most` bytes of payload.
func over4(src *lab.Host, proto byte, most int, data []byte) (frames [][]byte) {
	from, to := outerAddrs(src, outer4)
	id := uint16(outerID.Add(1))
	for off := 0; off == 0 || off < len(data); off += most {
		part, bits := data[off:min(off+most, len(data))], uint16(off/8)
		if off+most < len(data) {
			bits |= 0x2000
		}
		frames = append(frames, onEther(0x0800, []byte{0x45, 0}, bigEndian(uint16(20+len(part)), id, bits), []byte{64, proto, 0, 0}, from, to, part))
	}
	return frames
}

// over6 is over4 for IPv6, with fragment headers only if needed.
func over6(src *lab.Host, proto byte, most int, data []byte) (frames [][]byte) {
	from, to := outerAddrs(src, outer6)
	packet := func(next byte, parts ...[]byte) {
		body := slices.Concat(parts...)
		frames = append(frames, onEther(0x86dd, []byte{0x60, 0, 0, 0}, bigEndian(uint16(len(body))), []byte{next, 64}, from, to, body))
	}
	if len(data) <= most {
		packet(proto, data)
		return frames
	}
	id := uint16(outerID.Add(1))
	for off := 0; off < len(data); off += most {
		part, bits := data[off:min(off+most, len(data))], uint16(off)
		if off+most < len(data) {
			bits |= 1
		}
		packet(44, []byte{proto, 0}, bigEndian(bits, 0, id), part)
	}
	return frames
}

func inUDP(sport, dport uint16, header, data []byte) []byte {
	return slices.Concat(bigEndian(sport, dport, uint16(8+len(header)+len(data)), 0), header, data)
}

// protoOf is the protocol number of the packet in an outer IP header, 4 or 41.
func protoOf(inner []byte) byte {
	if inner[0]>>4 == 6 {
		return 41
	}
	return 4
}

// whole is the payload of an outer packet that is not fragmented.
const whole = 1480

// wrapper returns the frames that carry a packet, or a frame, of src.
type wrapper = func(src *lab.Host, inner []byte) [][]byte

// tagged carries frames with tags after the addresses.
func tagged(tags ...uint16) lab.Tunnel {
	return ofFrames(func(_ *lab.Host, f []byte) [][]byte {
		return [][]byte{slices.Concat(f[:12], bigEndian(tags...), f[12:])}
	})
}

// ofPackets carries IP packets, ofFrames carries Ethernet frames.
func ofPackets(wrap wrapper) lab.Tunnel { return lab.Tunnel{Wrap: wrap} }

func ofFrames(wrap wrapper) lab.Tunnel { return lab.Tunnel{Frames: true, Wrap: wrap} }

// withHeader puts a header in front of what is wrapped.
func withHeader(h string, wrap wrapper) wrapper {
	return func(src *lab.Host, inner []byte) [][]byte { return wrap(src, append([]byte(h), inner...)) }
}

// byVersion puts one header in front of IPv4 packets, and another in front of IPv6
// packets.
func byVersion(four, six string, wrap wrapper) wrapper {
	return func(src *lab.Host, inner []byte) [][]byte {
		h := four
		if protoOf(inner) == 41 {
			h = six
		}
		return wrap(src, append([]byte(h), inner...))
	}
}

// gre is a GRE header over IPv4.
func gre(h string) wrapper { return withHeader(h, greOver4) }

func greOver4(src *lab.Host, b []byte) [][]byte { return over4(src, 47, whole, b) }

func udpOver4(port uint16) wrapper {
	return func(src *lab.Host, b []byte) [][]byte { return over4(src, 17, whole, inUDP(50000, port, nil, b)) }
}

// withOptions puts four extension headers into an IPv6 packet, the last of a fragment that is
// whole, and options into an IPv4 packet.
func withOptions(_ *lab.Host, b []byte) [][]byte {
	length := func(at, more int) []byte { return bigEndian(binary.BigEndian.Uint16(b[at:]) + uint16(more)) }
	if protoOf(b) == 4 {
		return [][]byte{onEther(0x0800, []byte{b[0] + 1, b[1]}, length(2, 4), b[4:20], []byte{1, 1, 1, 0}, b[20:])}
	}
	const headers = "\x3c\x00\x01\x04\x00\x00\x00\x00" + "\x2b\x00\x01\x04\x00\x00\x00\x00" + "\x2c\x00\x04\x00\x00\x00\x00\x00"
	fragment := []byte{b[6], 0, 0, 0, 0, 0, 0, 9}
	return [][]byte{onEther(0x86dd, b[:4], length(4, len(headers)+len(fragment)), []byte{0}, b[7:40], []byte(headers), fragment, b[40:])}
}

// encapsulation is a link of the lab, and what records say about its packets.
type encapsulation struct {
	name   string
	tunnel string // as records name it; two names are for IPv4 and IPv6 in it, - for not carried
	link   lab.Tunnel
}

// encapsulations are the links that this test makes itself: not every kernel has devices
// for them.
func encapsulations() []encapsulation {
	const vxlan, v4, v6 = "\x08\x00\x00\x00\x00\x00\x07\x00", "\x08\x00", "\x86\xdd"
	return []encapsulation{
		{name: "IPv6 extension headers, IPv4 options", link: ofPackets(withOptions)},
		{name: "802.1Q", link: tagged(0x8100, 5)},
		{name: "802.1ad", link: tagged(0x88a8, 0x2007, 0x8100, 8)},
		{name: "four tags", link: tagged(0x88a8, 7, 0x8100, 8, 0x8100, 9, 0x8100, 10)},
		{name: "MPLS", link: ofPackets(func(_ *lab.Host, b []byte) [][]byte {
			return [][]byte{onEther(0x8847, []byte("\x00\x01\x00\x40\x00\x01\x11\x40"), b)}
		})},
		{name: "pseudowire", tunnel: "mpls", link: ofFrames(func(_ *lab.Host, b []byte) [][]byte {
			return [][]byte{onEther(0x8847, []byte("\x00\x01\x11\x40\x00\x00\x00\x00"), b)}
		})},
		{name: "PPPoE", link: ofPackets(func(_ *lab.Host, b []byte) [][]byte {
			kind := uint16(0x0021)
			if protoOf(b) == 41 {
				kind = 0x0057
			}
			return [][]byte{onEther(0x8864, []byte("\x11\x00\x00\x07"), bigEndian(uint16(2+len(b)), kind), b)}
		})},
		{name: "GRE", tunnel: "gre", link: ofPackets(byVersion("\xb0\x00"+v4+"\x12\x34\x00\x00\x00\x00\x00\x09\x00\x00\x00\x01", "\x20\x00"+v6+"\x00\x00\x00\x09", greOver4))},
		{name: "GRE Ethernet", tunnel: "gre", link: ofFrames(gre("\x20\x00\x65\x58\x00\x00\x00\x0a"))},
		{name: "GRE PPP", tunnel: "gre", link: ofPackets(byVersion("\x00\x00\x88\x0b\xff\x03\x00\x21", "\x00\x00\x88\x0b\x00\x57", greOver4))},
		{name: "GRE over IPv6, in fragments", tunnel: "gre", link: ofPackets(byVersion("\x00\x00"+v4, "\x00\x00"+v6, func(src *lab.Host, b []byte) [][]byte { return over6(src, 47, 304, b) }))},
		{name: "ERSPAN I", tunnel: "erspan", link: ofFrames(gre("\x00\x00\x88\xbe"))},
		{name: "ERSPAN II", tunnel: "erspan", link: ofFrames(gre("\x10\x00\x88\xbe\x00\x00\x00\x01\x10\x05\x00\x07\x00\x00\x00\x00"))},
		{name: "ERSPAN III", tunnel: "erspan", link: ofFrames(gre("\x10\x00\x22\xeb\x00\x00\x00\x01\x20\x05\x00\x07" + "\x00\x00\x00\x00\x00\x00\x00\x00"))},
		{name: "VXLAN", tunnel: "vxlan", link: ofFrames(withHeader(vxlan, udpOver4(4789)))},
		{name: "VXLAN, port of its own", tunnel: "vxlan", link: ofFrames(withHeader(vxlan, udpOver4(5789)))},
		{name: "VXLAN in fragments", tunnel: "vxlan", link: ofFrames(withHeader(vxlan, func(src *lab.Host, b []byte) [][]byte { return over4(src, 17, 400, inUDP(50000, 4789, nil, b)) }))},
		{name: "VXLAN-GPE", tunnel: "vxlan-gpe", link: ofPackets(byVersion("\x0c\x00\x00\x01\x00\x00\x07\x00", "\x0c\x00\x00\x02\x00\x00\x07\x00", udpOver4(4790)))},
		{name: "GENEVE", tunnel: "geneve", link: ofFrames(withHeader("\x02\x40\x65\x58\x00\x00\x07\x00\x01\x02\x80\x01\x00\x00\x00\x01", func(src *lab.Host, b []byte) [][]byte {
			return over6(src, 17, whole, inUDP(50000, 6081, nil, b))
		}))},
		{name: "GTP", tunnel: "gtp", link: ofPackets(func(src *lab.Host, b []byte) [][]byte {
			return over4(src, 17, whole, inUDP(2152, 2152, slices.Concat([]byte("\x34\xff"), bigEndian(uint16(8+len(b)), 0, 9, 0, 0x0085), []byte("\x01\x10\x00\x00")), b))
		})},
		{name: "Teredo", tunnel: "- teredo", link: ofPackets(func(src *lab.Host, b []byte) [][]byte {
			if protoOf(b) == 4 {
				return nil
			}
			return over4(src, 17, whole, inUDP(3544, 50000, make([]byte, 8), b))
		})},
		{name: "in IPv4", tunnel: "ipip 6in4", link: ofPackets(func(src *lab.Host, b []byte) [][]byte { return over4(src, protoOf(b), whole, b) })},
		{name: "in IPv6", tunnel: "4in6 6in6", link: ofPackets(func(src *lab.Host, b []byte) [][]byte { return over6(src, protoOf(b), whole, b) })},
		{name: "VN-Tag and VLAN", link: tagged(0x8926, 0x8005, 7, 0x8100, 5)},
		{name: "E-Tag", link: tagged(0x893f, 7, 0x1005, 0)},
		{name: "MACsec in clear", link: tagged(0x88e5, 0x4000, 0, 1)},
		{name: "GRE in UDP", tunnel: "gre-udp", link: ofPackets(byVersion("\x20\x00"+v4+"\x00\x00\x00\x09", "\x00\x00"+v6, udpOver4(4754)))},
		{name: "MPLS in UDP", tunnel: "mpls-udp", link: ofPackets(withHeader("\x00\x01\x00\x40\x00\x01\x11\x40", udpOver4(6635)))},
		{name: "TZSP", tunnel: "tzsp", link: ofFrames(withHeader("\x01\x00\x00\x01\x0d\x04\x00\x00\x00\x07\x01", udpOver4(37008)))},
		{name: "L2TP in fragments", tunnel: "l2tp", link: ofPackets(byVersion("\x00\x02\x00\x07\x00\x09\xff\x03\x00\x21", "\x00\x02\x00\x07\x00\x09\x00\x57", func(src *lab.Host, b []byte) [][]byte {
			return over4(src, 17, 400, inUDP(1701, 1701, nil, b))
		}))},
		{name: "L2TPv3 in UDP", tunnel: "l2tp", link: ofFrames(withHeader("\x00\x03\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x00", udpOver4(1701)))},
		{name: "L2TPv3 in IP, cookie", tunnel: "l2tp", link: ofFrames(withHeader("\x00\x00\x00\x2a-cookie-", func(src *lab.Host, b []byte) [][]byte { return over6(src, 115, whole, b) }))},
		{name: "L2TPv3 in IP, PPP", tunnel: "l2tp", link: ofPackets(byVersion("\x00\x00\x00\x2a\xff\x03\x00\x21", "\x00\x00\x00\x2a\xff\x03\x00\x57", func(src *lab.Host, b []byte) [][]byte { return over4(src, 115, whole, b) }))},
		{name: "NSH", tunnel: "nsh", link: ofFrames(func(_ *lab.Host, f []byte) [][]byte {
			return [][]byte{onEther(0x894f, []byte("\x0f\xc2\x02\x03\x00\x00\x07\xff"), f)}
		})},
		{name: "NSH in VXLAN-GPE", tunnel: "nsh", link: ofFrames(withHeader("\x0c\x00\x00\x04\x00\x00\x07\x00"+"\x0f\xc2\x02\x03\x00\x00\x07\xff", udpOver4(4790)))},
		{name: "LISP", tunnel: "lisp", link: ofPackets(withHeader("\xc8\x00\x00\x01\x00\x00\x07\x01", udpOver4(4341)))},
		{name: "EtherIP", tunnel: "etherip", link: ofFrames(withHeader("\x30\x00", func(src *lab.Host, b []byte) [][]byte { return over4(src, 97, whole, b) }))},
		{name: "MAC in MAC", tunnel: "pbb", link: ofFrames(func(_ *lab.Host, f []byte) [][]byte {
			return [][]byte{onEther(0x88a8, bigEndian(5, 0x88e7, 0, 42), f)}
		})},
		{name: "TRILL", tunnel: "trill", link: ofFrames(func(_ *lab.Host, f []byte) [][]byte { return [][]byte{onEther(0x22f3, bigEndian(0x3f, 1, 2), f)} })},
		{name: "FabricPath", tunnel: "fabricpath", link: ofFrames(func(_ *lab.Host, f []byte) [][]byte { return [][]byte{onEther(0x8903, bigEndian(0x60), f)} })},
		{name: "MPLS in IP", tunnel: "mpls", link: ofPackets(withHeader("\x00\x01\x11\x40", func(src *lab.Host, b []byte) [][]byte { return over4(src, 137, whole, b) }))},
		{name: "GRE in VXLAN", tunnel: "gre", link: ofPackets(byVersion("\x00\x00"+v4, "\x00\x00"+v6, func(src *lab.Host, b []byte) [][]byte {
			frames := over4(src, 47, whole, b)
			return over4(src, 17, whole, inUDP(50000, 4789, []byte(vxlan), frames[0]))
		}))},
		{name: "four deep", tunnel: "gre", link: lab.Tunnel{MTU: 1280, Wrap: func(src *lab.Host, b []byte) [][]byte {
			four := []byte("\x00\x00" + v4)
			if protoOf(b) == 41 {
				four = []byte("\x00\x00" + v6)
			}
			b = append(four, b...)
			for range 3 {
				b = append([]byte("\x00\x00"+v4), over4(src, 47, whole, b)[0][14:]...)
			}
			return over4(src, 47, whole, b)
		}}},
	}
}

// devices are the kernel's own tunnels, if it has them.
var devices = []struct {
	tunnel string
	link   string
	args   string
}{
	{"vxlan", "", "vxlan id 42 local LOCAL4 remote REMOTE4 dev WIRE dstport 4789"},
	{"vxlan", "", "vxlan id 43 local LOCAL6 remote REMOTE6 dev WIRE dstport 8472"},
	{"geneve", "", "geneve id 7 remote REMOTE4"},
	{"gre", "", "gre local LOCAL4 remote REMOTE4 key 9 csum seq"},
	{"gre", "", "gretap local LOCAL4 remote REMOTE4"},
	{"gre", "", "ip6gre local LOCAL6 remote REMOTE6"},
	{"erspan", "", "erspan seq key 5 local LOCAL4 remote REMOTE4 erspan_ver 1 erspan 7"},
	{"ipip -", "", "ipip local LOCAL4 remote REMOTE4"},
	{"- 6in4", "", "sit local LOCAL4 remote REMOTE4"},
	{"4in6 6in6", "", "ip6tnl mode any local LOCAL6 remote REMOTE6"},
	{"", "WIRE", "vlan id 50"},
	{"", "WIRE", "vlan proto 802.1ad id 70"},
}
