package file

import (
	"encoding/binary"
	"errors"
	"io"
)

// maxXZDict bounds the memory for decompressing an xz file: twice what xz -9 needs.
const maxXZDict = 128 << 20

var (
	errXZDict   = errors.New("dictionary too large")
	errXZFormat = errors.New("xz: not a valid stream")
)

// xzGuard passes an xz file through, and fails at a block whose dictionary is larger than
// maxXZDict: the decompressor would allocate it. The guard follows the file format
// (tukaani.org/xz/xz-file-format.txt) from header to header and skips what lies between.
type xzGuard struct {
	r      io.Reader
	step   func(*xzGuard, []byte) bool // parses the next want bytes; false: invalid
	want   int
	skip   int // bytes before those
	buf    []byte
	check  int    // bytes of the check after each block
	packed int    // bytes of the block so far
	index  int    // bytes of the index so far
	left   uint64 // numbers of the index still to come
	number uint64 // of the index, being read
	shift  uint
	large  bool
}

func newXZGuard(r io.Reader) *xzGuard {
	g := &xzGuard{r: r}
	g.next(4, (*xzGuard).magic)
	return g
}

func (g *xzGuard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	for at := 0; at < n; {
		if g.skip > 0 {
			k := min(g.skip, n-at)
			at, g.skip = at+k, g.skip-k
			continue
		}
		k := min(g.want-len(g.buf), n-at)
		g.buf = append(g.buf, p[at:at+k]...)
		if len(g.buf) == g.want {
			if !g.step(g, g.buf) {
				return at, errXZFormat
			}
			if g.large {
				return at, errXZDict // before the decompressor gets the end of the header
			}
			g.buf = g.buf[:0]
		}
		at += k
	}
	return n, err
}

// next sets what parses the next bytes.
func (g *xzGuard) next(want int, step func(*xzGuard, []byte) bool) bool {
	g.want, g.step = want, step
	return true
}

// magic parses the first bytes of a stream, or padding between streams.
func (g *xzGuard) magic(b []byte) bool {
	if string(b) == "\x00\x00\x00\x00" {
		return true
	}
	return string(b) == "\xfd7zX" && g.next(8, (*xzGuard).flags)
}

func (g *xzGuard) flags(b []byte) bool {
	g.check = [...]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[b[3]&15]
	return g.next(1, (*xzGuard).block)
}

// block parses the length of a block's header, or the first byte of the index.
func (g *xzGuard) block(b []byte) bool {
	if b[0] != 0 {
		return g.next(int(b[0])*4+3, (*xzGuard).header)
	}
	g.index, g.left, g.number, g.shift = 1, 0, 0, 0
	return g.next(1, (*xzGuard).count)
}

// header parses the header of a block: flags, two optional sizes, and the filters. Only
// LZMA2 is accepted.
func (g *xzGuard) header(b []byte) bool {
	at := 1
	for _, flag := range []byte{0x40, 0x80} {
		if b[0]&flag != 0 {
			_, n := binary.Uvarint(b[at:])
			if n <= 0 {
				return false
			}
			at += n
		}
	}
	if b[0]&3 != 0 || at+3 > len(b) || b[at] != 0x21 || b[at+1] != 1 || b[at+2] > 40 {
		return false
	}
	bits := b[at+2]
	g.large = (2|uint64(bits)&1)<<(bits/2+11) > maxXZDict
	g.packed = 0
	return g.next(1, (*xzGuard).chunk)
}

// chunk parses the first byte of an LZMA2 chunk.
func (g *xzGuard) chunk(b []byte) bool {
	g.packed++
	switch c := b[0]; {
	case c == 0: // the end: padding and check
		g.skip = -g.packed&3 + g.check
		return g.next(1, (*xzGuard).block)
	case c <= 2:
		return g.next(2, (*xzGuard).size)
	case c >= 0xc0:
		return g.next(5, (*xzGuard).size)
	default:
		return c >= 0x80 && g.next(4, (*xzGuard).size)
	}
}

// size parses the rest of a chunk's header: the last two bytes of the sizes are the
// compressed size.
func (g *xzGuard) size(b []byte) bool {
	sizes := b[:len(b)&^1]
	g.skip = int(binary.BigEndian.Uint16(sizes[len(sizes)-2:])) + 1
	g.packed += len(b) + g.skip
	return g.next(1, (*xzGuard).chunk)
}

// count parses the number of entries in the index, each of which is two numbers.
func (g *xzGuard) count(b []byte) bool {
	ended, ok := g.varint(b[0])
	if !ended || !ok {
		return ok
	}
	g.left, g.number, g.shift = 2*g.number, 0, 0
	return g.entries()
}

func (g *xzGuard) entry(b []byte) bool {
	ended, ok := g.varint(b[0])
	if !ended || !ok {
		return ok
	}
	g.left, g.number, g.shift = g.left-1, 0, 0
	return g.entries()
}

// entries continues with the next number of the index, or after the index.
func (g *xzGuard) entries() bool {
	if g.left > 0 {
		return g.next(1, (*xzGuard).entry)
	}
	g.skip = -g.index&3 + 4 + 12 // padding, check, and the stream's footer
	return g.next(4, (*xzGuard).magic)
}

// varint parses one byte of a number.
func (g *xzGuard) varint(b byte) (ended, ok bool) {
	g.index++
	g.number |= uint64(b&0x7f) << g.shift
	g.shift += 7
	return b < 0x80, g.shift <= 63
}
