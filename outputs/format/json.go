package format

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// JSON writes dnsmonster's record, one object per line, straight from the bytes of the
// message. The text is the same as that of encoding/json for a record with a miekg/dns Msg
// in it, except for escapes, which are those of bytedance/sonic, as in dnsmonster. A record
// whose data do not fit its type is written as one of an unknown type (miekg/dns: RFC3597).
// Everything after the first record that is not whole is left out.
// The zero value is ready to use. It writes the usual fields and UTC.
type JSON struct {
	times    timestamps
	names    names
	isolated names // for names that no pointer and no later name may refer to
	flags    [64]flagsText
	heads    headTexts
	limit    int // longest output; the rest of the message is left out

	previous                head // of the record before, if its name is a pointer
	previousAt, previousEnd int  // where that head is in the output

	more fieldWriter
}

// maxText is how much text a message of n bytes may become. Honest messages stay far
// below. Without a limit, 64 KiB could become 40 MiB, since compression expands two
// bytes to 255.
func maxText(n int) int { return 64 * (n + 1024) }

func newJSON(o Options) *JSON {
	return &JSON{more: newFieldWriter(o), times: timestamps{loc: o.Location}}
}

// Append appends e's record, whatever its message holds.
func (j *JSON) Append(dst []byte, e *event.Event) []byte {
	dst = j.times.append(append(dst, `{"Timestamp":"`...), e.Time)
	dst, bad := j.appendMessage(append(dst, `","DNS":`...), e)
	dst = appendPacketFields(dst, e)
	if bad.Yes() {
		dst = appendMalformed(dst, bad)
	}
	if e.CaptureCut > 0 {
		dst = appendUint(append(dst, `,"CaptureCut":`...), uint64(e.CaptureCut))
	}
	dst = j.more.append(dst, e, false)
	return append(dst, '}', '\n')
}

// appendPacketFields appends the fields that are not in the message: addresses, protocol and
// so on.
func appendPacketFields(dst []byte, e *event.Event) []byte {
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

// appendMessage appends the object of the message, and returns what is wrong with it.
func (j *JSON) appendMessage(dst []byte, e *event.Event) ([]byte, dns.Malformed) {
	d, msg := &e.DNS, e.Message
	j.names.reset()
	j.previous = head{}
	j.limit = len(dst) + maxText(len(msg))
	dst = appendUint(append(dst, `{"Id":`...), uint64(d.ID))
	dst = append(dst, j.flagsText(d.Flags)...)
	dst = appendUint(dst, uint64(d.Rcode()))
	c := cursor{off: dns.HeaderLen}
	dst = j.appendQuestions(append(dst, `,"Question":`...), msg, d.QDCount, &c)
	dst = j.appendSection(append(dst, `,"Answer":`...), msg, dns.SectionAnswer, d.ANCount, &c)
	dst = j.appendSection(append(dst, `,"Ns":`...), msg, dns.SectionAuthority, d.NSCount, &c)
	dst = j.appendSection(append(dst, `,"Extra":`...), msg, dns.SectionAdditional, d.ARCount, &c)
	return append(dst, '}'), c.verdict(d.Malformed)
}

// cursor is how far a message has been read, and why not further.
type cursor struct {
	off     int
	stopped dns.Malformed // set: nothing more is read
	misfit  dns.Malformed // the first record whose data do not fit its type
}

// verdict returns the first thing that is wrong. structure is the event's own
// verdict, which miekg/dns does not share: it accepts wrong counts.
func (c *cursor) verdict(structure dns.Malformed) dns.Malformed {
	switch {
	case c.stopped.Fault == dns.FaultUnfolds: // the user must know that something is left out
		return c.stopped
	case c.misfit.Yes():
		return c.misfit
	case structure.Yes():
		return structure
	}
	return c.stopped
}

// appendQuestions stops at the end of the message without a fault, and accepts a last
// question without type or class, as miekg/dns does. The event's own verdict covers
// both.
func (j *JSON) appendQuestions(dst, msg []byte, count uint16, c *cursor) []byte {
	start := len(dst)
	for i := uint16(0); i < count && c.off < len(msg); i++ {
		at := len(dst)
		if at > j.limit {
			c.stopped = dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultUnfolds, Index: i}
			break
		}
		var off int
		dst, off = j.names.append(append(dst, `,{"Name":"`...), msg, c.off)
		if off < 0 {
			dst, c.stopped = dst[:at], dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultName, Index: i}
			break
		}
		qtype, qclass := uint16(0), uint16(0)
		switch rest := msg[off:]; len(rest) {
		case 0:
		case 1, 3:
			dst, c.stopped = dst[:at], dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultRecord, Index: i}
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
		c.off = off
	}
	return endList(dst, start)
}

func (j *JSON) appendSection(dst, msg []byte, s dns.Section, count uint16, c *cursor) []byte {
	start := len(dst)
	if c.stopped.Yes() {
		return endList(dst, start)
	}
	for i := uint16(0); i < count && c.off < len(msg); i++ {
		at := len(dst)
		var off int
		var fits bool
		dst, off, fits = j.appendRecord(append(dst, ','), msg, c.off)
		if len(dst) > j.limit {
			dst, c.stopped = dst[:at], dns.Malformed{Section: s, Fault: dns.FaultUnfolds, Index: i}
			break
		}
		if off < 0 {
			dst, c.stopped = dst[:at], dns.Malformed{Section: s, Fault: dns.FaultRecord, Index: i}
			break
		}
		if !fits && !c.misfit.Yes() {
			c.misfit = dns.Malformed{Section: s, Fault: dns.FaultRData, Index: i}
		}
		c.off = off
	}
	return endList(dst, start)
}

// endList makes a list of the elements from start on, each of which follows a comma.
func endList(dst []byte, start int) []byte {
	if len(dst) == start {
		return append(dst, "null"...)
	}
	dst[start] = '['
	return append(dst, ']')
}

// flagsText is the text of a header's flags: few combinations are common.
type flagsText struct {
	flags uint16
	text  []byte // of flags, without the response code; nil: unused
}

const rcodeBits = 15

func (j *JSON) flagsText(flags uint16) []byte {
	flags &^= rcodeBits
	h := &j.flags[flags*0x9e37>>10] // the common combinations do not collide
	if h.flags != flags || h.text == nil {
		h.flags, h.text = flags, appendFlags(h.text[:0], flags)
	}
	return h.text
}

func appendFlags(dst []byte, flags uint16) []byte {
	bit := func(name string, flag uint16) {
		dst = appendBool(append(dst, name...), flags&flag != 0)
	}
	bit(`,"Response":`, dns.FlagQR)
	dst = appendUint(append(dst, `,"Opcode":`...), uint64(flags>>11&15))
	bit(`,"Authoritative":`, dns.FlagAA)
	bit(`,"Truncated":`, dns.FlagTC)
	bit(`,"RecursionDesired":`, dns.FlagRD)
	bit(`,"RecursionAvailable":`, dns.FlagRA)
	bit(`,"Zero":`, dns.FlagZ)
	bit(`,"AuthenticatedData":`, dns.FlagAD)
	bit(`,"CheckingDisabled":`, dns.FlagCD)
	return append(dst, `,"Rcode":`...)
}
