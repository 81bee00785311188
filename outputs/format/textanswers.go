package format

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// answerList writes the answers of one message, or the changes of an update, as many as
// there is room for.
type answerList struct {
	t       *text
	e       *event.Event
	records dns.Records
	count   int // of records in the message
	first   span
	address bool // the first one is an address, which is not cut

	referral bool   // there is none, but the names of other servers
	text     []byte // of one or more records

	// The name that the next answer should have: that of the question, or of the last
	// alias. Answers with other names are shown with their names.
	expected, before, owner []byte
	expectedAt              int // where the name is in the message; -1: nowhere
}

// start reads the first record.
func (a *answerList) start(t *text, e *event.Event) {
	a.t, a.e, a.text, a.first, a.count, a.address = t, e, a.text[:0], span{}, 0, false
	section := dns.SectionAnswer
	if a.isUpdate() {
		section = dns.SectionAuthority // the others are conditions
	}
	a.records = e.DNS.RecordsOf(e.Message, section)
	a.expected, a.before, a.expectedAt = a.expected[:0], a.before[:0], -1
	if e.DNS.HasQuestion && !a.isUpdate() {
		a.expected, _ = dns.AppendName(a.expected, e.Message, dns.HeaderLen)
		a.expectedAt = dns.HeaderLen
	}
	var r dns.Record
	for records := a.records; records.Next(&r); {
		a.count++
	}
	a.referral = a.isEmpty() && a.isReferral()
	if a.records.Next(&r) {
		a.append(&r, maxText(len(e.Message)))
		a.first, a.address = span{0, len(a.text)}, r.Type == dns.TypeA || r.Type == dns.TypeAAAA
	}
}

func (a *answerList) isUpdate() bool {
	return a.e.DNS.Opcode() == dns.OpcodeUpdate && !a.e.DNS.Response()
}

// isEmpty reports whether the message answers with no data: neither with an error, nor
// because it is truncated.
func (a *answerList) isEmpty() bool {
	d := &a.e.DNS
	return d.Response() && d.Opcode() == dns.OpcodeQuery && d.Rcode() == 0 && !d.Truncated() && d.ANCount == 0 && d.HasQuestion
}

// isReferral reports whether a server without the data names others (RFC 1034 section 4.3.2).
func (a *answerList) isReferral() bool {
	var r dns.Record
	records := a.e.DNS.RecordsOf(a.e.Message, dns.SectionAuthority)
	return a.e.DNS.Flags&dns.FlagAA == 0 && records.Next(&r) && r.Type == dns.TypeNS
}

// reserveFirst is the room that the first answer should have, reserveWords that of the
// number of answers in words, such as "3 answers", and reserveCount that of "+3"; each
// with the space before it.
func (a *answerList) reserveFirst() int {
	const enough = 24
	n := a.first.len()
	if !a.address {
		n = min(n, enough)
	}
	switch {
	case a.count == 0:
		return a.reserveCount()
	case a.count > 1:
		n += markLength(a.count - 1)
	}
	return len(" = ") + n
}

func (a *answerList) reserveWords() int {
	if n := a.reserveCount(); n > 0 {
		return n - len("+") + len(" answers")
	}
	return 0
}

func (a *answerList) reserveCount() int {
	switch {
	case a.count > 0:
		return len(" +") + digits(uint64(a.count))
	case a.isEmpty():
		return len(" +0")
	}
	return 0
}

// appendTo appends what room, with the space before it, allows.
func (a *answerList) appendTo(dst []byte, room int) []byte {
	if a.count == 0 {
		if a.isEmpty() {
			dst = a.appendCount(dst, room)
		}
		return dst
	}
	room -= len(" = ")
	good, goodCount := 0, 0 // what fits with a mark that others follow
	var r dns.Record
	for n := 1; len(a.text) <= room; n++ {
		if n == a.count {
			return append(append(dst, "= "...), a.text...)
		}
		if len(a.text)+markLength(a.count-n) <= room {
			good, goodCount = len(a.text), n
		}
		if !a.records.Next(&r) {
			break
		}
		a.text = append(a.text, ", "...)
		a.append(&r, room)
	}
	if goodCount > 0 {
		dst = append(append(dst, "= "...), a.text[:good]...)
		return appendUint(append(dst, ", +"...), uint64(a.count-goodCount))
	}
	if part := room - markLength(a.count-1); part >= 24 && a.first.len() > part && !a.address {
		dst = a.appendStart(append(dst, "= "...), part)
		if a.count > 1 {
			dst = appendUint(append(dst, ", +"...), uint64(a.count-1))
		}
		return dst
	}
	return a.appendCount(dst, room+len(" = "))
}

