package event

import (
	"encoding/binary"
)

// Part is the events of a block that were not yet copied into other blocks. The zero
// Part has none.
type Part struct {
	rest []byte
	len  int
}

// Part returns all events of the block. It borrows the block, which may be sealed.
func (b *Block) Part() Part { return Part{b.buf[BlockHeaderLen:], b.count} }

// Len is the number of events.
func (p *Part) Len() int { return p.len }

// Join moves events from p to the end of b, as bytes, without reading them. b then has
// at most that many events, size bytes and as much memory; but an empty block takes one
// event of any length. Join returns the number of moved events.
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

// first returns how many whole events fit into size bytes, limit at most, and their
// length.
func (p *Part) first(limit, size int) (number, n int) {
	if p.len <= limit && len(p.rest) <= size {
		return p.len, len(p.rest)
	}
	for number < min(limit, p.len) {
		next := n + recordSize(p.rest[n:])
		if next > size {
			break
		}
		number, n = number+1, next
	}
	return number, n
}

// recordSize is the length of the first record.
func recordSize(records []byte) int { return int(binary.LittleEndian.Uint32(records)) }

// Compact frees the memory that the block does not use, if that is more than three
// quarters of it, and if the block holds more than size bytes.
func (b *Block) Compact(size int) {
	if cap(b.buf) > max(4*len(b.buf), size) {
		b.buf = append(make([]byte, 0, len(b.buf)), b.buf...)
	}
}
