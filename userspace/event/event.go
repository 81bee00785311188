// Package event has two types. An Event is one DNS message, with its addresses and all
// else that is known of it. A Block is many events copied back to back: the unit of
// batches, queues and retries.
//
// In: events of workers and stages, and blocks from disk. Out: the bytes of blocks,
// which are the same in memory and on disk, and events read from them. The package
// imports packages dns and packet alone. Its tests make their own events; testdata
// has a stored block of each version.
package event

import (
	"math"
	"net/netip"
	"time"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

// Proto is the carrier of a message: see packet.Proto.
type Proto = packet.Proto

// Carriers. The zero value is none.
const (
	UDP         = packet.UDP
	TCP         = packet.TCP
	DoT         = packet.DoT
	DoH         = packet.DoH
	DoQ         = packet.DoQ
	DNSCryptUDP = packet.DNSCryptUDP
	DNSCryptTCP = packet.DNSCryptTCP
)

// Tunnel is the innermost tunnel around a packet: see packet.Tunnel for the names.
type Tunnel = packet.Tunnel

// TunnelNone is the zero value.
const TunnelNone = packet.TunnelNone

// Event is one DNS message. All slices are borrowed. To keep an event, copy them, as
// Block.Append does.
type Event struct {
	Time int64 // of the packet that completed the message, in nanoseconds since the Unix epoch

	// QueryTime and ResponseTime are when the server saw the query and the response
	// (dnstap), in nanoseconds since the Unix epoch; 0: unknown.
	QueryTime, ResponseTime int64

	// Src and Dst are the message's source and destination. Either address may be
	// absent: then it is the zero netip.Addr, and the port may still be known.
	Src, Dst netip.AddrPort

	Proto      Proto
	Direction  packet.Direction
	Tunnel     Tunnel
	HasVLAN    bool
	VLAN       uint16 // TCI of the outermost tag, if HasVLAN
	Interface  uint32 // as in packet.Packet
	Sample     packet.Ratio
	CaptureCut uint32 // bytes at the end of the message that were not captured
	Identity   []byte // of the server that sent it (dnstap)
	Version    []byte // of that server (dnstap)
	Message    []byte // DNS wire format, as far as it was captured
	Fields     Fields // everything else that is known
	Selected   []byte // a bit for each question, from the lowest: the output's filter selects it; nil: all are selected
	DNS        dns.Summary
}

// Length is the length of the message on the wire.
func (e *Event) Length() int {
	return int(min(int64(len(e.Message))+int64(e.CaptureCut), math.MaxInt)) // a file may claim what an int of 32 bits cannot hold
}

// When is Time in UTC.
func (e *Event) When() time.Time { return time.Unix(0, e.Time).UTC() }

// IPVersion is 4 or 6, or 0 if both addresses are absent. An IPv4-mapped address
// counts as IPv6, since it was sent as such.
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

// AppendQName appends the name of the first question in presentation format, or
// nothing if there is no question.
func (e *Event) AppendQName(dst []byte) []byte {
	if !e.DNS.HasQuestion {
		return dst
	}
	dst, _ = dns.AppendName(dst, e.Message, dns.HeaderLen)
	return dst
}