// appendCount appends the number of answers: in words, or +n, if there is room.
func (a *answerList) appendCount(dst []byte, room int) []byte {
	thing, at := "answer", len(dst)
	if a.isUpdate() {
		thing = "change"
	}
	if a.referral {
		dst = append(dst, "referral"...)
	} else {
		dst = appendCount(dst, a.count, thing)
	}
	if len(dst)-at < room {
		return dst
	}
	if dst = appendUint(append(dst[:at], '+'), uint64(a.count)); len(dst)-at < room {
		return dst
	}
	return dst[:at]
}

// markLength is the length of ", +n", nothing for 0.
func markLength(n int) int {
	if n == 0 {
		return 0
	}
	return len(", +") + digits(uint64(n))
}

// appendStart appends the start of the first record in room bytes.
func (a *answerList) appendStart(dst []byte, room int) []byte {
	n := 0
	for text := a.text[:a.first.len()]; n < len(text); {
		next := n + unitLength(text[n:])
		if next > room-len(cutMark) {
			break
		}
		n = next
	}
	return append(append(dst, a.text[:n]...), cutMark...)
}

// append appends one record to text, which may stop when it is longer than limit.
func (a *answerList) append(r *dns.Record, limit int) {
	msg := a.e.Message[:r.End]
	switch {
	case a.t.o.Verbose && !a.isUpdate():
		a.text = appendRecord(a.text, msg, r, limit)
		return
	case a.isUpdate():
		a.appendChange(r, limit)
		return
	}
	if !a.expects(r.Name) {
		a.text = append(append(a.text, a.owner...), ' ')
	}
	asked := &a.e.DNS
	if r.Type != asked.QType || !asked.HasQuestion {
		a.text = appendType(a.text, r.Type)
		if r.Data < r.End {
			a.text = append(a.text, ' ')
		}
	}
	if r.Class != asked.QClass && asked.HasQuestion {
		a.text = append(appendClass(a.text, r.Class), ' ')
	}
	if r.Type == dns.TypeRRSIG && asked.QType != dns.TypeRRSIG && r.End-r.Data > 2 {
		a.text = appendType(a.text, binary.BigEndian.Uint16(msg[r.Data:])) // the rest says nothing to most people
		return
	}
	a.text = AppendRecordData(a.text, msg, r.Data, r.Type, limit)
	if r.Type == dns.TypeCNAME {
		a.before, a.expected = a.expected, a.before[:0]
		a.expected, _ = dns.AppendName(a.expected, msg, r.Data)
		a.expectedAt = r.Data
	}
}

// expects reports whether a record's name is as expected. If not, it is in owner.
func (a *answerList) expects(name int) bool {
	msg := a.e.Message
	if part, target := dns.ReadNamePart(msg, name); part == dns.NamePointer && target == a.expectedAt {
		return true
	}
	a.owner, _ = dns.AppendName(a.owner[:0], msg, name)
	return equalNames(a.owner, a.expected) || equalNames(a.owner, a.before)
}

// equalNames compares names in presentation format.
func equalNames(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		d := b[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// appendChange appends a record of an update (RFC 2136 section 2.5).
func (a *answerList) appendChange(r *dns.Record, limit int) {
	word := "add "
	if r.Class == dns.ClassANY || r.Class == dns.ClassNONE {
		word = "delete "
	}
	a.text, _ = dns.AppendName(append(a.text, word...), a.e.Message, r.Name)
	if a.t.o.Verbose && r.Class != dns.ClassANY && r.Class != dns.ClassNONE {
		a.text = appendUint(append(a.text, ' '), uint64(r.TTL))
	}
	a.text = appendType(append(a.text, ' '), r.Type)
	if r.Data < r.End {
		a.text = AppendRecordData(append(a.text, ' '), a.e.Message[:r.End], r.Data, r.Type, limit)
	}
}

// appendRecord appends a whole record as dig shows it, but the class only if it is not IN.
func appendRecord(dst, msg []byte, r *dns.Record, limit int) []byte {
	dst, _ = dns.AppendName(dst, msg, r.Name)
	dst = append(appendUint(append(dst, ' '), uint64(r.TTL)), ' ')
	if r.Class != dns.ClassIN {
		dst = append(appendClass(dst, r.Class), ' ')
	}
	dst = appendType(dst, r.Type)
	if r.Data < r.End {
		dst = AppendRecordData(append(dst, ' '), msg, r.Data, r.Type, limit)
	}
	return dst
}
