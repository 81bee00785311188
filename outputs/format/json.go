package format

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// JSON writes the record of dnsmonster, one object per line, straight from
// the message's bytes: what encoding/json makes of the record with a miekg/dns
// Msg in it, in the escapes of bytedance/sonic, which dnsmonster uses. A record
// whose data do not fit its type is one of an unknown type, a dns.RFC3597; what
// stands behind the first record that is not whole is left out.
// The zero value is ready to use and writes the usual fields, in UTC.
type JSON struct {
	clock clock
	names names
	apart names // for names that do not share the message's offsets
	flags [64]flagsText
	heads headTexts
	limit int // of the output: where it is longer, the message's rest is left out

	previous                head // of the record before, if its name is a pointer
	previousAt, previousEnd int  // where that stands in the output

	more fieldWriter
}

// mostText is how much text a message of n bytes may become: more than any that
// is meant to be read, as compression makes 255 bytes of two. Without a bound, a
// message of 64 KiB could become 40 MiB.
func mostText(n int) int { return 64 * (n + 1024) }

func newJSON(o Options) *JSON {
	return &JSON{more: newFieldWriter(o), clock: clock{loc: o.Location}}
}

// Append appends e's record. It takes any event, whatever its message holds.
func (j *JSON) Append(dst []byte, e *event.Event) []byte {
	dst = j.clock.appendTime(append(dst, `{"Timestamp":"`...), e.Time)
	dst, bad := j.appendMessage(append(dst, `","DNS":`...), e)
	dst = appendEnds(dst, e)
	if bad.Yes() {
		dst = appendMalformed(dst, bad)
	}
	if e.CaptureCut > 0 {
		dst = appendUint(append(dst, `,"CaptureCut":`...), uint64(e.CaptureCut))
	}
	dst = j.more.append(dst, e, false)
	return append(dst, '}', '\n')
}

// appendEnds appends what is known of the message from around it.
func appendEnds(dst []byte, e *event.Event) []byte {
	src, dest := e.Src.Addr(), e.Dst.Addr()
	dst = append(append(dst, `,"IPVersion":`...), '0'+e.IPVersion())
	dst = append(appendAddr(append(dst, `,"SrcIP":"`...), src), '"')
	if port := e.Src.Port(); port != 0 {
		dst = appendUint(append(dst, `,"SrcPort":`...), uint64(port))
	}
	dst = append(dst, `,"DstIP":"`...)
	dst = append(appendAddr(dst, dest), '"')
	if port := e.Dst.Port(); port != 0 {
		dst = appendUint(append(dst, `,"DstPort":`...), uint64(port))
	}
	dst = append(dst, `,"Protocol":"`...)
	dst = append(dst, e.Proto.String()...)
	dst = appendUint(append(dst, `","PacketLength":`...), uint64(e.Length()))
	if len(e.Identity) > 0 {
		dst = append(appendText(append(dst, `,"Identity":"`...), e.Identity), '"')
	}
	if len(e.Version) > 0 {
		dst = append(appendText(append(dst, `,"Version":"`...), e.Version), '"')
	}
	return dst
}

func appendMalformed(dst []byte, m dns.Malformed) []byte {
	dst = append(dst, `,"Malformed":{"Section":"`...)
	dst = append(dst, m.Section.String()...)
	dst = appendUint(append(dst, `","Index":`...), uint64(m.Index))
	dst = append(dst, `,"Why":"`...)
	dst = append(dst, m.Fault.String()...)
	return append(dst, '"', '}')
}

// appendMessage appends the object of the message. The verdict is e's own where
// it has one: miekg/dns takes counts that lie for good ones.
func (j *JSON) appendMessage(dst []byte, e *event.Event) ([]byte, dns.Malformed) {
	d, msg := &e.DNS, e.Message
	j.names.reset()
	j.previous = head{}
	j.limit = len(dst) + mostText(len(msg))
	dst = appendUint(append(dst, `{"Id":`...), uint64(d.ID))
	dst = append(dst, j.flagsText(d.Flags)...)
	dst = appendUint(dst, uint64(d.Rcode()))
	w := walk{off: dns.HeaderLen}
	dst = j.appendQuestions(append(dst, `,"Question":`...), msg, d.QDCount, &w)
	dst = j.appendSection(append(dst, `,"Answer":`...), msg, dns.SectionAnswer, d.ANCount, &w)
	dst = j.appendSection(append(dst, `,"Ns":`...), msg, dns.SectionAuthority, d.NSCount, &w)
	dst = j.appendSection(append(dst, `,"Extra":`...), msg, dns.SectionAdditional, d.ARCount, &w)
	return append(dst, '}'), w.verdict(d.Malformed)
}

