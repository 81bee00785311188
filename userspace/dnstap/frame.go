// Package dnstap reads and writes the payload of dnstap frames
// (https://dnstap.info, dnstap.proto of https://github.com/dnstap/dnstap.pb).
//
// In: one frame's bytes. Out: a Frame, which borrows them, and the packet.Message that
// it stands for. Append writes a Frame. Nothing is allocated. Its tests compare it with
// golang-dnstap.
package dnstap

import (
	"net/netip"
)

// ContentType is that of Frame Streams that carry dnstap.
const ContentType = "protobuf:dnstap.Dnstap"

// Frame is a dnstap payload of type MESSAGE. Absent fields are zero or nil. Numbers that
// this build does not know are kept.
type Frame struct {
	Identity, Version, Extra []byte

	Type     Type
	Family   uint32   // 1: IPv4, 2: IPv6; the addresses' lengths count, not this
	Protocol Protocol // 0: not given
	HTTP     uint32   // version of HTTP, for DoH

	// Query: of the initiator, such as a client; Response: of the responder. That does not
	// depend on which of them sent the message.
	QueryAddress, ResponseAddress []byte // 4 or 16 bytes
	QueryPort, ResponsePort       uint16

	// In nanoseconds since the Unix epoch; 0: not given.
	QueryTime, ResponseTime int64

	Query, Response []byte // DNS messages; nil: not given
	Zone            []byte // bailiwick, in wire format
	Policy          []byte // see ParsePolicy

	// Wrong counts fields that were ignored because their values are impossible.
	Wrong Wrong
}

// Wrong counts, for one frame, values that no field can have.
type Wrong struct {
	Addresses uint32 // neither 4 nor 16 bytes
	Ports     uint32 // above 65535
	Times     uint32 // beyond the year 2262, or a fraction of a second or more
}

// Fault is why a frame gives no record.
type Fault uint8

// The faults of a frame.
const (
	NoFault    Fault = iota
	Broken           // not the wire format of protobuf, or a field of a wrong kind
	NotMessage       // another type than MESSAGE, or no Message in it
	NoType           // the Message has no type
)

// Field numbers.
const (
	fieldIdentity, fieldVersion, fieldExtra, fieldMessage, fieldType = 1, 2, 3, 14, 15

	messageType         = 1
	messageFamily       = 2
	messageProtocol     = 3
	messageQueryAddr    = 4
	messageResponseAddr = 5
	messageQueryPort    = 6
	messageResponsePort = 7
	messageQuerySec     = 8
	messageQueryNsec    = 9
	messageQuery        = 10
	messageZone         = 11
	messageResponseSec  = 12
	messageResponseNsec = 13
	messageResponse     = 14
	messagePolicy       = 15
	messageHTTP         = 16

	typeMessage = 1
)

// Parse reads a frame. Its slices point into data. If a field is repeated, the last one
// counts, and the fields of two Messages are those of one, as protobuf demands.
func (f *Frame) Parse(data []byte) Fault {
	*f = Frame{}
	kind, found := uint32(0), false
	var times stamps
	for len(data) > 0 {
		number, wire, value, varint, rest := cut(data)
		switch data = rest; {
		case rest == nil, wire != topKinds[number] && topKinds[number] != 0:
			return Broken
		case topKinds[number] == 0:
			continue
		}
		switch number {
		case fieldIdentity:
			f.Identity = value
		case fieldVersion:
			f.Version = value
		case fieldExtra:
			f.Extra = value
		case fieldMessage:
			if found = true; !f.parseMessage(value, &times) {
				return Broken
			}
		case fieldType:
			kind = uint32(varint)
		}
	}
	if kind != typeMessage || !found {
		return NotMessage
	}
	f.QueryTime = f.stamp(times.querySec, times.queryNsec)
	f.ResponseTime = f.stamp(times.responseSec, times.responseNsec)
	if f.Type == 0 {
		return NoType
	}
	return NoFault
}

// stamps are the parts of the two times.
type stamps struct {
	querySec, responseSec   uint64
	queryNsec, responseNsec uint32
}

// parseMessage reads a Message. ok is false if it is not protobuf, or a field is of a wrong
// kind.
func (f *Frame) parseMessage(data []byte, times *stamps) (ok bool) {
	for len(data) > 0 {
		number, wire, value, varint, rest := cut(data)
		switch data = rest; {
		case rest == nil, wire != messageKinds[number] && messageKinds[number] != 0:
			return false
		case messageKinds[number] == 0:
			continue
		}
		switch number {
		case messageType:
			f.Type = Type(varint)
		case messageFamily:
			f.Family = uint32(varint)
		case messageProtocol:
			f.Protocol = Protocol(varint)
		case messageQueryAddr:
			f.QueryAddress = f.address(value)
		case messageResponseAddr:
			f.ResponseAddress = f.address(value)
		case messageQueryPort:
			f.QueryPort = f.port(varint)
		case messageResponsePort:
			f.ResponsePort = f.port(varint)
		case messageQuerySec:
			times.querySec = varint
		case messageQueryNsec:
			times.queryNsec = uint32(varint)
		case messageQuery:
			f.Query = value
		case messageZone:
			f.Zone = value
		case messageResponseSec:
			times.responseSec = varint
		case messageResponseNsec:
			times.responseNsec = uint32(varint)
		case messageResponse:
			f.Response = value
		case messagePolicy:
			f.Policy = value
		case messageHTTP:
			f.HTTP = uint32(varint)
		}
	}
	return true
}

// address returns nil for bytes that are not an address. An empty one counts as not given.
func (f *Frame) address(b []byte) []byte {
	if len(b) == 4 || len(b) == 16 {
		return b
	}
	if len(b) > 0 {
		f.Wrong.Addresses++
	}
	return nil
}

func (f *Frame) port(n uint64) uint16 {
	if n > 1<<16-1 {
		f.Wrong.Ports++
		return 0
	}
	return uint16(n)
}

const second = 1_000_000_000

// stamp returns 0 for a time that is not given, or that an int64 of nanoseconds cannot
// hold.
func (f *Frame) stamp(sec uint64, nsec uint32) int64 {
	const last = 1<<63/second - 1
	if sec > last || nsec >= second {
		f.Wrong.Times++
		return 0
	}
	return int64(sec)*second + int64(nsec)
}

func addrPort(address []byte, port uint16) netip.AddrPort {
	switch len(address) {
	case 4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(address)), port)
	case 16:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(address)), port)
	}
	return netip.AddrPortFrom(netip.Addr{}, port)
}
