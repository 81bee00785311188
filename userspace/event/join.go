package event

import (
	"encoding/binary"
)

// Part is what of a block's events is still to be copied into others. The zero
// Part has none.
type Part struct {
	rest []byte
	len  int
}

// Part is all of the block's events. It borrows the block, which may be sealed.
func (b *Block) Part() Part { return Part{b.buf[BlockHeaderLen:], b.count} }

// Len is the number of events.
func (p *Part) Len() int { return p.len }

// Join moves events from p to the end of b, as bytes: none is read. Then b has at
// most that many events, and is at most size bytes long, in memory too; but an
// empty block takes one event, however long. It returns how many that were.
func (b *Block) Join(p *Part, events, size int) (joined int) {
	if b.sealed {
		panic("event: join to a sealed block")
	}
	joined, n := p.first(events-b.count, size-len(b.buf))
	if joined == 0 && b.count == 0 && p.len > 0 {
		joined, n = 1, recordSize(p.rest)
	}
	if grown := len(b.buf) + n; grown > cap(b.buf) {
		buf := make([]byte, len(b.buf), max(grown, min(2*cap(b.buf), size)))
		copy(buf, b.buf)
		b.buf = buf
	}
	b.buf = append(b.buf, p.rest[:n]...)
	b.count += joined
	p.rest, p.len = p.rest[n:], p.len-joined
	return joined
}

// first is how many events stand in the first size bytes, at most that many, and
// how long they are.
func (p *Part) first(events, size int) (number, n int) {
	if p.len <= events && len(p.rest) <= size {
		return p.len, len(p.rest)
	}
	for number < min(events, p.len) {
		next := n + recordSize(p.rest[n:])
		if next > size {
			break
		}
		number, n = number+1, next
	}
	return number, n
}

// recordSize is the length of the record that stands first.
func recordSize(records []byte) int { return int(binary.LittleEndian.Uint32(records)) }

// Compact gives memory back that the block does not need, where that is most of it
// and more than size bytes.
func (b *Block) Compact(size int) {
	if cap(b.buf) > max(4*len(b.buf), size) {
		b.buf = append(make([]byte, 0, len(b.buf)), b.buf...)
	}
}
