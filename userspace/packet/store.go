package packet

import "bytes"

const (
	pieceLen = 256
	slabLen  = 256 // pieces
)

// Store keeps bytes that must outlive the packet they came in. It holds them in pieces of
// equal size, so that freed memory is not fragmented. It never takes more memory than
// its limit, and does not give memory back.
type Store struct {
	slabs [][]byte
	next  []int32 // per piece: the next one in its chain or in the free list; 0: none
	free  int32
	used  int
	limit int
}

// Chain is a run of bytes in a Store. The zero value is empty.
type Chain struct{ first, last, size int32 }

// Len is the number of bytes.
func (c Chain) Len() int { return int(c.size) }

// NewStore makes a store of at most limit bytes, rounded down to whole pieces
// of 256 bytes, and at least one.
func NewStore(limit int) *Store {
	return &Store{next: make([]int32, 1), limit: max(1, min(limit/pieceLen, 1<<30))}
}

// Pieces is the number of pieces within the limit, and so the largest number of chains.
func (s *Store) Pieces() int { return s.limit }

// Used is the number of bytes that chains take, in whole pieces.
func (s *Store) Used() int { return s.used * pieceLen }

// Append copies b to the end of c. If there is no room for all of b, it changes nothing
// and returns false. c stays valid if reading b panics, as it does when a mapped file
// becomes shorter.
func (s *Store) Append(c *Chain, b []byte) bool {
	if len(b) == 0 {
		return true
	}
	tail := int(c.size) % pieceLen
	if tail == 0 && c.size > 0 {
		tail = pieceLen
	}
	fresh := len(b)
	if c.size > 0 {
		fresh -= pieceLen - tail
	}
	if fresh > 0 && (fresh+pieceLen-1)/pieceLen > s.limit-s.used {
		return false
	}
	if c.last != 0 {
		n := copy(s.piece(c.last)[tail:], b)
		c.size += int32(n)
		b = b[n:]
	}
	for len(b) > 0 {
		i := s.take()
		n := copy(s.piece(i), b)
		if c.last == 0 {
			c.first = i
		} else {
			s.next[c.last] = i
		}
		c.last = i
		c.size += int32(n)
		b = b[n:]
	}
	return true
}

// AppendTo appends the chain's bytes to dst.
func (s *Store) AppendTo(dst []byte, c Chain) []byte {
	n := int(c.size)
	for i := c.first; n > 0; i = s.next[i] {
		dst = append(dst, s.piece(i)[:min(n, pieceLen)]...)
		n -= pieceLen
	}
	return dst
}

// Equal reports whether the chain holds exactly b.
func (s *Store) Equal(c Chain, b []byte) bool {
	if len(b) != int(c.size) {
		return false
	}
	for i := c.first; len(b) > 0; i = s.next[i] {
		n := min(len(b), pieceLen)
		if !bytes.Equal(s.piece(i)[:n], b[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// Free gives the chain's pieces back and empties it.
func (s *Store) Free(c *Chain) {
	if c.first != 0 {
		s.used -= (int(c.size) + pieceLen - 1) / pieceLen
		s.next[c.last] = s.free
		s.free = c.first
	}
	*c = Chain{}
}

func (s *Store) piece(i int32) []byte {
	at := int(i-1) % slabLen * pieceLen
	return s.slabs[int(i-1)/slabLen][at : at+pieceLen]
}

// take returns an unused piece, with none after it. The caller has checked that there is
// one.
func (s *Store) take() int32 {
	s.used++
	i := s.free
	if i == 0 {
		i = int32(len(s.next))
		if int(i-1)/slabLen == len(s.slabs) {
			s.slabs = append(s.slabs, make([]byte, slabLen*pieceLen))
		}
		s.next = append(s.next, 0)
		return i
	}
	s.free, s.next[i] = s.next[i], 0
	return i
}
