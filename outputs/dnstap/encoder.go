package dnstap

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/framestream"
)

// encoder makes frames of events. It keeps its memory.
type encoder struct {
	query             dnstap.Type // of a query that did not come by dnstap
	identity, version []byte      // of a record that has none; nil: none

	frame dnstap.Frame
	addrs [2][16]byte
}

func (o *Output) newEncoder() (*encoder, error) {
	query, err := queryType(o.message)
	if err != nil {
		return nil, fmt.Errorf("dnstapoutputmessage: %w", err)
	}
	c := &encoder{query: query}
	switch {
	case o.identity != "":
		c.identity = []byte(o.identity)
	case o.Common.Server != "":
		c.identity = []byte(o.Common.Server)
	}
	if o.version != "" {
		c.version = []byte(o.version)
	}
	return c, nil
}

// queryType is the type of queries of a role.
func queryType(role string) (dnstap.Type, error) {
	for t := dnstap.Type(1); t.Known(); t += 2 {
		if t.Role() == role {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q is not one of client, resolver, auth, forwarder, stub, tool, update", role)
}

// appendBlock appends the frames of a block, each after its length. A frame that no
// receiver would take is left out.
func (c *encoder) appendBlock(dst []byte, b *event.Block) (out []byte, refused int, why error) {
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		at := len(dst)
		dst = framestream.AppendHead(dst, 0)
		var ok bool
		if dst, ok = dnstap.AppendPayload(dst, &e); !ok {
			dst = c.append(dst, &e)
		}
		length := len(dst) - at - framestream.HeadLen
		if length > framestream.MaxFrame {
			dst = dst[:at]
			refused++
			why = fmt.Errorf("a dnstap frame of %d bytes: at most %d are sent", length, framestream.MaxFrame)
			continue
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(length))
	}
	return dst, refused, why
}

// append appends the frame of an event that came in none.
func (c *encoder) append(dst []byte, e *event.Event) []byte {
	f := &c.frame
	*f = dnstap.Frame{
		Identity: e.Identity, Version: e.Version, Type: c.query, Protocol: dnstap.ProtocolOf(e.Proto),
		QueryTime: e.QueryTime, ResponseTime: e.ResponseTime,
	}
	if len(f.Identity) == 0 {
		f.Identity = c.identity
	}
	if len(f.Version) == 0 {
		f.Version = c.version
	}
	initiator, responder := e.Src, e.Dst
	if e.DNS.Flags>>15 == 0 {
		f.Query = e.Message
		if f.QueryTime == 0 {
			f.QueryTime = e.Time
		}
	} else {
		f.Type, f.Response = c.query.Other(), e.Message
		initiator, responder = responder, initiator
		if f.ResponseTime == 0 {
			f.ResponseTime = e.Time
		}
	}
	f.QueryAddress, f.QueryPort = addressBytes(initiator.Addr(), &c.addrs[0]), initiator.Port()
	f.ResponseAddress, f.ResponsePort = addressBytes(responder.Addr(), &c.addrs[1]), responder.Port()
	switch e.IPVersion() {
	case 4:
		f.Family = 1
	case 6:
		f.Family = 2
	}
	dst, _, _ = f.Append(dst)
	return dst
}

// addressBytes are the bytes of an address in room, nil for none.
func addressBytes(a netip.Addr, room *[16]byte) []byte {
	switch {
	case a.Is4():
		v4 := a.As4()
		return room[:copy(room[:], v4[:])]
	case a.IsValid():
		*room = a.As16()
		return room[:]
	}
	return nil
}
