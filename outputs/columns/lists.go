package columns

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"dnsmonster-sensor/userspace/dns"
)

// TextList is texts back to back.
type TextList struct {
	Bytes []byte
	Ends  []int // where each text ends in Bytes
}

// Reset empties the list and keeps its memory.
func (l *TextList) Reset() { l.Bytes, l.Ends = l.Bytes[:0], l.Ends[:0] }

// end ends a text, which was appended to Bytes.
func (l *TextList) end() { l.Ends = append(l.Ends, len(l.Bytes)) }

// Len is the number of texts.
func (l *TextList) Len() int { return len(l.Ends) }

// At returns a text, borrowed from the list.
func (l *TextList) At(i int) []byte {
	if i == 0 {
		return l.Bytes[:l.Ends[0]]
	}
	return l.Bytes[l.Ends[i-1]:l.Ends[i]]
}

// ReadAnswers sets AnswerRecords, which are appended to room, and learns for Malformed what
// it has read. A message can have ten thousand questions and as many answers: only its
// first row should have them, the others call ForgetAnswers.
func (r *Row) ReadAnswers(room []dns.Record) []dns.Record {
	at := len(room)
	room, r.known = r.Event.DNS.ReadAnswers(r.Event.Message, room)
	r.AnswerRecords, r.isKnown = room[at:], true
	return room
}

// ForgetAnswers is for a row without answers, or of another event than the one before.
func (r *Row) ForgetAnswers() { r.AnswerRecords, r.isKnown = nil, false }

// maxListText limits the text of a list. Names are compressed, and may unfold to a
// hundred times the length of the message. Texts after the limit are empty. Honest
// messages stay far below it.
func (r *Row) maxListText() int { return 16 * (len(r.Event.Message) + 1024) }

// AnswerName and the other parts of the answers.
func (r *Row) AnswerName(dst *TextList) {
	limit := len(dst.Bytes) + r.maxListText()
	for i := range r.AnswerRecords {
		if len(dst.Bytes) < limit {
			dst.Bytes, _ = dns.AppendName(dst.Bytes, r.Event.Message, r.AnswerRecords[i].Name)
		}
		dst.end()
	}
}

func (r *Row) hasAnswers() bool { return len(r.AnswerRecords) > 0 }

// AnswerType is the types.
func (r *Row) AnswerType(dst []uint32) []uint32 {
	for i := range r.AnswerRecords {
		dst = append(dst, uint32(r.AnswerRecords[i].Type))
	}
	return dst
}

// AnswerTTL is the times to live.
func (r *Row) AnswerTTL(dst []uint32) []uint32 {
	for i := range r.AnswerRecords {
		dst = append(dst, r.AnswerRecords[i].TTL)
	}
	return dst
}

// AnswerData is the data in presentation format.
func (r *Row) AnswerData(dst *TextList) {
	limit := len(dst.Bytes) + r.maxListText()
	for i := range r.AnswerRecords {
		if a := &r.AnswerRecords[i]; len(dst.Bytes) < limit && r.AppendData != nil {
			dst.Bytes = r.AppendData(dst.Bytes, r.Event.Message[:a.End], a.Data, a.Type, limit)
		}
		dst.end()
	}
}

// option returns the first EDNS option with a code from off on, and where the next one
// begins. ok is false if there is none.
func (r *Row) option(code uint16, off int) (data []byte, next int, ok bool) {
	d := &r.Event.DNS.EDNS
	end := int(d.DataStart) + int(d.DataLen)
	if !d.Present || end > len(r.Event.Message) {
		return nil, 0, false
	}
	for off = max(off, int(d.DataStart)); off+4 <= end; {
		head := r.Event.Message[off:end]
		n := 4 + int(binary.BigEndian.Uint16(head[2:]))
		if n > len(head) {
			break
		}
		off += n
		if binary.BigEndian.Uint16(head) == code {
			return head[4:n], off, true
		}
	}
	return nil, 0, false
}

// ClientSubnet is the address and the length of the prefix that the client chose.
func (r *Row) ClientSubnet(dst []byte) []byte {
	p := r.clientSubnet()
	if !p.IsValid() {
		return dst
	}
	dst = append(p.Addr().AppendTo(dst), '/')
	return strconv.AppendUint(dst, uint64(p.Bits()), 10)
}

func (r *Row) hasClientSubnet() bool { return r.clientSubnet().IsValid() }

// clientSubnet reads a client subnet (RFC 7871 section 6), whose sender may leave out
// bytes of the address after the prefix. It is the zero Prefix if there is none, or a bad
// one. An option without an address family has no address.
func (r *Row) clientSubnet() (p netip.Prefix) {
	b, _, ok := r.option(dns.OptionSubnet, 0)
	if !ok || len(b) < 4 {
		return p
	}
	family, source, address := binary.BigEndian.Uint16(b), int(b[2]), b[4:]
	if (source+7)/8 > len(address) {
		return p
	}
	switch {
	case family == dns.FamilyIPv4 && source <= 32:
		var a [4]byte
		copy(a[:], address)
		p, _ = netip.AddrFrom4(a).Prefix(source)
	case family == dns.FamilyIPv6 && source <= 128:
		var a [16]byte
		copy(a[:], address)
		p, _ = netip.AddrFrom16(a).Prefix(source)
	}
	return p
}

// ExtendedErrors is the codes of RFC 8914.
func (r *Row) ExtendedErrors(dst []uint32) []uint32 {
	for off := 0; ; {
		data, next, ok := r.option(dns.OptionEDE, off)
		if !ok {
			return dst
		}
		if len(data) >= 2 {
			dst = append(dst, uint32(binary.BigEndian.Uint16(data)))
		}
		off = next
	}
}

func (r *Row) hasExtendedErrors() bool {
	for off := 0; ; {
		data, next, ok := r.option(dns.OptionEDE, off)
		if !ok || len(data) >= 2 {
			return ok
		}
		off = next
	}
}