// walk is how far a message has been read. Once stopped is set nothing more is.
type walk struct {
	off     int
	stopped dns.Malformed
	misfit  dns.Malformed // the first record whose data do not fit its type
}

// verdict is the first thing that is wrong. Structure is the event's own verdict
// where it has one: miekg/dns takes counts that lie for good ones.
func (w *walk) verdict(structure dns.Malformed) dns.Malformed {
	switch {
	case w.stopped.Fault == dns.FaultUnfolds: // the reader has to know that something is left out
		return w.stopped
	case w.misfit.Yes():
		return w.misfit
	case structure.Yes():
		return structure
	}
	return w.stopped
}

// appendQuestions stops without a fault at the end of the message, and takes a
// last question without type or class, as miekg/dns does: what is wrong with
// that is said by the event's own verdict.
func (j *JSON) appendQuestions(dst, msg []byte, count uint16, w *walk) []byte {
	start := len(dst)
	for i := uint16(0); i < count && w.off < len(msg); i++ {
		at := len(dst)
		if at > j.limit {
			w.stopped = dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultUnfolds, Index: i}
			break
		}
		var off int
		dst, off = j.names.append(append(dst, `,{"Name":"`...), msg, w.off)
		if off < 0 {
			dst, w.stopped = dst[:at], dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultName, Index: i}
			break
		}
		qtype, qclass := uint16(0), uint16(0)
		switch rest := msg[off:]; len(rest) {
		case 0:
		case 1, 3:
			dst, w.stopped = dst[:at], dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultRecord, Index: i}
			return endList(dst, start)
		case 2:
			qtype = binary.BigEndian.Uint16(rest)
			off += 2
		default:
			qtype, qclass = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
			off += 4
		}
		dst = appendUint(append(dst, `","Qtype":`...), uint64(qtype))
		dst = append(appendUint(append(dst, `,"Qclass":`...), uint64(qclass)), '}')
		w.off = off
	}
	return endList(dst, start)
}

func (j *JSON) appendSection(dst, msg []byte, s dns.Section, count uint16, w *walk) []byte {
	start := len(dst)
	if w.stopped.Yes() {
		return endList(dst, start)
	}
	for i := uint16(0); i < count && w.off < len(msg); i++ {
		at := len(dst)
		var off int
		var fits bool
		dst, off, fits = j.appendRecord(append(dst, ','), msg, w.off)
		if len(dst) > j.limit {
			dst, w.stopped = dst[:at], dns.Malformed{Section: s, Fault: dns.FaultUnfolds, Index: i}
			break
		}
		if off < 0 {
			dst, w.stopped = dst[:at], dns.Malformed{Section: s, Fault: dns.FaultRecord, Index: i}
			break
		}
		if !fits && !w.misfit.Yes() {
			w.misfit = dns.Malformed{Section: s, Fault: dns.FaultRData, Index: i}
		}
		w.off = off
	}
	return endList(dst, start)
}

// endList makes a list of the elements from start on, each of which has a comma
// before it.
func endList(dst []byte, start int) []byte {
	if len(dst) == start {
		return append(dst, "null"...)
	}
	dst[start] = '['
	return append(dst, ']')
}

// flagsText is what the header's flags become: a few kinds make nearly all of
// a capture.
type flagsText struct {
	flags uint16
	text  []byte // of flags, without the response code; nil: not used yet
}

const rcodeBits = 15

func (j *JSON) flagsText(flags uint16) []byte {
	flags &^= rcodeBits
	h := &j.flags[flags*0x9e37>>10] // flags that are often seen together have slots of their own
	if h.flags != flags || h.text == nil {
		h.flags, h.text = flags, appendFlags(h.text[:0], flags)
	}
	return h.text
}

func appendFlags(dst []byte, flags uint16) []byte {
	bit := func(name string, n int) {
		dst = appendBool(append(dst, name...), flags&(1<<n) != 0)
	}
	bit(`,"Response":`, 15)
	dst = appendUint(append(dst, `,"Opcode":`...), uint64(flags>>11&15))
	bit(`,"Authoritative":`, 10)
	bit(`,"Truncated":`, 9)
	bit(`,"RecursionDesired":`, 8)
	bit(`,"RecursionAvailable":`, 7)
	bit(`,"Zero":`, 6)
	bit(`,"AuthenticatedData":`, 5)
	bit(`,"CheckingDisabled":`, 4)
	return append(dst, `,"Rcode":`...)
}
