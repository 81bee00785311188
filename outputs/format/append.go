package format

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unicode/utf8"
)

// What records are made of: each function appends to dst and returns it.

const twoDigits = "" +
	"00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"

func appendUint(dst []byte, v uint64) []byte {
	if v < 10 {
		return append(dst, '0'+byte(v))
	}
	var b [20]byte
	i := len(b)
	for v >= 100 {
		q := v / 100
		d := (v - q*100) * 2
		i -= 2
		b[i], b[i+1] = twoDigits[d], twoDigits[d+1]
		v = q
	}
	if v < 10 {
		i--
		b[i] = '0' + byte(v)
	} else {
		i -= 2
		b[i], b[i+1] = twoDigits[v*2], twoDigits[v*2+1]
	}
	return append(dst, b[i:]...)
}

func appendTwo(dst []byte, v int) []byte {
	return append(dst, twoDigits[v*2], twoDigits[v*2+1])
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}

// How the bytes of a string are written in JSON, where first a zone file's
// escapes and then JSON's are put in.
const (
	asIs      = iota
	backslash // itself, behind a backslash, which JSON doubles
	decimal   // \DDD
	control   // JSON: \n or \u00XX
	quoted    // JSON: behind a backslash
	multibyte // JSON: part of UTF-8, or not
)

