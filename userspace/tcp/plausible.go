package tcp

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
)

// plausibility says whether a message may begin somewhere.
type plausibility uint8

const (
	implausible plausibility = iota
	plausible
	undecided // too few bytes to tell
)

// position says where in a segment a message may begin, and so how much evidence a
// guess needs.
type position uint8

const (
	segmentStart position = iota // most messages begin there: the header is enough, if nothing contradicts it
	anywhere                     // the visible questions and records are needed, too, or the next message's length
)

const (
	headerLen = dns.HeaderLen
	// maxEntries is how many questions and records are checked where a message can
	// begin anywhere.
	maxEntries = 16
	// maxQueryAdditional is how many additional records a query has at most: OPT and two
	// that sign it. Its only authority record is the SOA of an incremental transfer.
	maxQueryAdditional = 3 // less than an address' length, 4, which can be in this position
)

// assess says whether b starts with a message's length and the message.
func assess(b []byte, p position) plausibility {
	if len(b) < 2+headerLen {
		if len(b) >= 2 && binary.BigEndian.Uint16(b) < headerLen {
			return implausible
		}
		return undecided
	}
	n := int(binary.BigEndian.Uint16(b))
	if !plausibleHeader(b[2:], n) {
		return implausible
	}
	entries := 1
	if p == anywhere {
		entries = maxEntries
	}
	evidence, empty := plausibleBody(b[2:min(len(b), 2+n)], n, entries)
	if evidence == implausible && !empty {
		return implausible
	}
	if p == segmentStart {
		if empty {
			return plausible
		}
		return evidence
	}
	// Where the next message's length is visible, it decides.
	if rest := len(b) - 2 - n; rest == 0 || rest >= 2 && binary.BigEndian.Uint16(b[2+n:]) >= headerLen {
		if rest < 2+headerLen || plausibleHeader(b[2+n+2:], int(binary.BigEndian.Uint16(b[2+n:]))) {
			return plausible
		}
		return implausible
	}
	return evidence
}

// plausibleHeader reports whether b can be the beginning of a message of n bytes.
func plausibleHeader(b []byte, n int) bool {
	if len(b) < headerLen || n < headerLen {
		return false
	}
	flags := binary.BigEndian.Uint16(b[2:])
	opcode := flags >> 11 & 15
	if opcode > dns.OpcodeDSO || flags&0x0040 != 0 {
		return false
	}
	qd, an := int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	ns, ar := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	// The smallest question has 5 bytes, the smallest record 11. A header alone
	// is a response that refuses; DSO has no sections (RFC 8490).
	return qd <= 1 && headerLen+5*qd+11*(an+ns+ar) <= n && (qd+an > 0 || flags&0x8000 != 0 || opcode == dns.OpcodeDSO && ns+ar == 0)
}

// plausibleBody assesses the first questions and records, together up to entries, of a
// message of n bytes. b is the part that was seen. A zone
// transfer has no question from its second message on (RFC 5936 section 2.2), so a
// first record counts as much. A header alone is no evidence: empty.
func plausibleBody(b []byte, n, entries int) (evidence plausibility, empty bool) {
	r := entryReader{b: b, n: n, off: headerLen}
	begin := [4]int{} // index of each section's first entry
	total := 0
	for i := range begin {
		begin[i] = total
		total += int(binary.BigEndian.Uint16(b[4+2*i:]))
	}
	response, opcode := b[2]&0x80 != 0, b[2]>>3&15
	if !response && opcode == dns.OpcodeQuery { // a query
		if begin[2] > begin[1] && (entries > 1 || begin[1] == 0) { // answers: not in a query, unless a question at a segment's start outweighs them
			return implausible, false
		}
		if begin[3]-begin[2] > 1 || total-begin[3] > maxQueryAdditional { // as a zone's text and TTLs may look
			return implausible, false
		}
	}
	for i := range min(total, entries) {
		is := implausible
		if i < begin[1] {
			is = r.question()
		} else {
			is = r.record(i >= begin[3])
		}
		switch {
		case is == implausible, is == undecided && len(b) == n: // nothing more will come
			return implausible, false
		case is == undecided && i == 0:
			return undecided, false
		case is == undecided:
			return plausible, false
		}
	}
	if total == 0 {
		return implausible, true
	}
	return plausibleIf(total > entries || entries == 1 || r.off == n), false
}

