package format

import (
	"encoding/binary"
	"encoding/hex"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// decode reads e's message as miekg/dns' Unpack does, with two differences: a record
// whose data do not fit its type becomes one of an unknown type, and records before one
// that is not whole are kept. The verdict is that of JSON. Records for which opaque
// returns true become ones of an unknown type, too; opaque may be nil.
func decode(e *event.Event, opaque func(mdns.RR) bool) (mdns.Msg, dns.Malformed) {
	d := decoder{msg: e.Message, opaque: opaque, cursor: cursor{off: dns.HeaderLen}}
	var m mdns.Msg
	setHeader(&m, &e.DNS.Header)
	d.questions(&m, e.DNS.QDCount)
	m.Answer = d.records(dns.SectionAnswer, e.DNS.ANCount)
	m.Ns = d.records(dns.SectionAuthority, e.DNS.NSCount)
	m.Extra = d.records(dns.SectionAdditional, e.DNS.ARCount)
	m.Rcode = int(e.DNS.Rcode()) // the OPT record may not have been read here
	return m, d.verdict(e.DNS.Malformed)
}

func setHeader(m *mdns.Msg, h *dns.Header) {
	is := func(flag uint16) bool { return h.Flags&flag != 0 }
	m.MsgHdr = mdns.MsgHdr{
		Id:                 h.ID,
		Response:           is(dns.FlagQR),
		Opcode:             int(h.Opcode()),
		Authoritative:      is(dns.FlagAA),
		Truncated:          is(dns.FlagTC),
		RecursionDesired:   is(dns.FlagRD),
		RecursionAvailable: is(dns.FlagRA),
		Zero:               is(dns.FlagZ),
		AuthenticatedData:  is(dns.FlagAD),
		CheckingDisabled:   is(dns.FlagCD),
		Rcode:              int(h.Rcode()),
	}
}

// decoder reads a message from front to back.
type decoder struct {
	msg    []byte
	opaque func(mdns.RR) bool
	cursor
}

// questions stops at the end of the message without a fault, and accepts a last
// question without type or class, as miekg/dns does. The event's own verdict covers
// both.
func (d *decoder) questions(m *mdns.Msg, count uint16) {
	for i := range count {
		if d.off == len(d.msg) {
			return
		}
		name, off, err := mdns.UnpackDomainName(d.msg, d.off)
		if err != nil {
			d.stopped = dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultName, Index: i}
			return
		}
		q := mdns.Question{Name: name}
		if rest := len(d.msg) - off; rest == 1 || rest == 3 {
			d.stopped = dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultRecord, Index: i}
			return
		}
		if off < len(d.msg) {
			q.Qtype = binary.BigEndian.Uint16(d.msg[off:])
			off += 2
		}
		if off < len(d.msg) {
			q.Qclass = binary.BigEndian.Uint16(d.msg[off:])
			off += 2
		}
		d.off = off
		m.Question = append(m.Question, q)
	}
}

func (d *decoder) records(s dns.Section, count uint16) (records []mdns.RR) {
	for i := range count {
		if d.stopped.Yes() || d.off == len(d.msg) {
			return records
		}
		rr, next := unpackRR(d.msg, d.off)
		if rr == nil {
			if rr, next = unknownRR(d.msg, d.off); rr == nil {
				d.stopped = dns.Malformed{Section: s, Fault: dns.FaultRecord, Index: i}
				return records
			}
			if !d.misfit.Yes() {
				d.misfit = dns.Malformed{Section: s, Fault: dns.FaultRData, Index: i}
			}
		} else if d.opaque != nil && d.opaque(rr) {
			rr, _ = unknownRR(d.msg, d.off)
		}
		d.off = next
		records = append(records, rr)
	}
	return records
}

// unpackRR is miekg/dns' UnpackRR. It returns nil if the library rejects the record or
// panics on it.
func unpackRR(msg []byte, off int) (rr mdns.RR, next int) {
	defer func() {
		if recover() != nil {
			rr = nil
		}
	}()
	rr, next, err := mdns.UnpackRR(msg, off)
	if err != nil {
		return nil, 0
	}
	return rr, next
}

// unknownRR reads the record at off as one of an unknown type. It returns nil if the
// record is not whole.
func unknownRR(msg []byte, off int) (rr mdns.RR, next int) {
	name, off, err := mdns.UnpackDomainName(msg, off)
	if err != nil || off+10 > len(msg) {
		return nil, 0
	}
	be, data := binary.BigEndian, off+10
	h := mdns.RR_Header{
		Name: name, Rrtype: be.Uint16(msg[off:]), Class: be.Uint16(msg[off+2:]), Ttl: be.Uint32(msg[off+4:]), Rdlength: be.Uint16(msg[off+8:]),
	}
	end := data + int(h.Rdlength)
	if end > len(msg) {
		return nil, 0
	}
	return &mdns.RFC3597{Hdr: h, Rdata: hex.EncodeToString(msg[data:end])}, end
}
