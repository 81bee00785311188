package tcp

import "encoding/binary"

// A verdict on whether a message begins somewhere.
type verdict uint8

const (
	no verdict = iota
	yes
	more // too few bytes to tell
)

// place says how much evidence a guess needs.
type place uint8

const (
	atSegment place = iota // messages mostly begin where segments do: the header is enough, if nothing contradicts it
	inside                 // anywhere: the questions and records that can be seen, too, or the next message's length
)

const (
	headerLen = 12
	maxName   = 255
	opcodeDSO = 6 // the highest that is registered
	// entriesInside is how many questions and records are looked at where a message
	// can begin anywhere.
	entriesInside = 16
	// mostQueryExtra is how many additional records a query has at most: OPT and two
	// that sign it. Of authority records it has the SOA of an incremental transfer.
	mostQueryExtra = 3 // an address' length would be 4
)

// judge tells whether b starts with a message's length and the message.
func judge(b []byte, p place) verdict {
	if len(b) < 2+headerLen {
		if len(b) >= 2 && binary.BigEndian.Uint16(b) < headerLen {
			return no
		}
		return more
	}
	n := int(binary.BigEndian.Uint16(b))
	if !plausibleHeader(b[2:], n) {
		return no
	}
	entries := 1
	if p == inside {
		entries = entriesInside
	}
	evidence, empty := plausibleBody(b[2:min(len(b), 2+n)], n, entries)
	if evidence == no && !empty {
		return no
	}
	if p == atSegment {
		if empty {
			return yes
		}
		return evidence
	}
	if rest := len(b) - 2 - n; rest == 0 || rest >= 2 && binary.BigEndian.Uint16(b[2+n:]) >= headerLen {
		if rest < 2+headerLen || plausibleHeader(b[2+n+2:], int(binary.BigEndian.Uint16(b[2+n:]))) {
			return yes
		}
		return no
	}
	return evidence
}

// plausibleHeader tells whether b can be the beginning of a message of n bytes.
func plausibleHeader(b []byte, n int) bool {
	if len(b) < headerLen || n < headerLen {
		return false
	}
	flags := binary.BigEndian.Uint16(b[2:])
	opcode := flags >> 11 & 15
	if opcode > opcodeDSO || flags&0x0040 != 0 {
		return false
	}
	qd, an := int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	ns, ar := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	// The smallest question has 5 bytes, the smallest record 11. A header alone
	// is an answer that refuses; DSO has no sections (RFC 8490).
	return qd <= 1 && headerLen+5*qd+11*(an+ns+ar) <= n && (qd+an > 0 || flags&0x8000 != 0 || opcode == opcodeDSO && ns+ar == 0)
}

// plausibleBody judges what stands behind the header of a message of n bytes, of
// which b is what there is: up to so many entries, questions and records. A zone
// transfer has no question from its second message on (RFC 5936 section 2.2), so
// that a first record is as good. Where the header is all, there is no evidence.
func plausibleBody(b []byte, n, entries int) (evidence verdict, empty bool) {
	r := entryReader{b: b, n: n, off: headerLen}
	first := [4]int{}
	total := 0
	for i := range first {
		first[i] = total
		total += int(binary.BigEndian.Uint16(b[4+2*i:]))
	}
	response, opcode := b[2]&0x80 != 0, b[2]>>3&15
	if !response && opcode == 0 { // a query
		if first[2] > first[1] && (entries > 1 || first[1] == 0) { // it has no answers
			return no, false
		}
		if first[3]-first[2] > 1 || total-first[3] > mostQueryExtra { // what a zone's text and TTLs can look like
			return no, false
		}
	}
	for i := range min(total, entries) {
		is := no
		if i < first[1] {
			is = r.question()
		} else {
			is = r.record(i >= first[3])
		}
		switch {
		case is == no, is == more && len(b) == n: // nothing more will come
			return no, false
		case is == more && i == 0:
			return more, false
		case is == more:
			return yes, false
		}
	}
	if total == 0 {
		return no, true
	}
	return verdictOf(total > entries || entries == 1 || r.off == n), false
}

// entryReader walks the questions and records of a message of n bytes.
type entryReader struct {
	b   []byte // the message, as much as there is
	n   int
	off int
}

// name passes over the name at off. Only what stands before it can be pointed to.
func (r *entryReader) name() verdict {
	start := r.off
	for length := 0; length < maxName; {
		if r.off >= len(r.b) {
			return more
		}
		c := int(r.b[r.off])
		switch {
		case c >= 0xc0:
			if r.off+2 > len(r.b) {
				return more
			}
			target := int(binary.BigEndian.Uint16(r.b[r.off:])) & 0x3fff
			r.off += 2
			return verdictOf(target >= headerLen && target < start)
		case c > 63:
			return no
		}
		r.off += 1 + c
		length += 1 + c
		if c == 0 {
			return yes
		}
	}
	return no
}

// question passes over a name, a type and a class.
func (r *entryReader) question() verdict {
	if is := r.name(); is != yes {
		return is
	}
	if len(r.b) < r.off+4 {
		return more
	}
	kind, class := binary.BigEndian.Uint16(r.b[r.off:]), binary.BigEndian.Uint16(r.b[r.off+2:])
	r.off += 4
	return verdictOf(kind != 0 && (class >= 1 && class <= 4 || class >= 254 && class <= 255))
}

// record passes over a record. The additional section can have OPT, and those
// that sign the message.
func (r *entryReader) record(additional bool) verdict {
	start := r.off
	if is := r.name(); is != yes {
		return is
	}
	if len(r.b) < r.off+10 {
		return more
	}
	f := r.b[r.off:]
	kind, class, ttl := binary.BigEndian.Uint16(f), binary.BigEndian.Uint16(f[2:]), binary.BigEndian.Uint32(f[4:])
	size := int(binary.BigEndian.Uint16(f[8:]))
	root := r.off == start+1
	r.off += 10 + size
	switch {
	case r.off > r.n:
		return no
	case kind == typeOPT: // version 0, and of its flags DO
		return verdictOf(additional && root && ttl&0x00ff7fff == 0)
	case kind == typeTSIG || kind == typeSIG && root:
		return verdictOf(additional)
	}
	// Updates and their like have class NONE and ANY, but a question before them.
	if !(class >= 1 && class <= 4 || start > headerLen && class >= 254 && class <= 255) {
		return no
	}
	return verdictOf(int32(ttl) >= 0 && plausibleData(kind, class, size))
}

const (
	typeA, typeSOA, typeSIG, typeAAAA, typeOPT, typeRRSIG, typeTKEY, typeTSIG = 1, 6, 24, 28, 41, 46, 249, 250

	classIN    = 1
	soaFixed   = 22 // two names of the root, and five numbers
	rrsigFixed = 19 // up to the signer's name, which is the root
)

// plausibleData tells whether a record of this type can have size bytes of data.
func plausibleData(kind, class uint16, size int) bool {
	switch {
	case class >= 254: // an update's condition or deletion
		return size == 0 || kind == typeTKEY || class == 254
	case kind == typeA && class == classIN:
		return size == 4
	case kind == typeAAAA:
		return size == 16
	case kind == typeSOA:
		return size >= soaFixed
	case kind == typeRRSIG:
		return size >= rrsigFixed
	}
	// Between 128 and 255 are types of questions alone.
	return kind >= 1 && kind < 128 || kind >= 256 && kind < 512 || kind == 32768 || kind == 32769 || kind >= 65280 && kind < 65535
}

func verdictOf(is bool) verdict {
	if is {
		return yes
	}
	return no
}
