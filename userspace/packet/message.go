package packet

import "net/netip"

// Message is a whole DNS message that a source brings without a packet, as dnstap
// does. Its slices are borrowed from the lane that read it and valid until that lane's
// next Read.
//
// Only Data and Proto have to be there. A message is DNS because its source says so:
// its ports are not looked at. It stands for itself, so that sampling keeps exactly a of
// every b, whatever carried them, and it is never a duplicate of another: without a packet
// nothing tells a query that was sent again from one that was seen twice.
type Message struct {
	Data    []byte // DNS wire format
	Missing uint32 // bytes at the message's end that the source did not get

	// Time is the record's, in nanoseconds since the Unix epoch. 0: the time of the
	// response where Data is one, or else of the query; of the other where that one is not
	// known; and the epoch where neither is.
	Time                    int64
	QueryTime, ResponseTime int64 // when the server saw them; 0: not known

	// Src and Dst are where the message itself came from and went to: in a response Src
	// is the server. Either address, or both, may be the zero netip.Addr, of which the
	// port may be known all the same. A zone is not recorded.
	Src, Dst netip.AddrPort

	Proto     Proto
	Direction Direction
	Interface uint32 // as in Packet
	Identity  []byte // of the server that sent the message
	Version   []byte // likewise
	Fields    []byte // what else is known, encoded as event.Fields
}

// Response tells whether Data says that it is a response.
func (m *Message) Response() bool { return len(m.Data) > 2 && m.Data[2]&0x80 != 0 }

// When is the time of the record.
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
