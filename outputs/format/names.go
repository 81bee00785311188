package format

const (
	maxNameWire = 255 // RFC 1035 section 3.1, the last label's zero included
	maxPointers = 126 // what miekg/dns allows in one name
	maxTarget   = 1<<14 - 1
)

// names writes the names of one message at a time, as miekg/dns presents them
// and JSON escapes them. It remembers where in the output each one stands: most
// names of a message are, or end in, one that was written before.
//
// reset begins a message; from then on, until the next reset, the output may
// only grow.
type names struct {
	message uint32
	seen    [32]seenName
}

type seenName struct {
	message uint32
	offset  uint16 // in the message
	wire    uint8  // length on the wire without the final zero
	hops    uint8  // pointers on the way
	reach   int32  // the bytes of the message before this one suffice to read it
	at      int32  // in the output
	n       int32
}

func (s *names) reset() {
	s.message++
	if s.message == 0 { // entries of four billion messages ago would look new
		*s = names{message: 1}
	}
}

func (s *names) slot(offset int) *seenName { return &s.seen[(offset^offset>>5)&31] }

// append appends the name at off of msg, of which nothing behind its end is
// read. It returns the offset behind the name, or -1 where it is bad.
func (s *names) append(dst, msg []byte, off int) ([]byte, int) {
	at, start := len(dst), off
	next, wire, hops, reach := -1, 0, 0, 0
	for {
		if uint(off) >= uint(len(msg)) {
			return dst, -1
		}
		c := int(msg[off])
		off++
		if c == 0 {
			break
		}
		if c < 64 {
			if wire += c + 1; off+c > len(msg) || wire >= maxNameWire {
				return dst, -1
			}
			dst = appendLabel(dst, msg[off:off+c])
			off += c
			continue
		}
		if hops++; c < 0xc0 || off == len(msg) || hops > maxPointers {
			return dst, -1
		}
		target := c&0x3f<<8 | int(msg[off])
		off++
		reach = max(reach, off)
		if next < 0 {
			next = off
		}
		if seen := s.slot(target); seen.fits(s.message, target, len(msg), wire, hops) {
			dst = again(dst, int(seen.at), int(seen.n))
			if wire == 0 {
				return dst, next
			}
			off, wire, hops = int(seen.reach), wire+int(seen.wire), hops+int(seen.hops)
			break
		}
		if wire == 0 {
			start = target
		}
		off = target
	}
	if next < 0 {
		next = off
	}
	if wire == 0 {
		return append(dst, '.'), next
	}
	if start > maxTarget {
		return dst, next
	}
	seen := s.slot(start)
	seen.message, seen.offset, seen.wire, seen.hops = s.message, uint16(start), uint8(wire), uint8(hops)
	seen.reach, seen.at, seen.n = int32(max(reach, off)), int32(at), int32(len(dst)-at)
	return dst, next
}

// again appends the n bytes at at once more.
func again(dst []byte, at, n int) []byte {
	const most = 32 // most names are shorter: a copy of fixed size is quick
	if n > most || cap(dst)-len(dst) < most {
		return append(dst, dst[at:at+n]...)
	}
	end := len(dst)
	*(*[most]byte)(dst[end : end+most]) = *(*[most]byte)(dst[at : at+most])
	return dst[:end+n]
}

// fits tells whether n is the name at offset, may be read in a message of that
// length, and stays within the limits behind what was read already.
func (n *seenName) fits(message uint32, offset, length, wire, hops int) bool {
	return n.message == message && int(n.offset) == offset && int(n.reach) <= length &&
		wire+int(n.wire) < maxNameWire && hops+int(n.hops) <= maxPointers
}
