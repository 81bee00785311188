package format

import (
	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// flat writes one object of one level per message, for log pipelines that index
// keys: no value is an object, and lists hold text. Names for numbers stand
// beside the numbers.
type flat struct {
	json   JSON
	server []byte // escaped
}

func newFlat(o Options) *flat {
	return &flat{json: *newJSON(o), server: appendText(nil, o.Server)}
}

// Append appends e's record.
func (f *flat) Append(dst []byte, e *event.Event) []byte {
	f.json.names.reset()
	dst = append(f.json.clock.appendTime(append(dst, `{"timestamp":"`...), e.Time), '"')
	if len(f.server) > 0 {
		dst = append(append(append(dst, `,"server":"`...), f.server...), '"')
	}
	dst = appendFlatEnds(dst, e)
	dst = appendFlatHeader(dst, &e.DNS)
	dst = f.appendQuestion(dst, e)
	if edns := &e.DNS.EDNS; edns.Present {
		dst = appendUint(append(dst, `,"edns":true,"edns_version":`...), uint64(edns.Version))
		dst = appendUint(append(dst, `,"edns_udp_size":`...), uint64(edns.UDPSize))
		dst = appendBool(append(dst, `,"do":`...), edns.DO)
	} else {
		dst = append(dst, `,"edns":false`...)
	}
	dst, m := f.appendAnswers(dst, e)
	if m.Yes() {
		dst = append(append(dst, `,"malformed":"`...), m.Section.String()...)
		dst = append(appendUint(append(dst, ' '), uint64(m.Index)), ": "...)
		dst = append(append(dst, m.Fault.String()...), '"')
	}
	if e.CaptureCut > 0 {
		dst = appendUint(append(dst, `,"capture_cut":`...), uint64(e.CaptureCut))
	}
	dst = f.json.more.append(dst, e, true)
	return append(dst, '}', '\n')
}

func appendFlatEnds(dst []byte, e *event.Event) []byte {
	dst = append(append(dst, `,"protocol":"`...), e.Proto.String()...)
	dst = append(dst, `","ip_version":`...)
	dst = append(dst, '0'+e.IPVersion())
	// What is absent is left out: no index takes an empty text for an address.
	if port := uint64(e.Src.Port()); e.Src.Addr().IsValid() {
		dst = appendAddr(append(dst, `,"src_ip":"`...), e.Src.Addr())
		dst = appendUint(append(dst, `","src_port":`...), port)
	} else if port != 0 {
		dst = appendUint(append(dst, `,"src_port":`...), port)
	}
	if port := uint64(e.Dst.Port()); e.Dst.Addr().IsValid() {
		dst = appendAddr(append(dst, `,"dst_ip":"`...), e.Dst.Addr())
		dst = appendUint(append(dst, `","dst_port":`...), port)
	} else if port != 0 {
		dst = appendUint(append(dst, `,"dst_port":`...), port)
	}
	dst = appendUint(append(dst, `,"length":`...), uint64(e.Length()))
	if len(e.Identity) > 0 {
		dst = append(appendText(append(dst, `,"identity":"`...), e.Identity), '"')
	}
	if len(e.Version) > 0 {
		dst = append(appendText(append(dst, `,"version":"`...), e.Version), '"')
	}
	return dst
}

func appendFlatHeader(dst []byte, d *dns.Summary) []byte {
	bit := func(name string, n int) {
		dst = appendBool(append(dst, name...), d.Flags&(1<<n) != 0)
	}
	dst = appendUint(append(dst, `,"id":`...), uint64(d.ID))
	bit(`,"response":`, 15)
	dst = appendUint(append(dst, `,"opcode":`...), uint64(d.Opcode()))
	dst = append(append(append(dst, `,"opcode_name":"`...), opcodeName(d.Opcode())...), '"')
	bit(`,"aa":`, 10)
	bit(`,"tc":`, 9)
	bit(`,"rd":`, 8)
	bit(`,"ra":`, 7)
	bit(`,"ad":`, 5)
	bit(`,"cd":`, 4)
	dst = appendUint(append(dst, `,"rcode":`...), uint64(d.Rcode()))
	if name, ok := mdns.RcodeToString[int(d.Rcode())]; ok {
		dst = append(append(append(dst, `,"rcode_name":"`...), name...), '"')
	}
	dst = appendUint(append(dst, `,"question_count":`...), uint64(d.QDCount))
	dst = appendUint(append(dst, `,"answer_count":`...), uint64(d.ANCount))
	dst = appendUint(append(dst, `,"authority_count":`...), uint64(d.NSCount))
	return appendUint(append(dst, `,"additional_count":`...), uint64(d.ARCount))
}

func opcodeName(opcode uint8) string {
	switch opcode {
	case mdns.OpcodeQuery:
		return "QUERY"
	case mdns.OpcodeIQuery:
		return "IQUERY"
	case mdns.OpcodeStatus:
		return "STATUS"
	case mdns.OpcodeNotify:
		return "NOTIFY"
	case mdns.OpcodeUpdate:
		return "UPDATE"
	case 6: // RFC 8490
		return "DSO"
	}
	return "RESERVED"
}

// appendQuestion appends the first question.
func (f *flat) appendQuestion(dst []byte, e *event.Event) []byte {
	d := &e.DNS
	if !d.HasQuestion {
		return dst
	}
	dst, _ = f.json.names.append(append(dst, `,"qname":"`...), e.Message, dns.HeaderLen)
	dst = appendUint(append(dst, `","qtype":`...), uint64(d.QType))
	dst = appendType(append(dst, `,"qtype_name":"`...), d.QType)
	dst = appendUint(append(dst, `","qclass":`...), uint64(d.QClass))
	return append(appendClass(append(dst, `,"qclass_name":"`...), d.QClass), '"')
}

// appendAnswers appends the data of the answers, and beside it their types. It
// returns what is wrong with the message, or that answers are left out.
func (f *flat) appendAnswers(dst []byte, e *event.Event) ([]byte, dns.Malformed) {
	var r dns.Record
	answers := e.DNS.AnswersOf(e.Message)
	bad, limit, written := e.DNS.Verdict(answers), len(dst)+mostText(len(e.Message)), uint16(0)
	sep := byte('[')
	for records := answers; records.Next(&r); sep = ',' {
		if len(dst) > limit {
			bad = dns.Malformed{Section: dns.SectionAnswer, Fault: dns.FaultUnfolds, Index: written}
			break
		}
		written++
		if sep == '[' {
			dst = append(dst, `,"answers":`...)
		}
		dst = f.json.appendPresented(append(dst, sep, '"'), e.Message[:r.End], r.Data, r.Type)
		dst = append(dst, '"')
	}
	if sep == '[' {
		return dst, bad
	}
	dst, sep = append(dst, `],"answer_types":`...), '['
	for records := answers; written > 0 && records.Next(&r); sep = ',' {
		dst = append(appendType(append(dst, sep, '"'), r.Type), '"')
		written--
	}
	return append(dst, ']'), bad
}
