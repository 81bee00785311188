//go:build linux

package bpf

import (
	"encoding/binary"
	"net/netip"
)

// The packets of the tests are built from parts, so that a case is one line:
// eth(0x0800, ip4(a, b, 17, udp(1234, 53, payload))).

var (
	a4 = netip.MustParseAddr("192.0.2.1")
	b4 = netip.MustParseAddr("198.51.100.53")
	a6 = netip.MustParseAddr("2001:db8::1")
	b6 = netip.MustParseAddr("2001:db8:53::53")
)

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// fill returns n bytes, each different from its neighbours.
func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func be16(v ...uint16) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func eth(proto uint16, payload []byte) []byte {
	return join([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, be16(proto), payload)
}

// vlan returns what follows the EtherType of a VLAN tag.
func vlan(id, proto uint16, payload []byte) []byte { return join(be16(id, proto), payload) }

type ip4opts struct {
	options []byte // a multiple of 4
	frag    uint16 // flags and offset as in the header
	id      uint16
}

func ip4with(o ip4opts, src, dst netip.Addr, proto byte, payload []byte) []byte {
	ihl := 5 + len(o.options)/4
	return join([]byte{byte(0x40 | ihl), 0}, be16(uint16(ihl*4+len(payload)), o.id, o.frag), []byte{64, proto}, be16(0),
		src.AsSlice(), dst.AsSlice(), o.options, payload)
}

func ip4(src, dst netip.Addr, proto byte, payload []byte) []byte {
	return ip4with(ip4opts{}, src, dst, proto, payload)
}

func ip6(src, dst netip.Addr, next byte, payload []byte) []byte {
	return join([]byte{0x60, 0, 0, 0}, be16(uint16(len(payload))), []byte{next, 64}, src.AsSlice(), dst.AsSlice(), payload)
}

// ext returns an IPv6 extension header of 8+8*more bytes, and the payload.
func ext(next byte, more int, payload []byte) []byte {
	return join([]byte{next, byte(more)}, make([]byte, 6+8*more), payload)
}

// ah returns an authentication header, whose length counts words of 4 bytes.
func ah(next byte, words int, payload []byte) []byte {
	return join([]byte{next, byte(words)}, make([]byte, 6+4*words), payload)
}

func frag6(next byte, off, more uint16, id uint32, payload []byte) []byte {
	return join([]byte{next, 0}, be16(off<<3|more), be32(id), payload)
}

func udp(sport, dport uint16, payload []byte) []byte {
	return join(be16(sport, dport, uint16(8+len(payload)), 0), payload)
}

func tcp(sport, dport uint16, payload []byte) []byte {
	return join(be16(sport, dport), be32(1), be32(0), []byte{0x50, 0x18}, be16(1024, 0, 0), payload)
}

// query4 returns a UDP frame of n bytes to port 53.
func query4(n int) []byte {
	return eth(0x0800, ip4(a4, b4, 17, udp(40000, 53, fill(n-42))))
}