// entryReader passes over the questions and records of a message of n bytes.
type entryReader struct {
	b   []byte // as much of the message as was seen
	n   int
	off int
}

// name passes over the name at off. A pointer must lead to something before the name.
func (r *entryReader) name() plausibility {
	start := r.off
	for r.off-start < dns.MaxName {
		switch part, n := dns.ReadNamePart(r.b, r.off); part {
		case dns.NameLabel:
			r.off += 1 + n
		case dns.NameEnd:
			r.off++
			return plausible
		case dns.NamePointer:
			r.off += 2
			return plausibleIf(n >= headerLen && n < start)
		case dns.NameShort:
			return undecided
		default:
			return implausible
		}
	}
	return implausible
}

// question passes over a name, a type and a class.
func (r *entryReader) question() plausibility {
	if is := r.name(); is != plausible {
		return is
	}
	if len(r.b) < r.off+4 {
		return undecided
	}
	kind, class := binary.BigEndian.Uint16(r.b[r.off:]), binary.BigEndian.Uint16(r.b[r.off+2:])
	r.off += 4
	return plausibleIf(kind != 0 && (class >= dns.ClassIN && class <= dns.ClassHS || class >= dns.ClassNONE && class <= dns.ClassANY))
}

// record passes over a record. Only the additional section may have OPT and the
// records that sign the message.
func (r *entryReader) record(additional bool) plausibility {
	start := r.off
	if is := r.name(); is != plausible {
		return is
	}
	if len(r.b) < r.off+10 {
		return undecided
	}
	f := r.b[r.off:]
	kind, class, ttl := binary.BigEndian.Uint16(f), binary.BigEndian.Uint16(f[2:]), binary.BigEndian.Uint32(f[4:])
	size := int(binary.BigEndian.Uint16(f[8:]))
	root := r.off == start+1
	r.off += 10 + size
	switch {
	case r.off > r.n:
		return implausible
	case kind == dns.TypeOPT: // version 0, no flag but DO
		return plausibleIf(additional && root && ttl&0x00ff7fff == 0)
	case kind == dns.TypeTSIG || kind == dns.TypeSIG && root:
		return plausibleIf(additional)
	}
	// Records of an update can have class NONE or ANY, but follow a question.
	if !(class >= dns.ClassIN && class <= dns.ClassHS || start > headerLen && class >= dns.ClassNONE && class <= dns.ClassANY) {
		return implausible
	}
	return plausibleIf(int32(ttl) >= 0 && plausibleData(kind, class, size))
}

const (
	soaMin   = 22 // two root names and five numbers
	rrsigMin = 19 // with the root as the signer's name
)

// plausibleData reports whether a record of this type can have size bytes of data.
func plausibleData(kind, class uint16, size int) bool {
	switch {
	case class >= dns.ClassNONE: // an update's condition or deletion
		return size == 0 || kind == dns.TypeTKEY || class == dns.ClassNONE
	case kind == dns.TypeA && class == dns.ClassIN:
		return size == 4
	case kind == dns.TypeAAAA:
		return size == 16
	case kind == dns.TypeSOA:
		return size >= soaMin
	case kind == dns.TypeRRSIG:
		return size >= rrsigMin
	}
	// Types from 128 to 255 are for questions only; 32768 and 32769 are TA and DLV.
	return kind >= 1 && kind < 128 || kind >= 256 && kind < 512 || kind == 32768 || kind == 32769 || kind >= 65280 && kind < 65535
}

func plausibleIf(is bool) plausibility {
	if is {
		return plausible
	}
	return implausible
}