var (
	inName   = zoneClass(` .'@;()"\`) // of a domain name's label
	inString = zoneClass(`"\`)        // of a character string
	inText   = textClass()            // of text as it stands
)

func zoneClass(special string) (t [256]uint8) {
	for c := range t {
		if c < ' ' || c > '~' {
			t[c] = decimal
		}
	}
	for _, c := range special {
		t[c] = backslash
	}
	return t
}

func textClass() (t [256]uint8) {
	for c := range t {
		switch {
		case c < ' ':
			t[c] = control
		case c == '"' || c == '\\':
			t[c] = quoted
		case c >= utf8.RuneSelf:
			t[c] = multibyte
		}
	}
	return t
}

// appendZone appends s in the escapes of a zone file, and those in JSON's.
func appendZone(dst, s []byte, class *[256]uint8) []byte {
	n := len(dst)
	dst = append(dst, s...)
	odd := uint8(0)
	for _, c := range s {
		odd |= class[c]
	}
	if odd == asIs {
		return dst
	}
	return appendOddZone(dst[:n], s, class)
}

func appendOddZone(dst, s []byte, class *[256]uint8) []byte {
	for _, c := range s {
		switch class[c] {
		case asIs:
			dst = append(dst, c)
		case backslash:
			dst = append(dst, '\\', '\\')
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return dst
}

const lowerHex = "0123456789abcdef"

// appendText appends s as it stands inside a JSON string; what is not UTF-8
// becomes \ufffd byte by byte.
func appendText[T string | []byte](dst []byte, s T) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch inText[c] {
		case asIs:
			i++
			continue
		case multibyte:
			r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
		case quoted:
			dst = append(append(dst, s[start:i]...), '\\', c)
		default:
			dst = appendControl(append(dst, s[start:i]...), c)
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
}

// hexPairs holds both digits of each byte, the first one in the low half.
var hexPairs = func() (t [256]uint16) {
	for c := range t {
		t[c] = uint16(lowerHex[c>>4]) | uint16(lowerHex[c&15])<<8
	}
	return t
}()

func appendHex(dst, b []byte) []byte {
	dst, room := extend(dst, 2*len(b))
	for _, c := range b {
		binary.LittleEndian.PutUint16(room, hexPairs[c])
		room = room[2:]
	}
	return dst
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Pairs holds the two digits of each 12 bits, the first one in the low
// half.
var base64Pairs = func() (t [4096]uint16) {
	for v := range t {
		t[v] = uint16(base64Digits[v>>6]) | uint16(base64Digits[v&63])<<8
	}
	return t
}()

// appendBase64 appends b in standard base64 with padding.
func appendBase64(dst, b []byte) []byte {
	dst, room := extend(dst, (len(b)+2)/3*4)
	for len(b) >= 8 { // six at a time; the load takes eight
		v := binary.BigEndian.Uint64(b)
		binary.LittleEndian.PutUint64(room, uint64(base64Pairs[v>>52])|uint64(base64Pairs[v>>40&4095])<<16|
			uint64(base64Pairs[v>>28&4095])<<32|uint64(base64Pairs[v>>16&4095])<<48)
		b, room = b[6:], room[8:]
	}
	for len(b) >= 3 {
		v := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		binary.LittleEndian.PutUint32(room, uint32(base64Pairs[v>>12])|uint32(base64Pairs[v&4095])<<16)
		b, room = b[3:], room[4:]
	}
	switch len(b) {
	case 1:
		binary.LittleEndian.PutUint32(room, uint32(base64Pairs[uint32(b[0])<<4])|'='<<16|'='<<24)
	case 2:
		v := uint32(b[0])<<10 | uint32(b[1])<<2
		binary.LittleEndian.PutUint32(room, uint32(base64Pairs[v>>6])|uint32(base64Digits[v&63])<<16|'='<<24)
	}
	return dst
}

// appendBytes appends what encoding/json makes of a []byte that was copied with
// append: base64, and null where there is nothing.
func appendBytes(dst, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, "null"...)
	}
	return append(appendBase64(append(dst, '"'), b), '"')
}

// appendBase32 appends b in the extended hexadecimal alphabet without padding.
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

// extend makes dst n bytes longer and returns the new bytes too, which hold
// anything.
func extend(dst []byte, n int) (extended, room []byte) {
	at := len(dst)
	if cap(dst)-at < n {
		dst = append(dst, make([]byte, n)...)
	}
	dst = dst[:at+n]
	return dst, dst[at:]
}

// octets holds the decimal digits of each byte and their number.
var octets = func() (t [256]struct {
	text [3]byte
	n    uint8
}) {
	for v := range t {
		t[v].n = uint8(copy(t[v].text[:], appendUint(nil, uint64(v))))
	}
	return t
}()

func appendIPv4(dst, ip []byte) []byte {
	var b [16]byte
	n := 0
	for _, c := range ip[:4] {
		o := &octets[c]
		b[n], b[n+1], b[n+2] = o.text[0], o.text[1], o.text[2]
		n = (n + int(o.n)) & 15
		b[n] = '.'
		n = (n + 1) & 15
	}
	return append(dst, b[:(n-1)&15]...)
}

// appendIPv6 appends 16 bytes as net.IP prints them: an IPv4-mapped address in
// the form of IPv4.
func appendIPv6(dst, ip []byte) []byte {
	if binary.BigEndian.Uint64(ip) == 0 && binary.BigEndian.Uint32(ip[8:]) == 0xffff {
		return appendIPv4(dst, ip[12:])
	}
	return netip.AddrFrom16([16]byte(ip)).AppendTo(dst)
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

// clock writes times and keeps what the last one's second looked like.
type clock struct {
	loc    *time.Location // nil: UTC
	second int64
	date   [19]byte // 2006-01-02T15:04:05
	zone   string   // Z or +01:00; "" until first used
}

func (c *clock) split(ns int64) (second, fraction int64) {
	second, fraction = ns/1e9, ns%1e9
	if fraction < 0 {
		second, fraction = second-1, fraction+1e9
	}
	if second != c.second || c.zone == "" {
		c.set(second)
	}
	return second, fraction
}

func (c *clock) set(second int64) {
	t := time.Unix(second, 0).UTC()
	if c.loc != nil {
		t = t.In(c.loc)
	}
	var b [40]byte
	text := t.AppendFormat(b[:0], time.RFC3339)
	copy(c.date[:], text)
	if zone := text[len(c.date):]; string(zone) != c.zone {
		c.zone = string(zone)
	}
	c.second = second
}

// appendTime appends ns as RFC 3339 with as many decimals as it needs.
func (c *clock) appendTime(dst []byte, ns int64) []byte {
	_, fraction := c.split(ns)
	dst = append(dst, c.date[:]...)
	if fraction > 0 {
		dst = append(dst, '.')
		n := len(dst)
		dst = appendNano(dst, fraction)
		for dst[len(dst)-1] == '0' && len(dst) > n {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, c.zone...)
}

// appendNano appends nine digits.
func appendNano(dst []byte, fraction int64) []byte {
	hi, lo := int(fraction/100000), int(fraction%100000)
	dst = appendTwo(dst, hi/100)
	dst = appendTwo(dst, hi%100)
	dst = append(dst, '0'+byte(lo/10000))
	dst = appendTwo(dst, lo/100%100)
	return appendTwo(dst, lo%100)
}
