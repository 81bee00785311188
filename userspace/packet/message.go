package packet

import "net/netip"

// Message is a whole DNS message that a source brings without a packet, as dnstap does.
// Its slices are borrowed from the lane that read it and valid until that lane's next
// Read.
//
// Only Data and Proto are required. A message is DNS because its source says so,
// whatever its ports. Sampling keeps exactly a of every b messages, whatever carried
// them. A message is never a duplicate of another: without a packet, a query
// that was sent twice and one that was seen twice look the same.
type Message struct {
	Data    []byte // DNS wire format
	Missing uint32 // bytes at its end that the source did not get

	// Time is the record's, in nanoseconds since the Unix epoch. If it is 0, a response
	// has ResponseTime and a query QueryTime, or, if that is 0 too, the other one.
	Time                    int64
	QueryTime, ResponseTime int64 // when the server saw them; 0: not known

	// Src and Dst are where the message itself came from and went to: in a response Src
	// is the server. Either address may be the zero netip.Addr, even if its port is known.
	// A zone is not recorded.
	Src, Dst netip.AddrPort

	Proto     Proto
	Direction Direction
	Interface uint32 // as in Packet
	Identity  []byte // of the server that sent the message
	Version   []byte // likewise
	Fields    []byte // anything else that is known, encoded as event.Fields
}

// Response reports whether Data says that it is a response.
func (m *Message) Response() bool { return len(m.Data) > 2 && m.Data[2]&0x80 != 0 }

// When is the time of the record, 0 if none is known.
func (m *Message) When() int64 {
	first, second := m.QueryTime, m.ResponseTime
	if m.Response() {
		first, second = second, first
	}
	for _, t := range [...]int64{m.Time, first} {
		if t != 0 {
			return t
		}
	}
	return second
}
