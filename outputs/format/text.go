package format

import (
	"bytes"
	"net/netip"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// text writes one line for each message, for people: much like tcpdump, with dig's names.
// A line is printable ASCII, whatever the message holds: other bytes are escaped as in zone
// files. So a byte takes one cell of a terminal, except for the colours.
//
// The parts of a line are made first, in buf. Then those that fit into the width are put
// together: see textfit.go.
type text struct {
	o     Options
	times timestamps
	buf   []byte // the texts of the parts
	parts [textParts]textPart
	items answerList
	frame frame
}

// textPart is a word, or several, of a line: buf[from:to], after a space. least is its
// shortest form; both are the same if there is one form only.
type textPart struct {
	whole, least span
	dropped      bool // the least form is shown
	style        style
}

type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// Parts of a line, in their order.
const (
	textTime = iota
	textInterface
	textEnds
	textProto
	textID
	textFlags
	textOpcode
	textRcode
	textType
	textName
	textQuestions // the further ones
	textAnswers
	textNotes
	textRest // only with -v
	textParts
)

func newText(o Options) *text {
	t := &text{o: o, times: timestamps{loc: o.Location}}
	if o.Verbose {
		t.o.Width = nil
		t.o.Fields = ^Fields(0)
	}
	return t
}

// Append appends e's line.
func (t *text) Append(dst []byte, e *event.Event) []byte {
	width := 0
	if t.o.Width != nil {
		width = max(t.o.Width(), 0)
	}
	t.buf = t.buf[:0]
	t.parts = [textParts]textPart{}
	bad := e.DNS.Verdict(e.DNS.AnswersOf(e.Message))
	t.packetParts(e, width)
	t.headerParts(e)
	t.questionParts(e)
	t.notes(e, bad)
	t.items.start(t, e)
	room := maxText(len(e.Message))
	if width > 0 {
		room = t.fit(width)
	}
	at := len(t.buf)
	t.buf = t.items.appendTo(t.buf, room)
	t.set(textAnswers, at)
	if t.o.Verbose {
		t.rest(e)
	}
	return t.join(dst)
}

// set makes what was appended to buf since at a part.
func (t *text) set(part, at int) *textPart {
	p := &t.parts[part]
	p.whole = span{at, len(t.buf)}
	p.least = p.whole
	return p
}

// packetParts makes the parts that are not of the message.
func (t *text) packetParts(e *event.Event, width int) {
	at := len(t.buf)
	t.buf = t.appendTime(t.buf, e.Time, width)
	p := t.set(textTime, at)
	p.style, p.least = styleDim, span{}

	at = len(t.buf)
	t.appendInterface(e)
	t.set(textInterface, at).least = span{}

	at = len(t.buf)
	t.buf = appendEnd(t.buf, e.Src.Addr(), 0)
	t.buf = appendEnd(append(t.buf, " > "...), e.Dst.Addr(), 0)
	least := t.set(textEnds, at).least
	at = len(t.buf)
	t.buf = appendEnd(t.buf, e.Src.Addr(), e.Src.Port())
	t.buf = appendEnd(append(t.buf, " > "...), e.Dst.Addr(), e.Dst.Port())
	t.set(textEnds, at).least = least

	at = len(t.buf)
	t.buf = append(t.buf, e.Proto.String()...)
	p = t.set(textProto, at)
	p.style = styleDim
	if e.Proto == event.UDP {
		p.least = span{}
	}
}

// appendTime appends the time of day or, for -v, the date, nanoseconds and the zone too.
// All lines of a terminal have the same decimals.
func (t *text) appendTime(dst []byte, ns int64, width int) []byte {
	second, fraction := splitSecond(ns)
	if second != t.times.second || t.times.zone == "" {
		t.times.setSecond(second)
	}
	if t.o.Verbose {
		dst = appendNano(append(append(dst, t.times.date[:]...), '.'), fraction)
		return append(dst, t.times.zone...)
	}
	dst = append(dst, t.times.date[len("2006-01-02T"):]...)
	if width > 0 && width < millisecondWidth {
		return dst
	}
	dst = appendNano(append(dst, '.'), fraction)
	if width > 0 && width < microsecondWidth {
		return dst[:len(dst)-6]
	}
	return dst[:len(dst)-3]
}

// appendInterface appends the interface's name and the direction, if they are wanted and
// known.
func (t *text) appendInterface(e *event.Event) {
	at := len(t.buf)
	if (t.o.Fields&fieldInterface != 0 || t.o.Interfaces) && t.o.InterfaceName != nil {
		t.buf = appendPlain(t.buf, t.o.InterfaceName(e.Interface, e.Time))
	}
	if (t.o.Fields&fieldDirection != 0 || t.o.Interfaces) && e.Direction != packet.DirectionUnknown {
		if len(t.buf) > at {
			t.buf = append(t.buf, ' ')
		}
		t.buf = append(t.buf, e.Direction.String()...)
	}
}

// appendEnd appends an address with its port, each only if it is known. An IPv6 address
// with a port is in brackets, so that the port cannot be taken for a part of it.
func appendEnd(dst []byte, a netip.Addr, port uint16) []byte {
	bracket := a.Is6() && port != 0
	if bracket {
		dst = append(dst, '[')
	}
	switch {
	case a.Is4In6(): // appendAddr would make it look like IPv4
		b := a.As16()
		dst = appendIPv4(append(dst, "::ffff:"...), b[12:])
	case a.IsValid():
		dst = appendAddr(dst, a)
	default:
		dst = append(dst, '-')
	}
	if bracket {
		dst = append(dst, ']')
	}
	if port != 0 {
		dst = appendUint(append(dst, ':'), uint64(port))
	}
	return dst
}

// headerParts makes the parts for the header and, since dig shows it there, the DO bit.
func (t *text) headerParts(e *event.Event) {
	d := &e.DNS
	at := len(t.buf)
	t.buf = appendUint(t.buf, uint64(d.ID))
	p := t.set(textID, at)
	p.style, p.least = styleDim, span{}

	at = len(t.buf)
	t.buf = appendFlagWords(t.buf, d.Flags, d.EDNS.Present && d.EDNS.DO)
	p = t.set(textFlags, at)
	p.style, p.least = styleDim, span{}
	if d.Truncated() {
		i := bytes.Index(t.buf[at:], []byte("tc"))
		p.style, p.least = styleOdd, span{at + i, at + i + len("tc")}
	}

	if op := d.Opcode(); op != dns.OpcodeQuery {
		at = len(t.buf)
		if name := dns.OpcodeName(op); name != "" {
			t.buf = append(t.buf, name...)
		} else {
			t.buf = appendUint(append(t.buf, "OPCODE"...), uint64(op))
		}
		t.set(textOpcode, at)
	}
	if d.Response() {
		at = len(t.buf)
		t.buf = appendRcodeName(t.buf, d.Rcode())
		t.set(textRcode, at).style = rcodeStyle(d.Rcode())
	}
}

// flagWords are dig's words, in its order.
var flagWords = [...]struct {
	flag uint16
	word string
}{
	{dns.FlagAA, "aa,"}, {dns.FlagTC, "tc,"}, {dns.FlagRD, "rd,"}, {dns.FlagRA, "ra,"}, {dns.FlagZ, "z,"}, {dns.FlagAD, "ad,"}, {dns.FlagCD, "cd,"},
}

func appendFlagWords(dst []byte, flags uint16, do bool) []byte {
	start := len(dst)
	for _, f := range flagWords {
		if flags&f.flag != 0 {
			dst = append(dst, f.word...)
		}
	}
	if do {
		return append(dst, "do"...)
	}
	return dst[:max(start, len(dst)-1)]
}

// rcodeBadVersion has another name in TSIG records, which miekg/dns uses everywhere.
const rcodeBadVersion = 16

func appendRcodeName(dst []byte, rcode uint16) []byte {
	if rcode == rcodeBadVersion {
		return append(dst, "BADVERS"...)
	}
	if name := dns.RcodeName(rcode); name != "" {
		return append(dst, name...)
	}
	return appendUint(append(dst, "RCODE"...), uint64(rcode))
}

// questionParts makes the parts for the questions: those that are not first are only
// counted, except for -v.
func (t *text) questionParts(e *event.Event) {
	d := &e.DNS
	at := len(t.buf)
	switch {
	case d.HasQuestion:
		t.buf = appendAsked(t.buf, d, d.QType, d.QClass)
		t.set(textType, at)
		at = len(t.buf)
		t.buf, _ = dns.AppendName(t.buf, e.Message, dns.HeaderLen)
		t.set(textName, at)
	case d.Opcode() == dns.OpcodeDSO && d.QDCount == 0:
		t.buf = appendTLVs(t.buf, e.Message[dns.HeaderLen:])
		t.set(textName, at)
	default:
		t.buf = append(t.buf, noQuestion(d)...)
		t.set(textType, at)
	}
	if d.QDCount < 2 || !d.HasQuestion {
		return
	}
	left := int(d.QDCount) - 1
	at = len(t.buf)
	if t.o.Verbose {
		left -= t.appendQuestions(e, at+maxText(len(e.Message)))
	}
	if left > 0 {
		t.buf = appendCount(append(t.buf, '+'), left, "question")
	}
	t.set(textQuestions, at).least = span{}
}

func noQuestion(d *dns.Summary) string {
	if d.QDCount > 0 {
		return "no whole question"
	}
	return "no question"
}

// appendQuestions appends all questions but the first, up to a length of buf. It returns
// their number.
func (t *text) appendQuestions(e *event.Event, limit int) (n int) {
	questions := e.DNS.QuestionsOf(e.Message)
	var q dns.Question
	for first := true; len(t.buf) < limit && questions.Next(&q); first = false {
		if first {
			continue
		}
		t.buf = append(appendAsked(t.buf, &e.DNS, q.Type, q.Class), ' ')
		t.buf, _ = dns.AppendName(t.buf, e.Message, q.Name)
		t.buf = append(t.buf, ' ')
		n++
	}
	if n > 0 && n == int(e.DNS.QDCount)-1 {
		t.buf = t.buf[:len(t.buf)-1]
	}
	return n
}

// appendAsked appends type and class of a question. In a query they end in a question
// mark.
func appendAsked(dst []byte, d *dns.Summary, qtype, class uint16) []byte {
	if class != dns.ClassIN {
		dst = append(appendClass(dst, class), ' ')
	}
	dst = appendType(dst, qtype)
	if !d.Response() {
		dst = append(dst, '?')
	}
	return dst
}

// appendCount appends a number of things.
func appendCount(dst []byte, n int, thing string) []byte {
	dst = append(append(appendUint(dst, uint64(n)), ' '), thing...)
	if n != 1 {
		dst = append(dst, 's')
	}
	return dst
}

// appendPlain appends s. Spaces, and what is not printable ASCII, become \DDD.
func appendPlain[T string | []byte](dst []byte, s T) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			dst = append(dst, '\\', c)
		case c > ' ' && c <= '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return dst
}

// appendQuoted appends a character string in quotes, as in zone files.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch inString[c] {
		case asIs:
			dst = append(dst, c)
		case backslash:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return append(dst, '"')
}
