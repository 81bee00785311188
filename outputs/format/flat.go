package format

import (
	"cmp"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// flat writes one object per message, for log pipelines that index keys. No value is
// an object, and lists hold text only. Numbers and their names both have keys.
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
	dst = append(f.json.times.append(append(dst, `{"timestamp":"`...), e.Time), '"')
	if len(f.server) > 0 {
		dst = append(append(append(dst, `,"server":"`...), f.server...), '"')
	}
	dst = appendFlatPacketFields(dst, e)
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
		dst = appendFlatMalformed(dst, m)
	}
	if e.CaptureCut > 0 {
		dst = appendUint(append(dst, `,"capture_cut":`...), uint64(e.CaptureCut))
	}
	dst = f.json.more.append(dst, e, true)
	return append(dst, '}', '\n')
}

func appendFlatPacketFields(dst []byte, e *event.Event) []byte {
	if e.Proto != 0 {
		dst = append(append(append(dst, `,"protocol":"`...), e.Proto.String()...), '"')
	}
	dst = append(dst, `,"ip_version":`...)
	dst = append(dst, '0'+e.IPVersion())
	// Absent addresses, and ports, are left out: an index does not accept an empty text as one.
	if a := e.Src.Addr(); a.IsValid() {
		dst = append(appendAddr(append(dst, `,"src_ip":"`...), a), '"')
	}
	if port := e.Src.Port(); port != 0 {
		dst = appendUint(append(dst, `,"src_port":`...), uint64(port))
	}
	if a := e.Dst.Addr(); a.IsValid() {
		dst = append(appendAddr(append(dst, `,"dst_ip":"`...), a), '"')
	}
	if port := e.Dst.Port(); port != 0 {
		dst = appendUint(append(dst, `,"dst_port":`...), uint64(port))
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
	bit := func(name string, flag uint16) {
		dst = appendBool(append(dst, name...), d.Flags&flag != 0)
	}
	dst = appendUint(append(dst, `,"id":`...), uint64(d.ID))
	bit(`,"response":`, dns.FlagQR)
	dst = appendUint(append(dst, `,"opcode":`...), uint64(d.Opcode()))
	dst = append(append(append(dst, `,"opcode_name":"`...), cmp.Or(dns.OpcodeName(d.Opcode()), "RESERVED")...), '"')
	bit(`,"aa":`, dns.FlagAA)
	bit(`,"tc":`, dns.FlagTC)
	bit(`,"rd":`, dns.FlagRD)
	bit(`,"ra":`, dns.FlagRA)
	bit(`,"ad":`, dns.FlagAD)
	bit(`,"cd":`, dns.FlagCD)
	dst = appendUint(append(dst, `,"rcode":`...), uint64(d.Rcode()))
	if name := dns.RcodeName(d.Rcode()); name != "" {
		dst = append(append(append(dst, `,"rcode_name":"`...), name...), '"')
	}
	dst = appendUint(append(dst, `,"question_count":`...), uint64(d.QDCount))
	dst = appendUint(append(dst, `,"answer_count":`...), uint64(d.ANCount))
	dst = appendUint(append(dst, `,"authority_count":`...), uint64(d.NSCount))
	return appendUint(append(dst, `,"additional_count":`...), uint64(d.ARCount))
}

// appendFlatMalformed appends what is wrong with a message as one text.
func appendFlatMalformed(dst []byte, m dns.Malformed) []byte {
	dst = append(append(dst, `,"malformed":"`...), m.Section.String()...)
	dst = append(appendUint(append(dst, ' '), uint64(m.Index)), ": "...)
	return append(append(dst, m.Fault.String()...), '"')
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

// appendAnswers appends a list of the answers' data, and one of their types. It
// returns what is wrong with the message, or that answers were left out.
func (f *flat) appendAnswers(dst []byte, e *event.Event) ([]byte, dns.Malformed) {
	var r dns.Record
	answers := e.DNS.AnswersOf(e.Message)
	bad, limit, written := e.DNS.Verdict(answers), len(dst)+maxText(len(e.Message)), uint16(0)
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
