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

// Part returns all events of the block. It borrows the block, which may be sealed, but must not
// have adopted another one.
func (b *Block) Part() Part {
	if len(b.parts) > 0 {
		panic("event: a part of several blocks")
	}
	return Part{b.buf[BlockHeaderLen:], b.count}
}

// Adopt puts the events of other at the end of b without copying them. b then owns other,
// which may be empty: events that are joined next are copied into its memory. Neither block
// may be sealed, and other must not have adopted a block.
func (b *Block) Adopt(other *Block) {
	if b.sealed || other.sealed || len(other.parts) > 0 {
		panic("event: adopt a sealed block, or several")
	}
	if n := len(b.parts); n > 0 {
		b.before = b.before.with(b.parts[n-1])
	}
	b.parts = append(b.parts, other)
	b.count += other.count
}

// Disband empties the block, and calls each for it and for those that it had adopted.
func (b *Block) Disband(each func(*Block)) {
	for _, p := range b.parts {
		p.Reset()
		each(p)
	}
	b.Reset()
	each(b)
}

// sizes are bytes of parts: of their events, and of their memory.
type sizes struct{ length, memory int }

func (s sizes) with(part *Block) sizes {
	return sizes{s.length + len(part.buf) - BlockHeaderLen, s.memory + cap(part.buf)}
}

// ofParts are the sizes of a block that has adopted others, with its own bytes.
func (b *Block) ofParts() sizes {
	s := b.before.with(b.parts[len(b.parts)-1])
	return sizes{len(b.buf) + s.length, cap(b.buf) + s.memory}
}

// Last is the block whose memory takes what is joined: b, or the one that it has adopted
// last.
func (b *Block) Last() *Block {
	if n := len(b.parts); n > 0 {
		return b.parts[n-1]
	}
	return b
}

// Len is the number of events.
func (p *Part) Len() int { return p.len }

// Join moves events from p to the end of b, as bytes, without reading them. b then has
// at most that many events, size bytes and as much memory; but an empty block takes one
// event of any length. Join returns the number of moved events.
func (b *Block) Join(p *Part, events, size int) (joined int) {
	if b.sealed {
		panic("event: join to a sealed block")
	}
	joined, n := p.first(events-b.count, size-b.Size())
	if joined == 0 && b.count == 0 && p.len > 0 {
		joined, n = 1, recordSize(p.rest)
	}
	to := b.Last()
	if grown := len(to.buf) + n; grown > cap(to.buf) {
		buf := make([]byte, len(to.buf), max(grown, min(2*cap(to.buf), size)))
		copy(buf, to.buf)
		to.buf = buf
	}
	to.buf = append(to.buf, p.rest[:n]...)
	b.count += joined
	if to != b {
		to.count += joined
	}
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

// Compact frees the memory that the last part of the block does not use, if that is more
// than three quarters of it, and if the part holds more than size bytes.
func (b *Block) Compact(size int) {
	if to := b.Last(); cap(to.buf) > max(4*len(to.buf), size) {
		to.buf = append(make([]byte, 0, len(to.buf)), to.buf...)
	}
}
