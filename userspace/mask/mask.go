// Package mask hides the lower bits of addresses: those of packets, and the
// client's network that a resolver passes on in a message (EDNS client subnet,
// RFC 7871).
package mask

import "net/netip"

// Bits says how many upper bits of an address stay, 32 and 128 for all. An
// IPv4-mapped IPv6 address is masked as both.
type Bits struct{ V4, V6 int }

// All reports whether nothing is masked.
func (b Bits) All() bool { return b.V4 >= 32 && b.V6 >= 128 }

// mapped is how an IPv4-mapped IPv6 address begins.
const mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"

// Addr masks an address. The zero Addr stays what it is.
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
	p, _ := a.Prefix(max(0, bits)) // fails only outside of 0 to BitLen
	return p.Addr()
}

// AddrPort masks the address.
func (b Bits) AddrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(b.Addr(a.Addr()), a.Port())
}

// AppendMasked masks the client subnets in a message without touching msg: where
// there is something to hide it appends a copy to dst, hides it in that, and
// returns the extended dst and true. Otherwise it returns dst and false. Lengths
// and prefix lengths stay. An OPT record counts in any section, an address of an
// unknown family is hidden as a whole, and what stands behind the place where a
// broken message cannot be read any more stays as it is.
func (b Bits) AppendMasked(dst, msg []byte) ([]byte, bool) {
	start, copied := len(dst), false
	for w := newWalk(msg); w.next(); {
		bits := 0
		switch w.family {
		case familyV4:
			bits = b.V4
		case familyV6:
			bits = b.V6
			if string(msg[w.from:min(w.to, w.from+len(mapped))]) == mapped {
				bits = min(bits, 8*len(mapped)+b.V4)
			}
		}
		if !hides(msg[w.from:w.to], bits) {
			continue
		}
		if !copied {
			dst, copied = append(dst, msg...), true
		}
		hide(dst[start+w.from:start+w.to], bits)
	}
	return dst, copied
}

// hides reports whether an address has bits set behind the first ones.
func hides(addr []byte, bits int) bool {
	for i, c := range addr {
		if c&^upper(bits-8*i) != 0 {
			return true
		}
	}
	return false
}

func hide(addr []byte, bits int) {
	for i := range addr {
		addr[i] &= upper(bits - 8*i)
	}
}

// upper is a byte with its n upper bits set, none or all where n is out of range.
func upper(n int) byte { return ^byte(0xff >> max(0, min(n, 8))) }
