package columns_test

import (
	"fmt"
	"net/netip"
	"strings"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// points are the columns of a made-up destination, under its names.
var points = []columns.Named{
	columns.PacketTime.As("at"), columns.SrcIP.As("client"), columns.QName.As("name"), columns.Rcode.As("rcode"), columns.SampleRate.As("weight"), columns.VLAN.As("vlan"),
}

// appendPoints appends a line for each row: this is all that an output with rows
// needs to read its values.
func appendPoints(dst []byte, e *event.Event, r *columns.Row) []byte {
	r.Event = e
	for rows := e.Rows(); rows.Next(&r.Question); dst = append(dst, '\n') {
		for _, n := range points {
			switch c := n.ID.Column(); {
			case !c.HasValue(r): // this destination leaves out absent values
			case c.Kind == columns.Time:
				dst = fmt.Appendf(dst, "%s=%d ", n.Name, c.Time(r))
			case c.Kind == columns.Uint:
				dst = fmt.Appendf(dst, "%s=%d ", n.Name, c.Uint(r))
			case c.Kind == columns.Float:
				dst = fmt.Appendf(dst, "%s=%g ", n.Name, c.Float(r))
			case c.Kind == columns.Addr:
				dst = fmt.Appendf(dst, "%s=%s ", n.Name, c.Addr(r))
			default:
				dst = append(c.Append(r, append(dst, n.Name+"="...)), ' ')
			}
		}
	}
	return dst
}

func Example() {
	e := &event.Event{Time: 1700000000_000000001, Src: netip.MustParseAddrPort("192.0.2.1:5353"), Proto: event.UDP,
		Message: []byte("\x00\x07\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01\x03www\xc0\x0c\x00\x01\x00\x01")}
	dns.Read(e.Message, false, &e.DNS)
	fmt.Print(strings.ReplaceAll(string(appendPoints(nil, e, new(columns.Row))), " \n", "\n"))
	// Output:
	// at=1700000000000000001 client=192.0.2.1 name=example.org. rcode=0 weight=1
	// at=1700000000000000001 client=192.0.2.1 name=www.example.org. rcode=0 weight=1
}
