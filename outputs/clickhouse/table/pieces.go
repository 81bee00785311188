package table

// pieces is the filled parts of a column's buffer. A buffer that grew to the size of all
// rows would be copied at each growth, and take up to twice their memory.
type pieces struct {
	full  [][]byte
	spare [][]byte // empty
	most  int      // pieces of a block, in this period
	uses  int
}

// A buffer of pieceBytes is a piece. There is room for the values of one more chunk of rows.
const (
	pieceBytes = 1 << 20
	pieceRoom  = 256 << 10
)

// cut returns an empty buffer in the place of one that is a piece.
func (p *pieces) cut(buf []byte) []byte {
	if len(buf) < pieceBytes {
		return buf
	}
	p.full = append(p.full, buf)
	if last := len(p.spare) - 1; last >= 0 {
		buf, p.spare = p.spare[last], p.spare[:last]
		return buf
	}
	return make([]byte, 0, pieceBytes+pieceRoom)
}

// reset begins a block. As many pieces are kept as a block of the last period had. Those
// that a hostile message has made large are not.
func (p *pieces) reset() {
	p.most = max(p.most, len(p.full))
	for _, b := range p.full {
		if cap(b) <= 2*pieceBytes {
			p.spare = append(p.spare, b[:0])
		}
	}
	clear(p.full)
	p.full = p.full[:0]
	if p.uses++; p.uses < keepPeriod {
		return
	}
	if len(p.spare) > p.most {
		clear(p.spare[p.most:])
		p.spare = p.spare[:p.most]
	}
	p.most, p.uses = 0, 0
}

func (p *pieces) memory() (n int) {
	for _, list := range [][][]byte{p.full, p.spare} {
		for _, b := range list {
			n += cap(b)
		}
	}
	return n
}

// cut makes room for the values of a chunk. A dictionary's buffer holds one chunk, and the
// length of fixed values was expected.
func (c *column) cut() {
	if c.dict != nil || c.size > 0 {
		return
	}
	c.buf = c.pieces.cut(c.buf)
	if c.inner != nil {
		c.inner.cut()
	}
}
