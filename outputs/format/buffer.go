package format

import "slices"

// reserve grows dst so that n bytes can be appended without moving it.
func reserve(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		return grow(dst, n)
	}
	return dst
}

//go:noinline
func grow(dst []byte, n int) []byte { return slices.Grow(dst, n) }

// extend makes dst n bytes longer, and also returns the new bytes, whose contents are
// arbitrary.
func extend(dst []byte, n int) (extended, added []byte) {
	at := len(dst)
	dst = reserve(dst, n)[:at+n]
	return dst, dst[at:]
}

// short is a text of at most 48 bytes. appendShort copies all 48, which is faster
// than copying n.
type short struct {
	text [48]byte
	n    int
}

func newShort(s string) (t short) {
	if t.n = copy(t.text[:], s); t.n < len(s) {
		panic("format: too long for a short text: " + s)
	}
	return t
}

func appendShort(dst []byte, s *short) []byte {
	dst = reserve(dst, len(s.text))
	at := len(dst)
	*(*[len(s.text)]byte)(dst[at : at+len(s.text)]) = s.text
	return dst[:at+s.n]
}
