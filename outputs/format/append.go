package format

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

// What records are made of: each function appends to dst and returns it.

const twoDigits = "" +
	"00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"

// appendUint has few branches: numbers in records follow no pattern that a
// processor could guess.
func appendUint(dst []byte, v uint64) []byte {
	dst = room(dst, maxDigits+4)
	at := len(dst)
	if v < 256 {
		o := &octets[v]
		binary.LittleEndian.PutUint32(dst[at:at+4], o.text)
		return dst[:at+o.n]
	}
	if v < 1e8 {
		n := digits(v)
		binary.LittleEndian.PutUint64(dst[at:at+8], eightDigits(v)>>(64-8*uint(n)))
		return dst[:at+n]
	}
	high := v / 1e8
	dst = appendUint(dst, high)
	return binary.LittleEndian.AppendUint64(dst, eightDigits(v-high*1e8))
}

// eightDigits gives the decimal digits of v < 1e8, the first one lowest: v is
// split in halves, and those again, in one register.
func eightDigits(v uint64) uint64 {
	v = v/1e4 | v%1e4<<32
	high := v * 10486 >> 20 & 0x0000007f_0000007f // hundreds
	v = high | (v-high*100)<<16
	high = v * 103 >> 10 & 0x000f_000f_000f_000f // tens
	v = high | (v-high*10)<<8
	return v | 0x3030303030303030
}

const maxDigits = 20

// powers are those of ten that a uint64 holds.
var powers = func() (t [maxDigits]uint64) {
	t[0] = 1
	for i := range t[1:] {
		t[i+1] = t[i] * 10
	}
	return t
}()

// digits is how many v has; v is not 0.
func digits(v uint64) int {
	n := bits.Len64(v) * 1233 >> 12 // by the logarithm of 2: right, or one too many
	if v >= powers[n] {
		n++
	}
	return n
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
		case c < ' ' || c == 0x7f:
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

// appendLabel appends a name's label and the dot behind it.
func appendLabel(dst, s []byte) []byte {
	dst = room(dst, len(s)+1)
	at := len(dst)
	to := dst[at : at+len(s)+1]
	odd := uint8(0)
	for i, c := range s {
		to[i] = c
		odd |= inName[c]
	}
	if odd == asIs {
		to[len(s)] = '.'
		return dst[:at+len(to)]
	}
	return append(appendOddZone(dst, s, &inName), '.')
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
// becomes \ufffd byte by byte. Control characters are escaped, all of them: also
// DEL and those from U+0080 to U+009F, which JSON does not ask for.
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
			if r > 0x9f && (r != utf8.RuneError || n != 1) {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			if r <= 0x9f {
				dst = appendControl(dst, byte(r))
			} else {
				dst = append(dst, `\ufffd`...)
			}
			i += n
			start = i
			continue
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
	dst, to := extend(dst, 2*len(b))
	for _, c := range b {
		binary.LittleEndian.PutUint16(to, hexPairs[c])
		to = to[2:]
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
	dst, to := extend(dst, (len(b)+2)/3*4)
	for len(b) >= 8 { // six at a time; the load takes eight
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

// room makes sure that n bytes can be put behind dst without moving it.
func room(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		return grow(dst, n)
	}
	return dst
}

//go:noinline
func grow(dst []byte, n int) []byte { return slices.Grow(dst, n) }

// extend makes dst n bytes longer and returns the new bytes too, which hold
// anything.
func extend(dst []byte, n int) (extended, added []byte) {
	at := len(dst)
	dst = room(dst, n)[:at+n]
	return dst, dst[at:]
}

// short is a text of at most 48 bytes. Its fixed size lets appendShort copy it
// without asking how long it is.
type short struct {
	text [48]byte
	n    int
}

func newShort(s string) (t short) {
	if t.n = copy(t.text[:], s); t.n < len(s) {
		panic("format: longer than a short text: " + s)
	}
	return t
}

func appendShort(dst []byte, s *short) []byte {
	dst = room(dst, len(s.text))
	at := len(dst)
	*(*[len(s.text)]byte)(dst[at : at+len(s.text)]) = s.text
	return dst[:at+s.n]
}

// octet is the decimal digits of a byte, the first one lowest, with a dot behind
// them where there is room: they have n digits, and four bytes can be stored.
type octet struct {
	text uint32
	n    int
}

var octets = func() (t [256]octet) {
	for v := range t {
		var b [4]byte
		if v >= 100 {
			t[v].n, b[0] = 1, '0'+byte(v/100)
		}
		if v >= 10 {
			b[t[v].n] = '0' + byte(v/10%10)
			t[v].n++
		}
		b[t[v].n], b[t[v].n+1] = '0'+byte(v%10), '.'
		t[v].n++
		t[v].text = binary.LittleEndian.Uint32(b[:])
	}
	return t
}()

func appendIPv4(dst, ip []byte) []byte {
	dst = room(dst, 16)
	at := len(dst)
	to, n := dst[at:at+16], 0
	for _, c := range ip[:4] {
		o := &octets[c]
		binary.LittleEndian.PutUint32(to[n:], o.text)
		n += o.n + 1
	}
	return dst[:at+n-1]
}

// appendIPv6 appends 16 bytes as net.IP prints them: as RFC 5952 says, but an
// IPv4-mapped address in the form of IPv4.
func appendIPv6(dst, ip []byte) []byte {
	hi, lo := binary.BigEndian.Uint64(ip), binary.BigEndian.Uint64(ip[8:])
	if hi == 0 && lo>>32 == 0xffff {
		return appendIPv4(dst, ip[12:])
	}
	from, to := longestZeros(hi, lo)
	dst = room(dst, 48)
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

// longestZeros tells which groups of an IPv6 address are written as "::": the
// first of the longest runs of zeros, if it is of two groups or more.
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
