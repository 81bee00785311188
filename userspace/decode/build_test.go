package decode

import "encoding/binary"

// Frames are built from the inside out: each function puts its header before a
// payload.

var (
	a4, b4 = []byte{192, 0, 2, 1}, []byte{192, 0, 2, 53}
	o4, p4 = []byte{198, 51, 100, 1}, []byte{198, 51, 100, 2} // a tunnel's ends
	a6     = []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	b6     = []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x53")
)

const payload = "a message for example.org"

func udp(src, dst uint16, data string) string {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return string(b) + "\x00\x00" + data
}

func tcp(src, dst uint16, data string) string {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	return string(b) + "\x00\x00\x10\x00" + "\x00\x00\x00\x00" + "\x50\x18\xff\xff\x00\x00\x00\x00" + data
}

func ip4between(src, dst []byte, proto byte, frag uint16, data string) string {
	b := []byte{0x45, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(data)))
	b = append(b, 0xab, 0xcd)
	b = binary.BigEndian.AppendUint16(b, frag)
	b = append(b, 64, proto, 0, 0)
	b = append(append(b, src...), dst...)
	return string(b) + data
}

func ip4(proto byte, data string) string    { return ip4between(a4, b4, proto, 0x4000, data) }
func outer4(proto byte, data string) string { return ip4between(o4, p4, proto, 0, data) }

func ip6(next byte, data string) string    { return ip6between(a6, b6, next, data) }
func outer6(next byte, data string) string { return ip6between(b6, b6, next, data) }

func ip6between(src, dst []byte, next byte, data string) string {
	b := []byte{0x60, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, next, 64)
	return string(b) + string(src) + string(dst) + data
}

func ether(kind uint16, data string) string {
	return "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02" + string(binary.BigEndian.AppendUint16(nil, kind)) + data
}

// tag is a VLAN tag and the Ethernet type after it.
func tag(tci, kind uint16, data string) string {
	b := binary.BigEndian.AppendUint16(nil, tci)
	return string(binary.BigEndian.AppendUint16(b, kind)) + data
}

// label is an MPLS label.
func label(n uint32, bottom bool, data string) string {
	n = n<<12 | 64
	if bottom {
		n |= 0x100
	}
	return string(binary.BigEndian.AppendUint32(nil, n)) + data
}

// gre is a GRE header with these flags and optional fields.
func gre(flags, kind uint16, fields, data string) string {
	b := binary.BigEndian.AppendUint16(nil, flags)
	return string(binary.BigEndian.AppendUint16(b, kind)) + fields + data
}

func pppoe(data string) string {
	return "\x11\x00\x00\x07" + string(binary.BigEndian.AppendUint16(nil, uint16(len(data)))) + data
}

func gtp(flags byte, fields, data string) string {
	n := binary.BigEndian.AppendUint16(nil, uint16(len(fields)+len(data)))
	return string([]byte{flags, 0xff}) + string(n) + "\x00\x00\x00\x09" + fields + data
}

const (
	vxlanHeader  = "\x08\x00\x00\x00\x00\x00\x07\x00"
	geneveHeader = "\x00\x00\x65\x58\x00\x00\x07\x00"
)

var (
	inner4 = ip4(17, udp(40000, 53, payload))
	inner6 = ip6(17, udp(40000, 53, payload))
)
