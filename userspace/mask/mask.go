// Package mask zeroes the lower bits of addresses: of packets, and of the client's
// network in messages (EDNS client subnet, RFC 7871).
//
// In: addresses and messages. Out: masked addresses, and copies of messages. The
// package imports package dns alone. Its tests make their own messages.
package mask

import (
	"net/netip"

	"dnsmonster-sensor/userspace/dns"
)

// Bits is how many upper bits of an address stay: 32 and 128 keep all. An
// IPv4-mapped IPv6 address keeps no more than either allows.
type Bits struct{ V4, V6 int }

// All reports whether all bits stay.
func (b Bits) All() bool { return b.V4 >= 32 && b.V6 >= 128 }

// mapped is the prefix of IPv4-mapped IPv6 addresses.
const mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"

// Addr masks an address. The zero Addr stays as it is.
func (b Bits) Addr(a netip.Addr) netip.Addr {
	switch {
	case a.Is4():
		return keep(a, b.V4)
	case a.Is4In6():
		return keep(a, min(b.V6, 96+b.V4))
	case a.Is6():
		return keep(a, b.V6)
	}
	return a
}

func keep(a netip.Addr, bits int) netip.Addr {
	if bits >= a.BitLen() {
		return a
	}
	p, _ := a.Prefix(max(0, bits)) // it fails only outside of 0 to BitLen
	return p.Addr()
}

// AddrPort masks the address.
func (b Bits) AddrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(b.Addr(a.Addr()), a.Port())
}

// AppendMasked masks the client subnets in a message without changing msg. If there
// are bits to zero, it appends a masked copy of the message to dst and returns the
// extended dst and true; otherwise it returns dst and false. Lengths and prefix
// lengths stay. OPT records are masked in any section, and addresses of an unknown
// family completely. In a broken message, nothing is masked after the point where it
// becomes unreadable.
func (b Bits) AppendMasked(dst, msg []byte) ([]byte, bool) {
	start, copied := len(dst), false
	for s := newSubnets(msg); s.next(); {
		bits := 0
		switch s.family {
		case dns.FamilyIPv4:
			bits = b.V4
		case dns.FamilyIPv6:
			bits = b.V6
			if string(msg[s.from:min(s.to, s.from+len(mapped))]) == mapped {
				bits = min(bits, 8*len(mapped)+b.V4)
			}
		}
		if !hasLowerBits(msg[s.from:s.to], bits) {
			continue
		}
		if !copied {
			dst, copied = append(dst, msg...), true
		}
		clearLowerBits(dst[start+s.from:start+s.to], bits)
	}
	return dst, copied
}

// hasLowerBits reports whether addr has a bit set after the first bits.
func hasLowerBits(addr []byte, bits int) bool {
	for i, c := range addr {
		if c&^upper(bits-8*i) != 0 {
			return true
		}
	}
	return false
}

func clearLowerBits(addr []byte, bits int) {
	for i := range addr {
		addr[i] &= upper(bits - 8*i)
	}
}

// upper is a byte with its n upper bits set: none or all if n is out of range.
func upper(n int) byte { return ^byte(0xff >> max(0, min(n, 8))) }
