package format

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

func appendIPv4(dst, ip []byte) []byte {
	dst = reserve(dst, 16)
	at := len(dst)
	to, n := dst[at:at+16], 0
	for _, c := range ip[:4] {
		o := &octets[c]
		binary.LittleEndian.PutUint32(to[n:], o.text)
		n += o.n + 1
	}
	return dst[:at+n-1]
}

// appendIPv6 appends 16 bytes as net.IP prints them: as in RFC 5952, but IPv4-mapped
// addresses as IPv4.
func appendIPv6(dst, ip []byte) []byte {
	hi, lo := binary.BigEndian.Uint64(ip), binary.BigEndian.Uint64(ip[8:])
	if hi == 0 && lo>>32 == 0xffff {
		return appendIPv4(dst, ip[12:])
	}
	from, to := longestZeros(hi, lo)
	dst = reserve(dst, 48)
	at := len(dst)
	text, n := dst[at:at+48], 0
	for i := 0; i < 8; i++ {
		if i == from {
			text[n], text[n+1] = ':', ':'
			n += 2
			if i = to; i == 8 {
				break
			}
		} else if i > 0 {
			text[n] = ':'
			n++
		}
		high, low := ip[2*i], ip[2*i+1]
		digits := (bits.Len(uint(high)<<8|uint(low)|1) + 3) / 4
		binary.LittleEndian.PutUint32(text[n:], (uint32(hexPairs[high])|uint32(hexPairs[low])<<16)>>(32-8*digits))
		n += digits
	}
	return dst[:at+n]
}

// longestZeros returns which groups of an IPv6 address are written as "::": the first
// of the longest runs of zeros, if that has two groups or more.
func longestZeros(hi, lo uint64) (from, to int) {
	from, to = -1, -1
	for i := 0; i < 8; i++ {
		end := i
		for end < 8 && group(hi, lo, end) == 0 {
			end++
		}
		if end-i >= 2 && end-i > to-from {
			from, to = i, end
		}
		i = end
	}
	return from, to
}

func group(hi, lo uint64, i int) uint16 {
	if i < 4 {
		return uint16(hi >> (48 - 16*i))
	}
	return uint16(lo >> (112 - 16*i))
}

// appendAddr appends an address as net.IP prints it, without its zone, or
// nothing for the zero value.
func appendAddr(dst []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		b := a.As4()
		return appendIPv4(dst, b[:])
	case a.Is6():
		b := a.As16()
		return appendIPv6(dst, b[:])
	}
	return dst
}
