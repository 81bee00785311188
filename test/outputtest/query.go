package outputtest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	sensordns "dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// QueryName is the name that query i asks for, such as n000007.example.org. Names sort by
// number.
func QueryName(i int) string { return fmt.Sprintf("n%06d.example.org.", i) }

// Query makes an event of a query with a name and a time of its own.
func Query(i int) *event.Event {
	m := new(dns.Msg)
	m.SetQuestion(QueryName(i), dns.TypeA)
	m.Id = uint16(i)
	msg, err := m.Pack()
	if err != nil {
		panic(err)
	}
	e := &event.Event{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano() + int64(i),
		Src:  netip.MustParseAddrPort("192.0.2.1:5353"), Dst: netip.MustParseAddrPort("192.0.2.53:53"),
		Proto: event.UDP, Message: msg,
	}
	sensordns.Read(msg, false, &e.DNS)
	return e
}

// Queries makes a block of the n queries from first on, with an id of its own.
func Queries(first, n int) *event.Block {
	list := make([]*event.Event, n)
	for i := range list {
		list[i] = Query(first + i)
	}
	return Block(list...)
}

// Block makes a block of events, with an id of its own.
func Block(list ...*event.Event) *event.Block { return block(event.NewIDs(), list) }
