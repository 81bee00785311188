package format

import "dnsmonster-sensor/userspace/dns"

// names writes the names of one message at a time, as dns.AppendName does, escaped
// for JSON. It remembers where each name is in the output: most names of a message are,
// or end in, one that was written before.
//
// It reads names itself: on top of dns.ReadNamePart, JSON records take 3 % longer. A
// test compares it with dns.AppendName.
//
// reset begins a message. Until the next reset the output may only grow.
type names struct {
	message uint32
	seen    [32]seenName
}

type seenName struct {
	message  uint32
	offset   uint16 // in the message
	wire     uint8  // length on the wire without the final zero
	pointers uint8  // number of pointers in it
	reach    int32  // offset after the last byte of the message that was read for it
	at       int32  // offset in the output
	n        int32  // length in the output
}

func (s *names) reset() {
	s.message++
	if s.message == 0 { // the names of four billion messages ago would look new
		*s = names{message: 1}
	}
}

func (s *names) slot(offset int) *seenName { return &s.seen[(offset^offset>>5)&31] }

// append appends the name at off of msg, and reads nothing after the end of msg. It returns
// the offset after the name, or -1 if the name is bad.
func (s *names) append(dst, msg []byte, off int) ([]byte, int) {
	at, start := len(dst), off
	next, wire, pointers, reach := -1, 0, 0, 0
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
			if wire += c + 1; off+c > len(msg) || wire >= dns.MaxName {
				return dst, -1
			}
			dst = appendLabel(dst, msg[off:off+c])
			off += c
			continue
		}
		if pointers++; c < 0xc0 || off == len(msg) || pointers > dns.MaxPointers {
			return dst, -1
		}
		target := c&0x3f<<8 | int(msg[off])
		off++
		reach = max(reach, off)
		if next < 0 {
			next = off
		}
		if seen := s.slot(target); seen.fits(s.message, target, len(msg), wire, pointers) {
			dst = appendAgain(dst, int(seen.at), int(seen.n))
			if wire == 0 {
				return dst, next
			}
			off, wire, pointers = int(seen.reach), wire+int(seen.wire), pointers+int(seen.pointers)
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
	if start > dns.MaxTarget {
		return dst, next
	}
	seen := s.slot(start)
	seen.message, seen.offset, seen.wire, seen.pointers = s.message, uint16(start), uint8(wire), uint8(pointers)
	seen.reach, seen.at, seen.n = int32(max(reach, off)), int32(at), int32(len(dst)-at)
	return dst, next
}

// appendAgain appends the n bytes of dst that begin at from once again.
func appendAgain(dst []byte, from, n int) []byte {
	const most = 32 // copying a fixed size is fast, and most names are shorter
	if n > most || cap(dst)-len(dst) < most {
		return append(dst, dst[from:from+n]...)
	}
	end := len(dst)
	*(*[most]byte)(dst[end : end+most]) = *(*[most]byte)(dst[from : from+most])
	return dst[:end+n]
}

// fits reports whether n is the name at offset of this message and lies in its first
// length bytes, and whether a name of wire more bytes and pointers more pointers that ends
// in n keeps the limits.
func (n *seenName) fits(message uint32, offset, length, wire, pointers int) bool {
	return n.message == message && int(n.offset) == offset && int(n.reach) <= length &&
		wire+int(n.wire) < dns.MaxName && pointers+int(n.pointers) <= dns.MaxPointers
}
