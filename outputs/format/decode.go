package format

import (
	"encoding/binary"
	"encoding/hex"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// decode reads e's message as miekg/dns' Unpack does, but goes on behind a record
// whose data do not fit its type, which becomes one of an unknown type, and keeps
// what stands before the first one that is not whole. The verdict is as JSON's.
// Records that opaque chooses, where it is not nil, become ones of an unknown type,
// too.
func decode(e *event.Event, opaque func(mdns.RR) bool) (mdns.Msg, dns.Malformed) {
	d := decoder{msg: e.Message, opaque: opaque, walk: walk{off: dns.HeaderLen}}
	var m mdns.Msg
	setHeader(&m, &e.DNS.Header)
	d.questions(&m, e.DNS.QDCount)
	m.Answer = d.records(dns.SectionAnswer, e.DNS.ANCount)
	m.Ns = d.records(dns.SectionAuthority, e.DNS.NSCount)
	m.Extra = d.records(dns.SectionAdditional, e.DNS.ARCount)
	m.Rcode = int(e.DNS.Rcode()) // the OPT may stand behind what could not be read
	return m, d.verdict(e.DNS.Malformed)
}

func setHeader(m *mdns.Msg, h *dns.Header) {
	bit := func(n int) bool { return h.Flags&(1<<n) != 0 }
	m.MsgHdr = mdns.MsgHdr{
		Id:                 h.ID,
		Response:           bit(15),
		Opcode:             int(h.Opcode()),
		Authoritative:      bit(10),
		Truncated:          bit(9),
		RecursionDesired:   bit(8),
		RecursionAvailable: bit(7),
		Zero:               bit(6),
		AuthenticatedData:  bit(5),
		CheckingDisabled:   bit(4),
		Rcode:              int(h.Rcode()),
	}
}

// decoder walks a message.
type decoder struct {
	msg    []byte
	opaque func(mdns.RR) bool
	walk
}

// questions stops without a fault at the end of the message, and takes a last
// question without type or class, as miekg/dns does: what is wrong with that is
// said by the event's own verdict.
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

// unpackRR is miekg/dns' UnpackRR. A record that cannot be read, or that brings the
// library down, is nil.
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

// unknownRR reads the record at off as one of an unknown type. One that is not whole
// is nil.
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
