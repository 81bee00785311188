package format

import (
	"encoding/binary"
	"math/bits"
)

const twoDigits = "" +
	"00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"

// appendUint has few branches, since a processor cannot predict the numbers in
// records.
func appendUint(dst []byte, v uint64) []byte {
	dst = reserve(dst, maxDigits+4)
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

// eightDigits returns the decimal digits of v < 1e8, with the first one in the lowest
// byte. It splits v in halves, and these again, all in one register.
func eightDigits(v uint64) uint64 {
	v = v/1e4 | v%1e4<<32
	high := v * 10486 >> 20 & 0x0000007f_0000007f // hundreds
	v = high | (v-high*100)<<16
	high = v * 103 >> 10 & 0x000f_000f_000f_000f // tens
	v = high | (v-high*10)<<8
	return v | 0x3030303030303030
}

const maxDigits = 20

// powers are the powers of ten that fit into a uint64.
var powers = func() (t [maxDigits]uint64) {
	t[0] = 1
	for i := range t[1:] {
		t[i+1] = t[i] * 10
	}
	return t
}()

// digits is the number of decimal digits of v, which is not 0.
func digits(v uint64) int {
	n := bits.Len64(v) * 1233 >> 12 // by the logarithm of 2: right or one too small
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

// octet is the n decimal digits of a byte, with the first one in the lowest byte of
// text. A dot follows, for IP addresses, so that all four bytes can be stored.
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
