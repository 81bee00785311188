package format

import (
	"encoding/binary"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// decode reads e's message as miekg/dns' Unpack does, but keeps what stands
// before the first thing that cannot be read. The verdict is e's own where it
// has one: miekg/dns takes counts that lie for good ones.
func decode(e *event.Event) (mdns.Msg, dns.Malformed) {
	d := decoder{msg: e.Message, off: dns.HeaderLen}
	var m mdns.Msg
	setHeader(&m, &e.DNS.Header)
	d.questions(&m, e.DNS.QDCount)
	m.Answer = d.records(dns.SectionAnswer, e.DNS.ANCount)
	m.Ns = d.records(dns.SectionAuthority, e.DNS.NSCount)
	m.Extra = d.records(dns.SectionAdditional, e.DNS.ARCount)
	if d.bad.Yes() { // the OPT may stand behind what could not be read
		m.Rcode |= int(e.DNS.EDNS.ExtRcode) << 4
	} else if opt := m.IsEdns0(); opt != nil {
		m.Rcode |= opt.ExtendedRcode()
	}
	if e.DNS.Malformed.Yes() {
		return m, e.DNS.Malformed
	}
	return m, d.bad
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

// decoder walks a message. Once bad is set it reads nothing more.
type decoder struct {
	msg []byte
	off int
	bad dns.Malformed
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
			d.bad = dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultName, Index: i}
			return
		}
		q := mdns.Question{Name: name}
		if rest := len(d.msg) - off; rest == 1 || rest == 3 {
			d.bad = dns.Malformed{Section: dns.SectionQuestion, Fault: dns.FaultRecord, Index: i}
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
		if d.bad.Yes() || d.off == len(d.msg) {
			return records
		}
		rr, off, ok := unpackRR(d.msg, d.off)
		if !ok {
			d.bad = dns.Malformed{Section: s, Fault: dns.FaultRData, Index: i}
			return records
		}
		d.off = off
		records = append(records, rr)
	}
	return records
}

// unpackRR is miekg/dns' UnpackRR; a panic in it is a record that cannot be
// read, not the end of the sensor.
func unpackRR(msg []byte, off int) (rr mdns.RR, next int, ok bool) {
	defer func() {
		if recover() != nil {
			rr, ok = nil, false
		}
	}()
	rr, next, err := mdns.UnpackRR(msg, off)
	return rr, next, err == nil
}
