package format

import "encoding/binary"

// hexPairs holds the two digits of each byte, the first one in the low half.
var hexPairs = func() (t [256]uint16) {
	for c := range t {
		t[c] = uint16(lowerHex[c>>4]) | uint16(lowerHex[c&15])<<8
	}
	return t
}()

func appendHex(dst, b []byte) []byte {
	dst, to := extend(dst, 2*len(b))
	for _, c := range b {
		binary.LittleEndian.PutUint16(to, hexPairs[c])
		to = to[2:]
	}
	return dst
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Pairs holds the two digits of each 12-bit number, the first one in the low
// half.
var base64Pairs = func() (t [4096]uint16) {
	for v := range t {
		t[v] = uint16(base64Digits[v>>6]) | uint16(base64Digits[v&63])<<8
	}
	return t
}()

// appendBase64 appends b in standard base64 with padding.
func appendBase64(dst, b []byte) []byte {
	dst, to := extend(dst, (len(b)+2)/3*4)
	for len(b) >= 8 { // six bytes at a time, of the eight that are loaded
		v := binary.BigEndian.Uint64(b)
		binary.LittleEndian.PutUint64(to, uint64(base64Pairs[v>>52])|uint64(base64Pairs[v>>40&4095])<<16|
			uint64(base64Pairs[v>>28&4095])<<32|uint64(base64Pairs[v>>16&4095])<<48)
		b, to = b[6:], to[8:]
	}
	for len(b) >= 3 {
		v := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		binary.LittleEndian.PutUint32(to, uint32(base64Pairs[v>>12])|uint32(base64Pairs[v&4095])<<16)
		b, to = b[3:], to[4:]
	}
	switch len(b) {
	case 1:
		binary.LittleEndian.PutUint32(to, uint32(base64Pairs[uint32(b[0])<<4])|'='<<16|'='<<24)
	case 2:
		v := uint32(b[0])<<10 | uint32(b[1])<<2
		binary.LittleEndian.PutUint32(to, uint32(base64Pairs[v>>6])|uint32(base64Digits[v&63])<<16|'='<<24)
	}
	return dst
}

// appendBytes appends b as encoding/json writes the copy of b in a miekg/dns record:
// base64, or null if it is empty, since append to nil copies nothing.
func appendBytes(dst, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, "null"...)
	}
	return append(appendBase64(append(dst, '"'), b), '"')
}

// appendBase32 appends b in base32 with the extended hexadecimal alphabet (RFC 4648
// section 7), without padding.
func appendBase32(dst, b []byte) []byte {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	acc, bits := uint(0), 0
	for _, c := range b {
		acc, bits = acc<<8|uint(c), bits+8
		for bits >= 5 {
			bits -= 5
			dst = append(dst, digits[acc>>bits&31])
		}
	}
	if bits > 0 {
		dst = append(dst, digits[acc<<(5-bits)&31])
	}
	return dst
}
