package columns

import (
	"net/netip"
	"strconv"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// Row is the source of values: an event and one of its rows, which change from row to
// row, and what the output provides. Everything is borrowed. Its methods are the
// accessors of the table. They are short, so that the compiler inlines them where they
// are called by name.
type Row struct {
	Event    *event.Event
	Question event.Row // one of Event.Rows

	Sensor        []byte                               // name of the sensor
	Now           int64                                // when the row is written, in nanoseconds since the Unix epoch
	Record        []byte                               // the whole record as JSON, only in a message's first row (see event.Rows), or nothing
	InterfaceName func(number uint32, at int64) string // name of an interface at the time of a packet, "" if unknown; nil: all are unknown

	// For the columns of answers: those of ReadAnswers, or nothing; and format.AppendRecordData.
	AnswerRecords []dns.Record
	AppendData    func(dst, message []byte, off int, rrtype uint16, limit int) []byte

	known   dns.Malformed // the event's verdict, if isKnown
	isKnown bool
}

// PacketTime and the other times.
func (r *Row) PacketTime() int64     { return r.Event.Time }
func (r *Row) QueryTime() int64      { return r.Event.QueryTime }
func (r *Row) ResponseTime() int64   { return r.Event.ResponseTime }
func (r *Row) IndexTime() int64      { return r.Now }
func (r *Row) hasQueryTime() bool    { return r.Event.QueryTime != 0 }
func (r *Row) hasResponseTime() bool { return r.Event.ResponseTime != 0 }

// IPVersion and the other properties of the packet.
func (r *Row) IPVersion() uint64               { return uint64(r.Event.IPVersion()) }
func (r *Row) SrcIP() netip.Addr               { return r.Event.Src.Addr() }
func (r *Row) SrcPort() uint64                 { return uint64(r.Event.Src.Port()) }
func (r *Row) DstIP() netip.Addr               { return r.Event.Dst.Addr() }
func (r *Row) DstPort() uint64                 { return uint64(r.Event.Dst.Port()) }
func (r *Row) Protocol(dst []byte) []byte      { return append(dst, r.Event.Proto.String()...) }
func (r *Row) ProtocolShort(dst []byte) []byte { return append(dst, r.Event.Proto.Short()...) }
func (r *Row) IPProtocol() uint64              { return uint64(r.Event.Proto.IPNumber()) }
func (r *Row) hasProtocol() bool               { return r.Event.Proto != 0 }
func (r *Row) hasIPProtocol() bool             { return r.IPProtocol() != 0 }
func (r *Row) Length() uint64                  { return uint64(r.Event.Length()) }
func (r *Row) CaptureCut() uint64              { return uint64(r.Event.CaptureCut) }
func (r *Row) Direction(dst []byte) []byte     { return append(dst, r.Event.Direction.String()...) }
func (r *Row) VLAN() uint64                    { return uint64(r.Event.VLAN & 0xfff) }
func (r *Row) Tunnel(dst []byte) []byte        { return append(dst, r.Event.Tunnel.String()...) }
func (r *Row) Interface(dst []byte) []byte     { return append(dst, r.interfaceName()...) }
func (r *Row) Identity(dst []byte) []byte      { return append(dst, r.Event.Identity...) }
func (r *Row) Version(dst []byte) []byte       { return append(dst, r.Event.Version...) }
func (r *Row) hasIPVersion() bool              { return r.Event.IPVersion() != 0 }
func (r *Row) hasSrcIP() bool                  { return r.SrcIP().IsValid() }
func (r *Row) hasSrcPort() bool                { return r.SrcPort() != 0 }
func (r *Row) hasDstIP() bool                  { return r.DstIP().IsValid() }
func (r *Row) hasDstPort() bool                { return r.DstPort() != 0 }
func (r *Row) hasDirection() bool              { return r.Event.Direction != packet.DirectionUnknown }
func (r *Row) hasVLAN() bool                   { return r.Event.HasVLAN }
func (r *Row) hasTunnel() bool                 { return r.Event.Tunnel != event.TunnelNone }
func (r *Row) hasInterface() bool              { return r.interfaceName() != "" }
func (r *Row) hasIdentity() bool               { return len(r.Event.Identity) > 0 }
func (r *Row) hasVersion() bool                { return len(r.Event.Version) > 0 }

// SampleRate is how many messages this one stands for.
func (r *Row) SampleRate() float64 {
	s := r.Event.Sample
	if s.Keep == 0 {
		return 1
	}
	return float64(s.Of) / float64(s.Keep)
}

func (r *Row) interfaceName() string {
	if r.InterfaceName == nil {
		return ""
	}
	return r.InterfaceName(r.Event.Interface, r.Event.Time)
}

// MessageID and the other parts of the header.
func (r *Row) MessageID() uint64          { return uint64(r.Event.DNS.ID) }
func (r *Row) Response() uint64           { return r.flag(dns.FlagQR) }
func (r *Row) Opcode() uint64             { return uint64(r.Event.DNS.Opcode()) }
func (r *Row) Authoritative() uint64      { return r.flag(dns.FlagAA) }
func (r *Row) Truncated() uint64          { return r.flag(dns.FlagTC) }
func (r *Row) RecursionDesired() uint64   { return r.flag(dns.FlagRD) }
func (r *Row) RecursionAvailable() uint64 { return r.flag(dns.FlagRA) }
func (r *Row) AuthenticData() uint64      { return r.flag(dns.FlagAD) }
func (r *Row) CheckingDisabled() uint64   { return r.flag(dns.FlagCD) }
func (r *Row) Rcode() uint64              { return uint64(r.Event.DNS.Rcode()) }
func (r *Row) Questions() uint64          { return uint64(r.Event.DNS.QDCount) }
func (r *Row) Answers() uint64            { return uint64(r.Event.DNS.ANCount) }
func (r *Row) Authorities() uint64        { return uint64(r.Event.DNS.NSCount) }
func (r *Row) Additionals() uint64        { return uint64(r.Event.DNS.ARCount) }
func (r *Row) flag(flag uint16) uint64    { return bit(r.Event.DNS.Flags&flag != 0) }

// QType and the other parts of the row's question.
func (r *Row) QType() uint64     { return uint64(r.Question.Type) }
func (r *Row) QClass() uint64    { return uint64(r.Question.Class) }
func (r *Row) hasQuestion() bool { return r.Question.HasQuestion }

// QName is in presentation format.
func (r *Row) QName(dst []byte) []byte {
	if r.Question.HasQuestion {
		dst, _ = dns.AppendName(dst, r.Event.Message, r.Question.Name)
	}
	return dst
}

// EDNS and the other parts of the OPT record.
func (r *Row) EDNS() uint64        { return bit(r.Event.DNS.EDNS.Present) }
func (r *Row) DO() uint64          { return bit(r.Event.DNS.EDNS.DO) }
func (r *Row) EDNSVersion() uint64 { return uint64(r.Event.DNS.EDNS.Version) }
func (r *Row) EDNSUDPSize() uint64 { return uint64(r.Event.DNS.EDNS.UDPSize) }
func (r *Row) hasEDNS() bool       { return r.Event.DNS.EDNS.Present }

// Malformed is where and why reading stopped, in json-flat's words.
func (r *Row) Malformed(dst []byte) []byte {
	m := r.verdict()
	if !m.Yes() {
		return dst
	}
	dst = append(append(dst, m.Section.String()...), ' ')
	dst = append(strconv.AppendUint(dst, uint64(m.Index), 10), ": "...)
	return append(dst, m.Fault.String()...)
}

func (r *Row) isMalformed() bool { return r.verdict().Yes() }

func (r *Row) verdict() dns.Malformed {
	if r.isKnown {
		return r.known
	}
	return r.Event.DNS.VerdictOf(r.Event.Message)
}

// Message is the captured part of the message, in wire format.
func (r *Row) Message(dst []byte) []byte { return append(dst, r.Event.Message...) }

// Server and FullRecord come from the output.
func (r *Row) Server(dst []byte) []byte     { return append(dst, r.Sensor...) }
func (r *Row) FullRecord(dst []byte) []byte { return append(dst, r.Record...) }
func (r *Row) hasRecord() bool              { return len(r.Record) > 0 }

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
