// Package event holds what the workers make of packets: the Event, one DNS
// message with where it came from, and the Block, many events copied back to
// back, which is the unit of batch, queue and retry.
package event

import (
	"net/netip"
	"time"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

// Proto is what carried the message: see packet.Proto.
type Proto = packet.Proto

// Carriers. The zero value is not used.
const (
	UDP         = packet.UDP
	TCP         = packet.TCP
	DoT         = packet.DoT
	DoH         = packet.DoH
	DoQ         = packet.DoQ
	DNSCryptUDP = packet.DNSCryptUDP
	DNSCryptTCP = packet.DNSCryptTCP
)

// Tunnel is what the packet was wrapped in: see packet.Tunnel for the names.
type Tunnel = packet.Tunnel

// TunnelNone is the zero value.
const TunnelNone = packet.TunnelNone

// Event is one DNS message. All slices are borrowed: whoever keeps an Event
// copies them, which is what Block.Append does.
type Event struct {
	Time int64 // nanoseconds since the Unix epoch: of the packet that completed the message

	// QueryTime and ResponseTime are when the server saw the query and the response
	// (dnstap), nanoseconds since the Unix epoch; 0: not known.
	QueryTime, ResponseTime int64

	// Src and Dst are where the message came from and went to. Either address may be
	// absent, which is the zero netip.Addr; the port may be there all the same.
	Src, Dst netip.AddrPort

	Proto      Proto
	Direction  packet.Direction
	Tunnel     Tunnel
	HasVLAN    bool
	VLAN       uint16 // the outermost tag's TCI, if HasVLAN
	Interface  uint32 // as in packet.Packet
	Sample     packet.Ratio
	CaptureCut uint32 // bytes at the message's end that the capture left out
	Identity   []byte // of the server that sent it (dnstap)
	Version    []byte // likewise
	Message    []byte // DNS wire format, as much as was captured
	Fields     Fields // what else is known of it
	Selected   []byte // a bit for each question, from the lowest: those that an output's filter takes; nil: all
	DNS        dns.Summary
}

// Length is the message's length on the wire.
func (e *Event) Length() int { return len(e.Message) + int(e.CaptureCut) }

// When is Time in UTC.
func (e *Event) When() time.Time { return time.Unix(0, e.Time).UTC() }

// IPVersion is 4 or 6, and 0, unknown, where neither end has an address. An
// IPv4-mapped address counts as it was sent, as IPv6.
func (e *Event) IPVersion() uint8 {
	a := e.Src.Addr()
	if !a.IsValid() {
		a = e.Dst.Addr()
	}
	switch {
	case a.Is4():
		return 4
	case a.IsValid():
		return 6
	}
	return 0
}

// AppendQName appends the first question's name in presentation format, or
// nothing where there is no question.
func (e *Event) AppendQName(dst []byte) []byte {
	if !e.DNS.HasQuestion {
		return dst
	}
	dst, _ = dns.AppendName(dst, e.Message, dns.HeaderLen)
	return dst
}
